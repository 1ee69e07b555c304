//! What a channel is, and what can come of telling it something.

use super::Notice;
use futures::future::BoxFuture;
use std::time::Duration;

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The receiver said that it has it.
    Sent,
    /// The receiver has it, but not for everybody it was meant for. Why not, without address or secret.
    Partly(String),
    /// The receiver wants fewer, and perhaps says how long to wait.
    SlowDown(Option<Duration>, String),
    /// The receiver will not take anything until a person changes something. Why, without address or secret.
    Broken(String),
    /// The receiver is gone for good: the channel is switched off until a person switches it on again. Why, without address or secret.
    Gone(String),
    /// Anything else: it may have arrived or not, and is sent again. Why, without address or secret.
    Unknown(String),
}

impl Delivered {
    /// Whether the receiver has it: it is not sent again.
    #[must_use]
    pub const fn has_arrived(&self) -> bool {
        matches!(self, Self::Sent | Self::Partly(_))
    }

    /// As metrics count it.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Partly(_) => "partly",
            Self::SlowDown(..) => "slow_down",
            Self::Broken(_) => "broken",
            Self::Gone(_) => "gone",
            Self::Unknown(_) => "failed",
        }
    }

    /// As people read it, unless all of it is well.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Sent => None,
            Self::Partly(why) => Some(format!("arrived, but {why}")),
            Self::SlowDown(_, why) => Some(format!("slow down: {why}")),
            Self::Broken(why) | Self::Gone(why) => Some(format!("channel broken: {why}")),
            Self::Unknown(why) => Some(format!("failed: {why}")),
        }
    }
}

/// How many messages a receiver takes, by its own rules: a bucket of tokens, one a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens a full bucket has: so many may go out at once.
    pub burst: f64,
    /// Tokens that come back a minute.
    pub per_minute: f64,
}

impl Rate {
    /// A receiver that says nothing of it.
    pub const DEFAULT: Self = Self {
        burst: 30.0,
        per_minute: 60.0,
    };
}

/// A receiver of alerts.
pub trait Channel: Send + Sync {
    /// Tries once, for at most 15 s.
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered>;

    /// How many notices one message may hold. Where there are more than go out at once, as many go together.
    fn together(&self) -> usize {
        1
    }

    /// Tries once to tell it of all of these in one message, for at most 15 s: what came of it came of each. Asked for no more than
    /// [`Channel::together`].
    fn deliver_together<'a>(&'a self, notices: &'a [Notice]) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            match notices {
                [one] => self.deliver(one).await,
                _ => Delivered::Unknown("it takes one at a time".to_owned()),
            }
        })
    }

    /// How many it takes.
    fn rate(&self) -> Rate {
        Rate::DEFAULT
    }

    /// Whether one message may stand for many incidents. Where it may not, each is told of by itself, and what there is no room for
    /// waits: a receiver that closes by an incident's end what its beginning opened has to get that end.
    fn digests(&self) -> bool {
        true
    }
}
