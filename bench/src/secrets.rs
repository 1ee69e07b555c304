//! The one thing the load needs of the product's settings: the secret that signs buyers' tokens. 20,000 log-ins would measure
//! password hashing.

use anyhow::Context;
use config::{Config, Environment, File, FileFormat};
use identity::{Role, UserId, tokens::Tokens};
use serde::Deserialize;
use std::{path::Path, time::Duration};
use uuid::Uuid;

#[derive(Deserialize)]
struct Settings {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    token_secret: String,
    #[serde(default = "a_day")]
    token_ttl_s: u64,
}

fn a_day() -> u64 {
    86_400
}

/// Mints buyers' tokens.
pub struct Minter(Tokens);

impl Minter {
    /// Reads `auth` from the settings as the processes do: the file, then `REDRESS__AUTH__…`.
    ///
    /// # Errors
    /// There is no secret to be found.
    pub fn from_settings(file: &Path) -> anyhow::Result<Self> {
        let settings: Settings = Config::builder()
            .add_source(File::from(file).format(FileFormat::Yaml))
            .add_source(
                Environment::with_prefix("REDRESS")
                    .prefix_separator("__")
                    .separator("__"),
            )
            .build()
            .and_then(Config::try_deserialize)
            .with_context(|| format!("no auth.token_secret in {}", file.display()))?;
        Ok(Self::new(
            &settings.auth.token_secret,
            Duration::from_secs(settings.auth.token_ttl_s),
        ))
    }

    /// Signs with this secret.
    #[must_use]
    pub fn new(secret: &str, ttl: Duration) -> Self {
        Self(Tokens::new(secret, ttl))
    }

    /// The `Authorization` header of a buyer.
    #[must_use]
    pub fn bearer(&self, buyer: Uuid) -> String {
        format!(
            "Bearer {}",
            self.0.mint(UserId::from_uuid(buyer), Role::Buyer)
        )
    }
}
