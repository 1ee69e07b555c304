//! A transaction's branches, as operators see them.

use crate::{
    ids::Gid,
    log::{BranchState, branch_state},
    state::TxState,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::MySqlConnection;

/// What is known of one participant's part. Participants that never failed, and are no foreign ones, have none: theirs is done
/// once the transaction is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchDetails {
    /// The participant's name.
    pub participant: String,
    /// Whether it is spoken to over HTTP.
    pub is_foreign: bool,
    /// Where it stands.
    pub state: BranchState,
    /// Calls so far; of a participant that is no foreign one, those that failed.
    pub attempts: u32,
    /// Why its last call came to nothing.
    pub last_error: Option<String>,
    /// The latest calls, oldest first, at most 20.
    pub history: Vec<BranchAttempt>,
    /// When something was written of it last.
    pub changed_at: DateTime<Utc>,
}

/// One call of a participant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BranchAttempt {
    /// When it began, by the caller's clock.
    pub at: DateTime<Utc>,
    /// What it was called for.
    pub op: String,
    /// Milliseconds, the wait for its turn not counted.
    pub took_ms: u64,
    /// What it answered, in words.
    pub answer: String,
}

/// All branches of a transaction that is in this state.
pub(super) async fn of(
    db: &mut MySqlConnection,
    gid: Gid,
    state: TxState,
) -> sqlx::Result<Vec<BranchDetails>> {
    let rows = sqlx::query!(
        r#"select participant, is_foreign as "is_foreign: bool", state, attempts as "attempts: u32", last_error, history,
                  changed_at as "changed_at: DateTime<Utc>"
           from transaction_branches where gid = ? order by participant"#,
        gid
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let stored = branch_state(&row.state)?;
            let is_over = matches!(state, TxState::Committed | TxState::RolledBack)
                && stored != BranchState::Refused;
            Ok(BranchDetails {
                participant: row.participant,
                is_foreign: row.is_foreign,
                state: if is_over { BranchState::Done } else { stored },
                attempts: row.attempts,
                last_error: row.last_error,
                history: read(&row.history),
                changed_at: row.changed_at,
            })
        })
        .collect()
}

/// A line each; what cannot be read is left out.
fn read(history: &str) -> Vec<BranchAttempt> {
    let lines = history.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
