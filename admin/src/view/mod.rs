//! Pages: templates compiled into the program, each with a context type of its own.
//!
//! tera looks for names only when it renders. So a page is a type, every template is rendered by a test, and a debug build
//! refuses a template that names what its context has not, also in a branch that is not taken.

mod layout;
mod moment;
mod numbers;
mod parts;
mod visible;

pub(crate) use layout::{Layout, Notice};
pub(crate) use moment::Moment;
pub(crate) use numbers::{grouped, milliseconds};
pub(crate) use parts::{Fact, ShortId, Tab};
pub(crate) use visible::visible;

use crate::{assets, headers};
use anyhow::Context as _;
use axum::response::Html;
use serde::Serialize;
use std::sync::LazyLock;
use tera::{Context, Tera};

/// The data of one page.
pub(crate) trait Page: Serialize {
    /// Its template.
    const TEMPLATE: &'static str;
}

static TEMPLATES: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::new();
    tera.autoescape_on([".html"]);
    tera.global_context().insert("style", assets::STYLE.path());
    tera.global_context()
        .insert("script", assets::SCRIPT.path());
    tera.global_context().insert("icon", assets::ICON.path());
    tera.add_raw_templates(SOURCES.iter().copied())
        .unwrap_or_else(|cause| unreachable!("the tests have parsed every template: {cause}"));
    tera
});

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

static SOURCES: &[(&str, &str)] = &sources![
    "parts.html",
    "document.html",
    "layout.html",
    "log_in.html",
    "password.html",
    "filter_fields.html",
    "all_that_match.html",
    "archives.html",
    "archive.html",
    "archive_edit.html",
    "truth.html",
    "group.html",
    "groups.html",
    "overview.html",
    "operations.html",
    "operation.html",
    "operation_bulk.html",
    "operation_preview.html",
    "transactions.html",
    "transaction.html",
    "alerts.html",
    "alert.html",
    "alert_channels.html",
    "incidents.html",
    "incident.html",
    "audit.html",
    "compensation_log.html",
    "operators.html",
    "permissions.html",
    "tokens.html",
    "policy.html",
    "report.html",
    "sales.html",
    "sale.html",
    "error.html",
];

/// Renders a page.
///
/// # Errors
/// When the template asks for what the context has not.
pub(crate) fn render<P: Page>(page: &P) -> anyhow::Result<Html<String>> {
    let mut context = Context::from_serialize(page)?;
    context.insert("nonce", &headers::nonce());
    if cfg!(debug_assertions) {
        nothing_unknown(P::TEMPLATE, &context)?;
    }
    TEMPLATES
        .render(P::TEMPLATE, &context)
        .map(|page| Html(visible::page(page)))
        .with_context(|| format!("rendering {}", P::TEMPLATE))
}

fn nothing_unknown(template: &str, context: &Context) -> anyhow::Result<()> {
    const GLOBAL: [&str; 3] = ["style", "script", "icon"];
    let named = TEMPLATES.get_template_variables(template)?;
    let unknown = named
        .iter()
        .find(|name| !context.contains_key(name) && !GLOBAL.contains(name));
    match unknown {
        None => Ok(()),
        Some(name) => anyhow::bail!("{template} names {name}, which its context has not"),
    }
}
