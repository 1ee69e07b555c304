//! Style sheet, script and icon: part of the program, at addresses that change with what they hold, so browsers keep them for ever.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// One file.
pub(crate) struct Asset {
    path: LazyLock<String>,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($name:literal, $ending:literal, $media_type:literal) => {
        Asset {
            path: LazyLock::new(|| {
                addressed(
                    $name,
                    $ending,
                    include_str!(concat!("../assets/", $name, ".", $ending)),
                )
            }),
            media_type: $media_type,
            text: include_str!(concat!("../assets/", $name, ".", $ending)),
        }
    };
}

/// How pages look.
pub(crate) static STYLE: Asset = asset!("style", "css", "text/css; charset=utf-8");
/// Copy buttons, local times, figures and rows that refresh, keys. Nothing needs it.
pub(crate) static SCRIPT: Asset = asset!("script", "js", "text/javascript; charset=utf-8");
/// In the browser's tab.
pub(crate) static ICON: Asset = asset!("icon", "svg", "image/svg+xml");

impl Asset {
    /// Its address.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn answer(&self) -> impl IntoResponse + use<> {
        let headers: [(HeaderName, &'static str); 2] = [
            (header::CONTENT_TYPE, self.media_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, self.text)
    }
}

fn addressed(name: &str, ending: &str, text: &str) -> String {
    let hash = Sha256::digest(text);
    let short = hash
        .iter()
        .take(6)
        .fold(0_u64, |short, byte| short << 8 | u64::from(*byte));
    format!("/assets/{name}-{short:012x}.{ending}")
}

/// Serves them to anyone.
pub(crate) fn routes() -> Router {
    [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .fold(Router::new(), |router, asset| {
            router.route(asset.path(), get(async || asset.answer()))
        })
}
