//! A transaction coordinator: it makes several resources agree on one outcome, in batches, whatever dies in between.
//!
//! Two phases with a **last resource**. *Prepare* asks each [`Participant`] for a promise. *Decide* is one database transaction
//! a batch: the log's rows and the [`LastResource`]'s own rows commit together, so there is no moment at which the log says one
//! thing and the data another. *Complete* tells the participants. A caller is answered once the decision is durable, and every
//! repeat of a gid is given the stored outcome.
//!
//! The engine is generic: it knows nothing of orders, sales, Redis or Kafka. It leaves out participants that must be logged
//! before they are asked (foreign ones over a network) and giving up on a completion (`stuck`); its states are ready for both.

pub mod control;
mod core;
mod decision;
mod engine;
mod ids;
mod log;
pub mod metrics;
mod participant;
mod recovery;
mod resume;
mod retention;
mod retry;
mod sessions;
#[cfg(test)]
mod simulation;
mod state;
mod transaction;

pub use crate::core::Limits;
pub use engine::Engine;
pub use ids::{Gid, Label, Token};
pub use log::{Backlog, SUPERSEDED, backlog};
pub use participant::{Ballot, LastResource, Participant};
pub use recovery::{Pace, Recovered, Recovery};
pub use resume::{ResumeError, resume};
pub use retention::Retention;
pub use retry::RetryPolicy;
pub use sessions::Sessions;
pub use state::{Direction, Event, IllegalMove, TxState, UnknownState};
pub use transaction::{
    Answer, Completion, Outcome, Ruling, SubmitError, Transaction, Verdict, Vote, Work,
};
