//! Where the chain ends.

use crate::chain::Hash;
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use std::{fmt, str::FromStr};

/// The end of the chain, and so all of it: who noted it notices whatever is changed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last line; 0 where there is none.
    pub id: i64,
    /// Its hash.
    pub hash: Hash,
}

/// Not `ID:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is a line's number, a colon and its hash of 64 hexadecimal digits")]
pub struct BadHead;

/// The head. Every line up to it can be read by whoever asks after it.
///
/// # Errors
/// What the database says; also when somebody took the head away.
pub async fn head(db: &MySqlPool) -> sqlx::Result<Head> {
    let row = sqlx::query!("select last_id, hash from audit_head where id = 1")
        .fetch_one(db)
        .await?;
    Ok(Head {
        id: row.last_id,
        hash: stored(&row.hash)?,
    })
}

pub(crate) fn stored(bytes: &[u8]) -> sqlx::Result<Hash> {
    Hash::try_from(bytes).map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}

impl fmt::Display for Head {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.id, self.hash)
    }
}

impl FromStr for Head {
    type Err = BadHead;

    fn from_str(text: &str) -> Result<Self, BadHead> {
        let (id, hash) = text.split_once(':').ok_or(BadHead)?;
        Ok(Self {
            id: id.parse().map_err(|_| BadHead)?,
            hash: hash.parse().map_err(|_| BadHead)?,
        })
    }
}
