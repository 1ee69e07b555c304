//! The one thing the load needs of the product's settings: the secret that signs buyers' tokens. 20,000 log-ins would measure
//! password hashing.

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use config::{Config, Environment, File, FileFormat};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
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
pub struct Minter {
    key: EncodingKey,
    ttl: TimeDelta,
}

/// What a buyer's token says.
#[derive(Serialize)]
struct Claims {
    sub: Uuid,
    role: &'static str,
    iat: i64,
    exp: i64,
}

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
        Self::new(
            &settings.auth.token_secret,
            Duration::from_secs(settings.auth.token_ttl_s),
        )
    }

    /// Signs with this secret.
    ///
    /// # Errors
    /// The time to live is beyond all reason.
    pub fn new(secret: &str, ttl: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            ttl: TimeDelta::from_std(ttl)?,
        })
    }

    /// The `Authorization` header of a buyer.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn bearer(&self, buyer: Uuid) -> anyhow::Result<String> {
        let now = Utc::now();
        let claims = Claims {
            sub: buyer,
            role: "buyer",
            iat: now.timestamp(),
            exp: (now + self.ttl).timestamp(),
        };
        let token =
            encode(&Header::default(), &claims, &self.key).context("cannot sign a token")?;
        Ok(format!("Bearer {token}"))
    }
}
