//! What a channel is, and what can come of telling it something.

use super::Alert;
use futures::future::BoxFuture;
use std::time::Duration;

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The receiver said that it has it.
    Sent,
    /// The receiver wants fewer, and perhaps says how long to wait.
    SlowDown(Option<Duration>, String),
    /// The receiver will not take anything until a person changes something. Why, without address or secret.
    Broken(String),
    /// Anything else: it may have arrived or not, and is sent again. Why, without address or secret.
    Unknown(String),
}

impl Delivered {
    /// As metrics count it.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::SlowDown(..) => "slow_down",
            Self::Broken(_) => "broken",
            Self::Unknown(_) => "failed",
        }
    }

    /// As people read it, unless it was sent.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Sent => None,
            Self::SlowDown(_, why) => Some(format!("slow down: {why}")),
            Self::Broken(why) => Some(format!("channel broken: {why}")),
            Self::Unknown(why) => Some(format!("failed: {why}")),
        }
    }
}

/// A receiver of alerts.
pub trait Channel: Send + Sync {
    /// Tries once, for at most 15 s.
    fn deliver<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Delivered>;
}
