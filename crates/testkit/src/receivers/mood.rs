//! How a fake answers messages that are as they must be.

use std::time::Duration;

/// What becomes of a message. Everything but [`Mood::Well`] happens to senders in earnest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It is taken, unless the vendor's rate is exceeded.
    Well,
    /// The rate is exceeded, says the vendor: 130101, 45009, 11232, 429 with [`Mood::RETRY_AFTER`].
    TooFast,
    /// The credential or the signature is not the receiver's, says the vendor: 310000, 93000, 19021, 403.
    Foreign,
    /// HTTP 410; a mailbox that is not there.
    Gone,
    /// HTTP 200 without the word by which the vendor says that it has the message.
    Wordless,
    /// The vendor's servers have trouble: 500, or its own code for it.
    Busy,
    /// HTTP 302 to the very same address: followed, the message arrives twice.
    Redirects,
    /// The message is read and never answered.
    Hangs,
    /// The message is read and the connection reset.
    Resets,
    /// It is taken, and that is said a byte a second.
    Drips,
    /// A connection's first bytes are answered with garbage. To be seen as a TLS error it is asked at [`super::Fake::encrypted_url`].
    Garbage,
}

impl Mood {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Well,
        Self::TooFast,
        Self::Foreign,
        Self::Gone,
        Self::Wordless,
        Self::Busy,
        Self::Redirects,
        Self::Hangs,
        Self::Resets,
        Self::Drips,
        Self::Garbage,
    ];

    /// What a vendor that says how long to wait says in the mood [`Mood::TooFast`].
    pub const RETRY_AFTER: Duration = Duration::from_secs(7);
}
