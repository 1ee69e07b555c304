//! What could not be finished, and what is written of it.

use super::Recovered;
use crate::{
    ids::Gid,
    log::{self, Failure},
    retry::{Next, RetryPolicy},
    state::{Direction, Event, TxState},
    transaction::Answer,
};
use sqlx::MySqlConnection;
use std::collections::BTreeMap;
use tracing::error;

/// What is not done, by what is written of it: rows that are alike are written together.
#[derive(Default)]
pub(super) struct Trouble {
    not_now: BTreeMap<String, Vec<Gid>>,
    parked: BTreeMap<String, Vec<Gid>>,
    failed: BTreeMap<Failure, Vec<Gid>>,
}

impl Trouble {
    pub(super) fn add(&mut self, gid: Gid, attempts: i32, answer: Answer) {
        match answer {
            Answer::Done => {}
            Answer::NotYet(why) => self.not_now.entry(why).or_default().push(gid),
            Answer::Failed(why) => self
                .failed
                .entry(Failure { attempts, why })
                .or_default()
                .push(gid),
        }
    }

    /// It waits until it is woken.
    pub(super) fn park(&mut self, gid: Gid, why: String) {
        self.parked.entry(why).or_default().push(gid);
    }

    /// Writes all of it; how many wait, and how many are stuck.
    pub(super) async fn write(
        self,
        db: &mut MySqlConnection,
        retry: &RetryPolicy,
        direction: Direction,
    ) -> sqlx::Result<Recovered> {
        let mut recovered = Recovered::default();
        for (why, gids) in &self.not_now {
            log::not_now(db, gids, retry.first_wait, retry.jitter, why).await?;
            recovered.waiting += gids.len();
        }
        for (why, gids) in &self.parked {
            log::park(db, gids, why).await?;
            recovered.waiting += gids.len();
        }
        for (failure, gids) in &self.failed {
            let next = retry.after_failure(u32::try_from(failure.attempts).unwrap_or_default());
            log::failed(db, direction, gids, failure, next, retry.jitter).await?;
            if next == Next::Stuck {
                recovered.stuck += gids.len();
                tell_stuck(direction, gids, failure);
            } else {
                recovered.waiting += gids.len();
            }
        }
        Ok(recovered)
    }
}

fn tell_stuck(direction: Direction, gids: &[Gid], failure: &Failure) {
    let Failure { attempts, why } = failure;
    for gid in gids {
        error!(
            gid = %gid,
            "Transaction {gid} is {}: it failed {} times, at last with: {why}",
            direction.decided().on(Event::AttemptsExhausted).map_or("stuck", TxState::as_str),
            attempts + 1
        );
    }
}
