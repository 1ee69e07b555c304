//! A transaction that is stuck, as its dead letter keeps it: whatever becomes of the transaction, one can read later what was not
//! done, and why.
//!
//! It is evidence, not a piece of work: nothing here is ever tried again from the archive. The transaction itself is resumed, and
//! its row is handled once it has finished.

use super::{Envelope, Kind, Subject, ToArchive};
use crate::{
    attempt::{Attempt, History},
    headers::Headers,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// The step of every transaction's row.
pub const STEP: &str = "complete";
/// How every transaction's row ends.
pub const COMPLETED: &str = "completed";
/// The header that holds a [`StuckTransaction`] as JSON.
const HEADER: &str = "transaction";

/// What is known of a transaction that is stuck, in the words it is stored with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckTransaction {
    /// The transaction.
    pub gid: Uuid,
    /// Its kind of work.
    pub kind: String,
    /// What it contends for.
    pub label: Uuid,
    /// `stuck_committing` or `stuck_rolling_back`.
    pub state: String,
    /// Which way it was decided, and goes on: `commit` or `roll_back`.
    pub direction: String,
    /// The label's epoch at the decision.
    pub epoch: i64,
    /// Why it was rolled back, if it was.
    pub reason: Option<String>,
    /// Completing attempts that failed before it was given up.
    pub attempts: u32,
    /// Why the last of them failed, or who stopped it.
    pub last_error: Option<String>,
    /// Whoever has not done its part, as far as that is known.
    pub uncompensated: Vec<Uncompensated>,
}

/// A participant that has not done its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncompensated {
    /// Its name.
    pub participant: String,
    /// Where its part stands; [`NOT_KNOWN`] where nothing is recorded of it.
    pub state: String,
    /// Calls so far.
    pub attempts: u32,
    /// What the last one ended with.
    pub last_error: Option<String>,
}

/// The state of a participant of which nothing is recorded: it may have been told, and it may not.
pub const NOT_KNOWN: &str = "not known";

/// The id of a transaction's row: a digest of its gid. The gid itself may be an order's id, and an order has a row of its own.
#[must_use]
pub fn id_of(gid: Uuid) -> Uuid {
    let mut digest = Sha256::new();
    digest.update("dead letter of transaction ");
    digest.update(gid.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

impl StuckTransaction {
    /// What is put into the archive: `payload` is what the participants are told, `calls` are those that came to nothing.
    #[must_use]
    pub fn to_archive(
        &self,
        payload: &str,
        calls: Vec<Attempt>,
        begun_at: DateTime<Utc>,
    ) -> ToArchive {
        let mut history = History::default();
        for call in calls {
            history.push(call.fit_to_be_stored());
        }
        let json = serde_json::to_vec(self)
            .unwrap_or_else(|cause| unreachable!("texts and numbers always serialise: {cause}"));
        ToArchive {
            id: id_of(self.gid),
            subject: Subject::Transaction {
                gid: self.gid,
                label: self.label,
                attempts: self.attempts,
            },
            step: STEP,
            error: self.summary(),
            history,
            payload: payload.as_bytes().to_vec(),
            headers: Headers(vec![(HEADER.to_owned(), Some(json))]),
            envelope: Envelope::default(),
            held: false,
            first_failed_at: begun_at,
        }
    }

    /// Reads it back from its row's headers; nothing where the row is of something else.
    #[must_use]
    pub fn read(headers: &Headers) -> Option<Self> {
        serde_json::from_slice(headers.get(HEADER)?).ok()
    }

    /// Who has not done its part, and why, on one line each.
    fn summary(&self) -> String {
        let mut lines = vec![
            self.last_error
                .clone()
                .unwrap_or_else(|| self.state.clone()),
        ];
        for one in &self.uncompensated {
            lines.push(one.summary());
        }
        lines.join("\n")
    }
}

impl Uncompensated {
    fn summary(&self) -> String {
        let Self {
            participant,
            state,
            attempts,
            last_error,
        } = self;
        match last_error {
            Some(error) => format!("{participant} is {state} after {attempts} calls: {error}"),
            None if state == NOT_KNOWN => format!("{participant}: not known to be done"),
            None => format!("{participant} is {state} after {attempts} calls"),
        }
    }
}

/// The row of a transaction that still waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The row.
    pub id: Uuid,
    /// The transaction.
    pub gid: Uuid,
}

/// Rows of transactions that are not handled, in the order of their ids, after `after`. Locks nothing.
///
/// # Errors
/// What the database says.
pub async fn open(db: &MySqlPool, after: Option<Uuid>, limit: u32) -> sqlx::Result<Vec<Open>> {
    // Every order has a buyer: by the index of buyers only the few rows that are none are read.
    let rows = sqlx::query!(
        r#"select id as "id: Uuid", order_id as "order_id: Uuid", gid as "gid: Uuid" from failed_order_archives
           where user_id is null and gid is not null and handled = false and id > ? order by id limit ?"#,
        after.unwrap_or(Uuid::nil()),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .filter(|row| Kind::of(row.order_id, row.gid) == Kind::Transaction)
        .filter_map(|row| {
            Some(Open {
                id: row.id,
                gid: row.gid?,
            })
        })
        .collect())
}

/// Closes the row of a transaction that has finished. Nothing happens to one that is handled.
///
/// # Errors
/// What the database says.
pub async fn completed(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update failed_order_archives set handled = true, handled_at = utc_timestamp(3), resolution = ? where id = ? and handled = false",
        COMPLETED,
        id
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuck() -> StuckTransaction {
        StuckTransaction {
            gid: Uuid::from_u128(7),
            kind: "order".to_owned(),
            label: Uuid::from_u128(8),
            state: "stuck_committing".to_owned(),
            direction: "commit".to_owned(),
            epoch: 3,
            reason: None,
            attempts: 20,
            last_error: Some("coupon: 503".to_owned()),
            uncompensated: vec![
                Uncompensated {
                    participant: "coupon".to_owned(),
                    state: "owed".to_owned(),
                    attempts: 21,
                    last_error: Some("503".to_owned()),
                },
                Uncompensated {
                    participant: "stock".to_owned(),
                    state: NOT_KNOWN.to_owned(),
                    attempts: 0,
                    last_error: None,
                },
            ],
        }
    }

    #[test]
    fn its_row_is_never_the_row_of_an_order_that_has_the_same_id() {
        let gid = stuck().gid;
        assert_ne!(id_of(gid), gid);
        assert_eq!(id_of(gid), id_of(gid));
        assert_ne!(id_of(gid), id_of(Uuid::from_u128(8)));
    }

    #[test]
    fn what_was_not_done_is_read_back_and_told_line_by_line() {
        let what = stuck().to_archive(r#"{"units":1}"#, Vec::new(), Utc::now());
        assert_eq!(StuckTransaction::read(&what.headers), Some(stuck()));
        assert_eq!(
            what.error,
            "coupon: 503\ncoupon is owed after 21 calls: 503\nstock: not known to be done"
        );
        assert_eq!(what.payload, br#"{"units":1}"#);
        assert_eq!(StuckTransaction::read(&Headers::default()), None);
    }
}
