//! The operators' web.

use super::{Environment, Secret};
use serde::Deserialize;
use std::{net::SocketAddr, time::Duration};

/// Beyond it a forgotten log-in is a risk, and nobody works that long.
const SESSION_AT_MOST_S: u64 = 7 * 24 * 3600;

/// The process operators work with.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Seconds without a request after which a browser's log-in ends.
    pub session_idle_s: u64,
    /// Seconds after which any log-in ends, also a script's.
    pub session_ttl_s: u64,
    /// Whether the cookie is sent over HTTPS only. In production it always is.
    pub secure_cookies: bool,
    /// Discards of more orders than this are confirmed by a second operator.
    pub second_person_above: u32,
    /// Made at the start when there is no operator at all.
    pub first_admin: FirstAdmin,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            session_idle_s: 1800,
            session_ttl_s: 43_200,
            secure_cookies: false,
            second_person_above: 100,
            first_admin: FirstAdmin::default(),
        }
    }
}

/// The account that makes the others.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirstAdmin {
    /// Its name.
    pub username: String,
    /// Its password, at least 8 characters; empty: one is generated, printed once, and must be changed.
    pub password: Secret,
}

impl Default for FirstAdmin {
    fn default() -> Self {
        Self {
            username: "admin".to_owned(),
            password: Secret::default(),
        }
    }
}

impl Admin {
    /// [`Admin::session_idle_s`].
    #[must_use]
    pub const fn session_idle(&self) -> Duration {
        Duration::from_secs(self.session_idle_s)
    }

    /// [`Admin::session_ttl_s`].
    #[must_use]
    pub const fn session_ttl(&self) -> Duration {
        Duration::from_secs(self.session_ttl_s)
    }

    /// The first complaint, or none.
    pub(super) fn complaint(&self, _environment: Environment) -> Option<String> {
        if self.session_idle_s == 0 {
            return Some("admin.session_idle_s must be at least 1".to_owned());
        }
        if !(self.session_idle_s..=SESSION_AT_MOST_S).contains(&self.session_ttl_s) {
            return Some(format!(
                "admin.session_ttl_s must be between admin.session_idle_s and {SESSION_AT_MOST_S}"
            ));
        }
        let FirstAdmin { username, password } = &self.first_admin;
        if username.len() < 3 {
            return Some("admin.first_admin.username must have at least 3 characters".to_owned());
        }
        let length = password.expose().chars().count();
        (1..8)
            .contains(&length)
            .then(|| "admin.first_admin.password must have at least 8 characters".to_owned())
    }
}
