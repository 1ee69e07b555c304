//! The table `compensations`: work that failed, until it is settled. Every statement on it is here, and on the messages it is about, which
//! lie in a table of their own (`messages`).
//!
//! Due times and claims are by the database's clock. A claim is a token: whoever lost it changes nothing any more. Work is taken in,
//! claimed and written in batches, each as one value of one statement (`many`).

mod claims;
mod intake;
mod messages;
mod reading;
mod results;
mod wishes;

pub use claims::{Turn, claim_due, claim_turn, put_all_back, put_all_off, put_back};
pub use intake::{enqueue, enqueue_all, is_known};
pub use messages::remove_closed;
pub use reading::{Waiting, backlog, open_among, open_of_sale, state_of, waiting};
pub use results::{Ended, Outcome, all_published, settle, settle_all};
pub use wishes::{close_held, give_up, replay_held};

use crate::{
    attempt::History,
    headers::Headers,
    state::{IllegalMove, State},
};
use std::time::Duration;
use uuid::Uuid;

/// The longest error that is kept beside the history, in characters.
const ERROR_AT_MOST: usize = 1_000;

/// Work as it comes in.
#[derive(Debug, Clone)]
pub struct NewWork {
    /// The transaction that is to decide it.
    pub gid: Uuid,
    /// What kind of work it is, at most 16 characters.
    pub kind: &'static str,
    /// Whose work it is.
    pub order_id: Uuid,
    /// 0, or the replay it is.
    pub generation: u32,
    /// What it contends for.
    pub sale_id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// [`State::Scheduled`], [`State::Dead`] or [`State::Archiving`].
    pub state: State,
    /// Tries of this generation so far.
    pub attempts: u32,
    /// When it is tried next.
    pub due_after: Duration,
    /// The message.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Headers,
    /// What was tried so far, older generations included.
    pub history: History,
    /// The latest error.
    pub error: Option<String>,
}

/// Work in the hands of one worker.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The transaction that is to decide it.
    pub gid: Uuid,
    /// Whose work it is.
    pub order_id: Uuid,
    /// 0, or the replay it is.
    pub generation: u32,
    /// What it contends for.
    pub sale_id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// Tries of this generation so far.
    pub attempts: u32,
    /// The message.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Headers,
    /// What was tried so far.
    pub history: History,
    /// The latest error.
    pub error: Option<String>,
    /// Whether the dead-letter topic has it.
    pub published: bool,
    /// Whether an operator gave it up.
    pub given_up: bool,
    claim: Uuid,
}

fn stored_state(name: &str) -> sqlx::Result<State> {
    name.parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}

pub(crate) fn unreadable(cause: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(cause))
}

fn illegal(cause: IllegalMove) -> sqlx::Error {
    sqlx::Error::Protocol(cause.to_string())
}

/// As much of an error as its column takes.
pub(crate) fn short(error: &str) -> String {
    error.chars().take(ERROR_AT_MOST).collect()
}

pub(crate) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
