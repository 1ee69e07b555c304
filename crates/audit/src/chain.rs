//! The form in which a line is hashed, byte for byte. No database and no clock: whoever has the lines can check them.
//!
//! A line's hash is the SHA-256 of twelve texts, each as a [netstring](https://cr.yp.to/proto/netstrings.txt): the number of its bytes
//! in UTF-8 as decimal digits, `:`, the bytes, `,`. Nothing is between them or after them. The texts are, in this order:
//!
//! 1. `redress-audit-1`, the name of this form;
//! 2. the hash of the line before it, as 64 hexadecimal digits in lower case; of the first line 64 times `0`;
//! 3. `id`, decimal;
//! 4. `at` in UTC with three digits after the second: `2026-07-03T10:00:00.000Z`;
//! 5. `operator`;
//! 6. `role`;
//! 7. `act`;
//! 8. `subject`;
//! 9. `outcome`;
//! 10. `detail`;
//! 11. `address`;
//! 12. `operation_id` as a UUID in lower case with hyphens, or nothing.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The name of the form. Another form has another one.
const FORM: &str = "redress-audit-1";

/// The hash of a line.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

/// Not 64 hexadecimal digits, or not 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hexadecimal digits")]
pub struct BadHash;

/// A line as it is stored and sent. Its texts are as they are found: what somebody altered is to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number.
    pub id: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who: the name as it was then; empty before a log-in.
    pub operator: String,
    /// What the account was then; empty where nobody was logged in, and of an item.
    pub role: String,
    /// `noun.verb`.
    pub act: String,
    /// What it was done to.
    pub subject: String,
    /// `done`, `denied`, `refused` or `failed`.
    pub outcome: String,
    /// More about it.
    pub detail: String,
    /// Where the request came from; empty where there was none.
    pub address: String,
    /// The operation it belongs to.
    pub operation_id: Option<Uuid>,
    /// The hash of the line before it; none in a line that was never chained.
    pub prev: Option<Hash>,
    /// Its own.
    pub hash: Option<Hash>,
}

impl Line {
    /// The same line, bound to the one before it.
    #[must_use]
    pub fn after(mut self, prev: Hash) -> Self {
        self.hash = Some(Hash::of(prev, &self));
        self.prev = Some(prev);
        self
    }
}

/// What is hashed of a line that follows one with the hash `prev`.
#[must_use]
pub fn canonical(prev: Hash, line: &Line) -> Vec<u8> {
    let operation = line.operation_id.map(|id| id.to_string());
    let mut bytes = Vec::with_capacity(512);
    for text in [
        FORM,
        &prev.to_string(),
        &line.id.to_string(),
        &line.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        &line.operator,
        &line.role,
        &line.act,
        &line.subject,
        &line.outcome,
        &line.detail,
        &line.address,
        operation.as_deref().unwrap_or_default(),
    ] {
        bytes.extend_from_slice(format!("{}:{text},", text.len()).as_bytes());
    }
    bytes
}

impl Hash {
    /// What the first line follows.
    pub const BEGINNING: Self = Self([0; 32]);

    /// Of a line that follows one with the hash `prev`.
    #[must_use]
    pub fn of(prev: Self, line: &Line) -> Self {
        Self(Sha256::digest(canonical(prev, line)).into())
    }

    /// As it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Enough of it for people to tell it from others.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = BadHash;

    fn try_from(bytes: &[u8]) -> Result<Self, BadHash> {
        bytes.try_into().map(Self).map_err(|_| BadHash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self}")
    }
}

impl FromStr for Hash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadHash);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| BadHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| BadHash)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Hash {
    type Error = BadHash;

    fn try_from(text: String) -> Result<Self, BadHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            id: 7,
            at: "2026-07-03T10:00:00.120Z".parse().unwrap(),
            operator: "änn".to_owned(),
            role: "admin".to_owned(),
            act: "order.replay".to_owned(),
            subject: "x".to_owned(),
            outcome: "done".to_owned(),
            detail: String::new(),
            address: "::1".to_owned(),
            operation_id: Some(Uuid::from_u128(1)),
            prev: None,
            hash: None,
        }
    }

    /// Caught: any byte of the form changed, which would break every chain there is.
    #[test]
    fn the_form_is_this_one_byte_for_byte() {
        let zeros = "0".repeat(64);
        let expected = format!(
            "15:redress-audit-1,64:{zeros},1:7,24:2026-07-03T10:00:00.120Z,4:änn,5:admin,12:order.replay,1:x,4:done,0:,3:::1,\
             36:00000000-0000-0000-0000-000000000001,"
        );
        let canonical = canonical(Hash::BEGINNING, &line());
        assert_eq!(String::from_utf8(canonical).unwrap(), expected);
        // printf '%s' … | sha256sum
        assert_eq!(
            Hash::of(Hash::BEGINNING, &line()).to_string(),
            "e88749b5602a4228ac3a7f46529017555a61b83bea9c2e92f8b6e594f1824f7d"
        );
    }

    /// Caught: a field left out of the hash, and fields that run into each other.
    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let first = Hash::of(Hash::BEGINNING, &line());
        let changed: [fn(&mut Line); 11] = [
            |line| line.id = 8,
            |line| line.at += chrono::TimeDelta::milliseconds(1),
            |line| line.operator.push('x'),
            |line| line.role.clear(),
            |line| line.act.push('x'),
            |line| line.subject.clear(),
            |line| line.outcome.push('x'),
            |line| line.detail.push('x'),
            |line| line.address.push('x'),
            |line| line.operation_id = None,
            |line| (line.act, line.subject) = ("order.repla".to_owned(), "yx".to_owned()),
        ];
        for (number, change) in changed.into_iter().enumerate() {
            let mut other = line();
            change(&mut other);
            assert_ne!(Hash::of(Hash::BEGINNING, &other), first, "{number}");
        }
        assert_ne!(Hash::of(first, &line()), first);
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Hash::of(Hash::BEGINNING, &line());
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(Hash::try_from(hash.as_bytes()), Ok(hash));
        for bad in ["", "0", &"g".repeat(64), &"0".repeat(65), &"ä".repeat(32)] {
            assert_eq!(bad.parse::<Hash>(), Err(BadHash), "{bad}");
        }
    }
}
