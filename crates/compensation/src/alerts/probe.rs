//! Trying out somebody's own receiver of Standard Webhooks: requests as the channel makes them, and such as it never makes, so that one
//! sees whether the receiver refuses them. Which of them to send, and what the answers mean, is the caller's (`redressctl`).

use super::{
    Delivered, Notice,
    address::{self, BadUrl, Targets},
    endpoint::Endpoint,
    standard_webhooks::{self, BadSecret},
};
use reqwest::header::{HeaderMap, HeaderValue, InvalidHeaderValue};
use service_kit::settings::Secret;

/// A receiver, and the keys it should know.
pub struct Probe {
    endpoint: Endpoint,
    keys: Vec<Vec<u8>>,
}

/// Why nothing can be sent. One line, without url or secret.
#[derive(Debug, thiserror::Error)]
pub enum BadProbe {
    /// The address.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// One of the secrets.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// The machine.
    #[error("no encrypted connection can be made, are the system's certificates installed? {0}")]
    Client(#[from] reqwest::Error),
}

/// One request. Nothing in it need fit the rest.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `webhook-id`
    pub id: String,
    /// `webhook-timestamp`, in seconds.
    pub timestamp: i64,
    /// `webhook-signature`; without one the header is left out.
    pub signature: Option<String>,
    /// JSON, or what is to be taken for it.
    pub body: Vec<u8>,
}

impl Probe {
    /// Secrets are separated by spaces, as in the settings; without any, [`Probe::signatures`] is empty.
    ///
    /// # Errors
    /// When the url must not be used, a secret is none, or the machine has no certificates.
    pub fn new(url: &str, secrets: &Secret, targets: Targets) -> Result<Self, BadProbe> {
        let keys = standard_webhooks::keys(secrets)?;
        let endpoint = Endpoint::new(address::allowed(url, targets)?)?;
        Ok(Self { endpoint, keys })
    }

    /// The body that the channel makes of a notice.
    #[must_use]
    pub fn body(notice: &Notice) -> Vec<u8> {
        standard_webhooks::body(notice)
    }

    /// What every secret makes of it, in the secrets' order, separated by spaces.
    #[must_use]
    pub fn signatures(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let all = self.keys.iter();
        let all: Vec<_> = all
            .map(|key| standard_webhooks::sign(key, id, timestamp, body))
            .collect();
        all.join(" ")
    }

    /// Sends it once, for at most 15 s, and gives the status. Redirects are not followed.
    ///
    /// # Errors
    /// Why no answer came, in words without the url.
    pub async fn send(&self, attempt: Attempt) -> Result<u16, String> {
        let headers = headers(&attempt).map_err(|why| why.to_string())?;
        let url = self.endpoint.url();
        match self.endpoint.post(url, headers, attempt.body).await {
            Ok(answer) => Ok(answer.status.as_u16()),
            Err(Delivered::Unknown(why)) => Err(why),
            Err(other) => Err(other.error().unwrap_or_default()),
        }
    }
}

fn headers(attempt: &Attempt) -> Result<HeaderMap, InvalidHeaderValue> {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", attempt.id.parse()?);
    headers.insert("webhook-timestamp", HeaderValue::from(attempt.timestamp));
    if let Some(signature) = &attempt.signature {
        headers.insert("webhook-signature", signature.parse()?);
    }
    Ok(headers)
}
