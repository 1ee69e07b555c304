//! What failures have in common: the step, the error's code, and its message without what differs from one order to the next.
//!
//! A pure function of what is stored of a failure, so that anyone can work it out again. What it leaves out is not looked at by
//! anyone: how often it happened is counted in [`crate::archive::groups`].
//!
//! Whoever changes what it gives for any text raises [`VERSION`]: rows of an older one are then worked out anew, a batch at a time.

mod code;
mod message;
mod words;

use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// The way of comparing, stored with what it gave. 0 is stored where nothing was compared yet.
pub const VERSION: u16 = 1;

/// The longest step, in characters: what its column takes.
const STEP_AT_MOST: usize = 32;

/// Failures with the same one have the same cause, as far as it shows. Its text is 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

/// Not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 16 hexadecimal digits")]
pub struct NoFingerprint;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cause {
    /// Where it failed.
    pub step: String,
    /// The kind of error and its code, as far as the error names them.
    pub code: Option<String>,
    /// The error's first line, with placeholders such as `<number>` where it differs from one order to the next.
    pub pattern: String,
}

impl Cause {
    /// Of a failure at `step`: `class` is the kind of error where it is known besides its text. Texts may be anything; of a long one
    /// the beginning counts.
    #[must_use]
    pub fn of(step: &str, class: Option<&str>, error: &str) -> Self {
        let line = message::first_line(error);
        Self {
            step: message::one_line(step, STEP_AT_MOST),
            code: code::of(class, &line),
            pattern: message::pattern(&line),
        }
    }

    /// What its like share.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        let code = self.code.as_deref().unwrap_or_default();
        for part in [self.step.as_str(), code, self.pattern.as_str()] {
            // With its length, so that nothing moves from one part into the next.
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finalize()[..8]);
        Fingerprint(u64::from_be_bytes(first))
    }

    /// Why a failure is in its group, in sentences for a person.
    #[must_use]
    pub fn why_grouped(&self) -> String {
        words::why_grouped(self)
    }
}

impl Fingerprint {
    /// As it is stored.
    #[must_use]
    pub const fn to_number(self) -> u64 {
        self.0
    }

    /// What was stored.
    #[must_use]
    pub const fn from_number(stored: u64) -> Self {
        Self(stored)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return Err(NoFingerprint);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NoFingerprint)
    }
}

#[cfg(test)]
mod tests;
