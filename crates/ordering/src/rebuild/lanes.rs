//! Many sales at once. Lanes take them from one queue, each lane one sale at a time; what goes wrong with a sale is that sale's alone,
//! unless it is the way to Redis or to MySQL that broke.

use super::{
    RebuildError, Rebuilder, Rebuilt,
    node::Node,
    plan::{Closed, Lane, Queue},
};
use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;
use tracing::warn;

/// Lanes, where the pool has connections enough.
const LANES: u32 = 4;
/// Connections a lane needs at once: the lock, and two snapshots of a large sale.
const CONNECTIONS: u32 = 3;
/// Connections left to the rest of the process, among it the rebuild's lease.
const LEFT: u32 = 2;

/// What came of the sales one lane took.
type Ended = Vec<(Closed, Result<i64, RebuildError>)>;

impl Rebuilder {
    /// Rebuilds sales that are closed. Dropped, it ends where it stands.
    ///
    /// # Errors
    /// [`RebuildError`], when it would be every sale's.
    pub(super) async fn rebuild(
        &self,
        node: &Node,
        number: i64,
        closed: Vec<Closed>,
    ) -> Result<Rebuilt, RebuildError> {
        let queue = Arc::new(Mutex::new(Queue::of(closed)));
        let count = self.lanes();
        let mut lanes = JoinSet::new();
        for index in 0..count {
            let lane = if index == 0 && count > 1 {
                Lane::LargeFirst
            } else {
                Lane::SmallFirst
            };
            lanes.spawn(Self::run_lane(
                self.clone(),
                node.clone(),
                number,
                Arc::clone(&queue),
                lane,
            ));
        }
        let mut rebuilt = Rebuilt::default();
        let mut without_room = Vec::new();
        while let Some(ended) = lanes.join_next().await {
            let ended = ended.unwrap_or_else(|cause| resume_unwind(cause.into_panic()))?;
            for (closed, outcome) in ended {
                if matches!(outcome, Err(RebuildError::NoRoom(_))) {
                    without_room.push(closed);
                } else {
                    rebuilt.add(closed.planned.sale, outcome);
                }
            }
        }
        self.make_do(node.clone(), number, without_room, &mut rebuilt)
            .await?;
        Ok(rebuilt)
    }

    fn lanes(&self) -> u32 {
        let connections = self.db.options().get_max_connections();
        (connections.saturating_sub(LEFT) / CONNECTIONS).clamp(1, LANES)
    }

    async fn run_lane(
        self,
        mut node: Node,
        number: i64,
        queue: Arc<Mutex<Queue>>,
        lane: Lane,
    ) -> Result<Ended, RebuildError> {
        let mut ended = Ended::new();
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next(lane);
            let Some(closed) = next else {
                return Ok(ended);
            };
            match self.rebuild_closed(&mut node, number, &closed).await {
                Err(cause) if cause.is_of_every_sale() => return Err(cause),
                outcome => ended.push((closed, outcome)),
            }
        }
    }

    /// Tries those again that found no room, one by one and the smallest first: one that is too large took the others' room while it
    /// was written. The largest is left for a later time, so that it does not do that again.
    async fn make_do(
        &self,
        mut node: Node,
        number: i64,
        mut without_room: Vec<Closed>,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), RebuildError> {
        without_room.sort_by_key(|closed| closed.planned.sold);
        let Some(largest) = without_room.pop() else {
            return Ok(());
        };
        for closed in without_room {
            let sale = closed.planned.sale;
            warn!(sale.id = %sale, "Trying sale {sale} again: the stock node had no room for it");
            match self.rebuild_closed(&mut node, number, &closed).await {
                Err(cause) if cause.is_of_every_sale() => return Err(cause),
                outcome => rebuilt.add(sale, outcome),
            }
        }
        let sale = largest.planned.sale;
        rebuilt.add(sale, Err(RebuildError::NoRoom(sale)));
        Ok(())
    }
}
