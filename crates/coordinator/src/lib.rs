//! A transaction coordinator: it makes several resources agree on one outcome, in batches, whatever dies in between.
//!
//! Two phases with a **last resource**. *Prepare* asks each [`Participant`] for a promise. *Decide* is one database transaction
//! a batch: the log's rows and the [`LastResource`]'s own rows commit together, so there is no moment at which the log says one
//! thing and the data another. *Complete* tells the participants. A caller is answered once the decision is durable, and every
//! repeat of a gid is given the stored outcome.
//!
//! The engine is generic: it knows nothing of orders, sales, Redis or Kafka.
//!
//! A participant may also be [foreign]: a service outside, spoken to over HTTP. Its promise cannot be guessed, so its transaction is
//! written down first, and without the promise nothing is decided.
//!
//! # States
//! A row of `transactions` is first seen `committing` or `rolling_back`, for it is written by its decision. One with foreign
//! participants, or one that was [begun](Engine::begin), is seen before: `begun`, and `prepared` once all of them have promised; it stays
//! so until somebody submits it again, commits it or rolls it back, and is [overdue](Recovery::overdue) after [`Limits::timeout`]. Once
//! every participant has answered, a transaction is `committed` or `rolled_back`: final. Where one keeps failing, it is `stuck_committing` or
//! `stuck_rolling_back` until somebody [resumes](resume()) it, and goes on the same way. [`TxState::on`] has every move.
//!
//! # Bounds
//! [`Limits`] has those of an engine: transactions in a batch, the wait for company (an idle engine waits for nobody), batches in
//! flight, transactions in the queue; beyond it [`Engine::submit`] waits. On batches of one [`Label`] the last
//! resource rules one after another: the next one is prepared and written into the log meanwhile, and its turn comes once nothing is
//! left of the first but COMMIT.
//! A step of a decision takes 5 s at most, a lock is waited for 2 s, and a session that is silent for 5 s is ended by the server, so
//! that a process that sleeps holds nobody up. [`Pace`] and [`RetryPolicy`] have those of recovery. What is stored of a transaction
//! for its participants is at most 1,000 bytes, of its work while it is undecided 64 KiB, a reason 64 characters, a kind 16, what is
//! kept of an error 500, and of a branch its latest 20 calls. Foreign participants have 5 s to promise, and 8 s to be told at a time;
//! 1,000 branches of each are in hand at once; of the others those to be told wait in the log, and those to be asked are `NotPromised`.
//!
//! # Errors
//! [`SubmitError`] means that nothing was decided in this call, and nothing will be: the log was away (`Unavailable`), this
//! transaction alone cannot be written (`CannotDecide`), one of its foreign participants has not promised (`NotPromised`: it stays
//! begun), or the engine is stopping. The same gid may be submitted again. A reply to COMMIT that never came is no error: it is read back until the log says what happened.
//!
//! # What it guarantees
//! - One decision a gid, by whichever engine, in whichever process; every answer about it is the stored one.
//! - The last resource's rows say what the decision says.
//! - Every participant is told of every decision, at least once, always the same direction and epoch, until it answers that it is
//!   done, failed too often, or retention forgot what was finished. A foreign one that refused is not told; one
//!   that may not have been asked is: it remembers, and promises nothing afterwards.
//! - Nothing is committed without the promise of every foreign participant it has.
//! - Nobody is held up for good: not by a process that sleeps or dies, nor by a transaction that cannot be written, nor by a panic.
//!
//! # What it assumes
//! - The database keeps what it committed (`innodb_flush_log_at_trx_commit = 1`, `sync_binlog = 1`), and READ COMMITTED sessions.
//! - Participants may be told anything again, and late: applied before means done. They bound their own waiting, to less than
//!   [`Pace::lease`].
//! - Clocks: leases, waits and retention go by the database's alone. A jump makes them early or late, never wrong.
//! - Whoever repeats a gid repeats its work; nobody repeats it later than finished transactions are kept ([`Retention`]), or the last
//!   resource knows it by its own rows ([`Verdict::AlreadySettled`]).
//!
//! # What it does not promise
//! - Isolation between participants: one may have applied what another is told a moment later.
//! - That a participant is told once, or in the order of decisions.
//! - A way back: what is decided is never turned round. Undoing is another transaction.
//!
//! # What is left out
//! Who looks for what is [overdue](Recovery::overdue) and [stuck](control::stuck_to_hand_over), when recovery and retention run, and what
//! people are told: that is the business of the process that runs them.
//!
//! # Example
//! A theatre: the seats are the last resource, the cloakroom and the bar are told of every visitor.
//!
//! ```no_run
//! use coordinator::{
//!     Answer, Ballot, Completion, Direction, Engine, Gid, Label, LastResource, Limits, Outcome, Pace, Participant, Recovery,
//!     Ruling, Sessions, Transaction, Verdict, Vote, Work,
//! };
//! use futures::future::BoxFuture;
//! use serde::{Deserialize, Serialize};
//! use sqlx::{MySqlConnection, MySqlPool};
//! use std::sync::Arc;
//! use uuid::Uuid;
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Visit {
//!     visitor: u32,
//! }
//!
//! impl Work for Visit {
//!     type Branch = u32;
//!
//!     fn kind(&self) -> &'static str {
//!         "visit"
//!     }
//!
//!     fn branch(&self) -> u32 {
//!         self.visitor
//!     }
//! }
//!
//! /// Keeps a hook, or a glass, for each visitor.
//! struct Desk(&'static str);
//!
//! impl Desk {
//!     async fn serve(&self, visitor: u32, seated: bool) -> Result<(), std::io::Error> {
//!         println!("{}: visitor {visitor} is seated: {seated}", self.0);
//!         Ok(())
//!     }
//! }
//!
//! impl Participant<Visit> for Desk {
//!     fn name(&self) -> &'static str {
//!         self.0
//!     }
//!
//!     fn prepare<'a>(&'a self, batch: &'a [Transaction<Visit>]) -> BoxFuture<'a, Vec<Vote>> {
//!         Box::pin(async move { vec![Vote::Yes; batch.len()] })
//!     }
//!
//!     fn complete<'a>(&'a self, batch: &'a [Completion<u32>]) -> BoxFuture<'a, Vec<Answer>> {
//!         Box::pin(async move {
//!             let mut answers = Vec::new();
//!             for it in batch {
//!                 let served = self.serve(it.branch, it.direction == Direction::Commit).await;
//!                 answers.push(match served {
//!                     Ok(()) => Answer::Done,
//!                     Err(closed) => Answer::NotYet(closed.to_string()),
//!                 });
//!             }
//!             answers
//!         })
//!     }
//! }
//!
//! /// One row a play.
//! struct Seats;
//!
//! impl LastResource<Visit> for Seats {
//!     fn rule<'a>(
//!         &'a self,
//!         db: &'a mut MySqlConnection,
//!         ballots: &'a [Ballot<Visit>],
//!     ) -> BoxFuture<'a, Result<Vec<Ruling>, sqlx::Error>> {
//!         Box::pin(async move {
//!             let mut rulings = Vec::new();
//!             for ballot in ballots {
//!                 let taken = sqlx::query("update plays set seats = seats - 1 where id = ? and seats > 0")
//!                     .bind(ballot.transaction.label)
//!                     .execute(&mut *db)
//!                     .await?;
//!                 let verdict = match taken.rows_affected() {
//!                     1 => Verdict::Granted,
//!                     _ => Verdict::Refused("full".to_owned()),
//!                 };
//!                 rulings.push(Ruling { verdict, epoch: 0 });
//!             }
//!             Ok(rulings)
//!         })
//!     }
//! }
//!
//! # async fn evening(play: Uuid) -> Result<(), Box<dyn std::error::Error>> {
//! let participants: Vec<Arc<dyn Participant<Visit>>> = vec![Arc::new(Desk("cloakroom")), Arc::new(Desk("bar"))];
//! let server = "mysql://theatre@127.0.0.1/theatre";
//! let engine = Engine::start(Limits::default(), Sessions::new(server.parse()?), participants.clone(), Arc::new(Seats));
//! let visit = Transaction {
//!     gid: Gid::from_uuid(Uuid::now_v7()),
//!     label: Label::from_uuid(play),
//!     work: Visit { visitor: 7 },
//! };
//! match engine.submit(visit).await? {
//!     Outcome::Committed => println!("seated"),
//!     Outcome::RolledBack { reason } => println!("not seated: {reason}"),
//! }
//!
//! // In this process or another: what was decided and not completed.
//! let db = MySqlPool::connect(server).await?;
//! let recovered = Recovery::new(db, participants, Pace::default()).run_batch().await?;
//! println!("{} finished, {} wait", recovered.finished, recovered.waiting);
//! engine.drain().await;
//! # Ok(())
//! # }
//! ```

mod completing;
pub mod control;
mod core;
mod decision;
mod engine;
mod epochs;
pub mod foreign;
mod ids;
mod log;
pub mod metrics;
mod outside;
mod participant;
mod recovery;
mod resume;
mod retention;
mod retry;
mod sessions;
#[cfg(test)]
mod simulation;
mod state;
pub mod statement;
mod trace;
mod transaction;

pub use crate::core::Limits;
pub use engine::{DecideError, Engine};
pub use foreign::{
    BadParticipant, Called, ForeignParticipants, HttpParticipant, HttpSettings, Op, Phase, Reply,
    SameName, Style,
};
pub use ids::{Gid, Label, Token};
pub use log::{Backlog, BranchState, SUPERSEDED, UnknownBranchState, backlog, backlog_within};
pub use participant::{Ballot, LastResource, Participant, Participants};
pub use recovery::{Pace, Recovered, Recovery};
pub use resume::{ResumeError, resume};
pub use retention::Retention;
pub use retry::RetryPolicy;
pub use sessions::Sessions;
pub use state::{Direction, Event, IllegalMove, TxState, UnknownState};
pub use transaction::{
    Answer, Completion, NotPromised, Outcome, Ruling, SubmitError, Transaction, Verdict, Vote, Work,
};
