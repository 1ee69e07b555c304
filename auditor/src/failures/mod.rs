//! What failed on its way and what became of it: tries, archive, alerts and replays, as MySQL has them.
//!
//! Held in memory: some 100 bytes for each order that was handed on. One order's history is read at a time.

mod alerts;
mod archive;
mod history;
mod replays;

use crate::{
    checks::Check,
    verdict::{FailureCounts, Tally},
};
use alerts::Alerts;
use futures::TryStreamExt;
use history::History;
use sqlx::MySqlConnection;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// All that failed, to compare the topics with.
#[derive(Debug, Default)]
pub struct Failures {
    /// Every transaction that was handed on.
    known: HashMap<Uuid, Left>,
    /// The archived messages that are no orders, by their digests.
    strange: HashSet<u64>,
    /// Such messages whose text is kept in a file, which is not read here.
    strange_in_files: u64,
    counts: FailureCounts,
}

/// What became of a transaction that was handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It is settled, or still tried.
    ToItself,
    /// Given up.
    Archived,
    /// Given up without a decision, its units kept for an operator.
    Held,
}

/// One piece of work that failed.
#[derive(sqlx::FromRow)]
struct Compensation {
    gid: Uuid,
    order_id: Uuid,
    generation: i32,
    state: String,
    history: String,
    has_message: bool,
}

/// The latest generation of an order, and how often the order was given up.
#[derive(Debug, Default)]
struct Latest {
    history: History,
    given_up: u64,
    /// Its first generation was settled by a try.
    first_closed: bool,
}

/// Looks at everything that failed, in the caller's snapshot.
///
/// # Errors
/// MySQL does not answer.
pub async fn check(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<Failures> {
    let mut failures = Failures::default();
    let latest = failures.walk_compensations(db, tally).await?;
    let alerts = Alerts::read(db, tally, &mut failures.counts).await?;
    archive::check_failed_orders(db, tally).await?;
    failures.walk_archive(db, &latest, &alerts, tally).await?;
    history::check_logs(db, &latest, tally).await?;
    replays::check(db, tally).await?;
    Ok(failures)
}

impl Failures {
    /// What failed, in numbers.
    #[must_use]
    pub fn counts(&self) -> FailureCounts {
        self.counts
    }

    /// Whether the transaction was ever taken in.
    #[must_use]
    pub fn knows(&self, gid: Uuid) -> bool {
        self.known.contains_key(&gid)
    }

    /// Whether the transaction waits for an operator, without a decision.
    #[must_use]
    pub fn holds(&self, gid: Uuid) -> bool {
        self.known.get(&gid) == Some(&Left::Held)
    }

    /// Transactions that were given up.
    pub fn given_up(&self) -> impl Iterator<Item = Uuid> {
        let known = self.known.iter();
        known
            .filter(|(_, left)| **left != Left::ToItself)
            .map(|(gid, _)| *gid)
    }

    /// Whether a message that is no order is in the archive. One whose text is in a file is taken for this one.
    pub fn has_strange(&mut self, digest: u64) -> bool {
        self.strange.contains(&digest) || {
            let left = self.strange_in_files.checked_sub(1);
            self.strange_in_files = left.unwrap_or_default();
            left.is_some()
        }
    }

    /// Each has its message, and is settled, or given up and held; and a later generation goes on where the one before it ended.
    async fn walk_compensations(
        &mut self,
        db: &mut MySqlConnection,
        tally: &mut Tally,
    ) -> sqlx::Result<HashMap<Uuid, Latest>> {
        let mut latest: HashMap<Uuid, Latest> = HashMap::new();
        let mut rows = sqlx::query_as::<_, Compensation>(
            "select gid, order_id, generation, state, history, exists(select 1 from compensation_messages where id = message_id) as has_message
             from compensations order by order_id, generation",
        )
        .fetch(db);
        while let Some(row) = rows.try_next().await? {
            tally.note(
                Check::CompensationSettled,
                matches!(row.state.as_str(), "closed" | "archived" | "held"),
                || {
                    format!(
                        "order {}, transaction {}: {}",
                        row.order_id, row.gid, row.state
                    )
                },
            );
            tally.note(Check::HandedOnKept, row.has_message, || {
                format!(
                    "order {}, transaction {}: it was taken in, and its message is gone",
                    row.order_id, row.gid
                )
            });
            let left = match row.state.as_str() {
                "archived" => Left::Archived,
                "held" => Left::Held,
                _ => Left::ToItself,
            };
            self.known.insert(row.gid, left);
            self.counts.handed_on += u64::from(row.generation == 0);
            let order = latest.entry(row.order_id).or_default();
            if row.generation == 0 && row.state == "closed" {
                order.first_closed = true;
                self.counts.healed += 1;
            }
            let history = History::read(&row.history);
            tally.note(Check::OneHistory, history.goes_on_from(&order.history), || {
                format!(
                    "order {}: the history of generation {} does not begin with the one before it",
                    row.order_id, row.generation
                )
            });
            order.history = history;
            order.given_up += u64::from(left != Left::ToItself);
        }
        Ok(latest)
    }
}
