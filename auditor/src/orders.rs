//! The orders MySQL holds, as a compact sorted table (33 bytes an order) that topics and transactions are compared with.

use crate::{
    checks::Check,
    database::OrderRow,
    verdict::{OrderCounts, Tally},
};
use std::collections::HashMap;
use uuid::Uuid;

/// Every order row, in the order of their ids.
#[derive(Debug, Default)]
pub struct Orders {
    known: Vec<Known>,
    /// Orders whose transaction is not named like them: those of later generations.
    by_gid: HashMap<Uuid, usize>,
    counts: OrderCounts,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    id: Uuid,
    gid: Uuid,
    granted: bool,
    on_topic: bool,
}

impl Orders {
    /// Orders by outcome.
    #[must_use]
    pub fn counts(&self) -> OrderCounts {
        self.counts
    }

    /// Adds the next row (ids ascending) and judges what it says of itself.
    pub fn judge(&mut self, row: &OrderRow, tally: &mut Tally) {
        let has_reason = row
            .reason
            .as_deref()
            .is_some_and(|reason| !reason.is_empty());
        let (count, settled) = match row.status.as_str() {
            "confirmed" | "paid" | "shipped" | "delivered" => (&mut self.counts.confirmed, true),
            "cancelled" | "refunded" => (&mut self.counts.given_back, true),
            "rejected" => (&mut self.counts.rejected, has_reason),
            "failed" => (&mut self.counts.failed, has_reason),
            _ => (&mut self.counts.unsettled, false),
        };
        *count += 1;
        tally.note(Check::EndState, settled, || {
            format!(
                "order {}: {} with reason {:?}",
                row.id, row.status, row.reason
            )
        });
        tally.note(
            Check::OneTransaction,
            row.generation != 0 || row.gid == row.id,
            || {
                format!(
                    "order {}: generation 0 was decided by transaction {}",
                    row.id, row.gid
                )
            },
        );
        if row.gid != row.id {
            self.by_gid.insert(row.gid, self.known.len());
        }
        self.known.push(Known {
            id: row.id,
            gid: row.gid,
            granted: row.was_granted(),
            on_topic: false,
        });
    }

    /// Judges one transaction by the order it decided.
    pub fn judge_transaction(&self, gid: Uuid, kind: &str, state: &str, tally: &mut Tally) {
        tally.note(
            Check::TransactionFinished,
            matches!(state, "committed" | "rolled_back"),
            || format!("transaction {gid} ({kind}): {state}"),
        );
        if !ORDER_KINDS.contains(&kind) {
            return;
        }
        let committing = matches!(state, "committing" | "committed" | "stuck_committing");
        let undecided = matches!(state, "begun" | "prepared");
        let order = self
            .by_gid
            .get(&gid)
            .copied()
            .or_else(|| self.find(gid))
            .map(|at| &self.known[at]);
        // An earlier generation's transaction names no row any more; it can only have been rolled back.
        tally.note(
            Check::OneTransaction,
            order.is_some() || !committing,
            || format!("transaction {gid}: {state}, but no order was decided by it"),
        );
        if let Some(order) = order.filter(|order| order.gid == gid && !undecided) {
            tally.note(Check::FitsTransaction, order.granted == committing, || {
                format!(
                    "order {}: {}, its transaction {gid} is {state}",
                    order.id,
                    if order.granted {
                        "granted"
                    } else {
                        "not granted"
                    }
                )
            });
        }
    }

    /// Notes that a message of this order was seen on the topic. False: there is no such row.
    pub fn seen_on_topic(&mut self, order: Uuid) -> bool {
        let at = self.find(order);
        if let Some(at) = at {
            self.known[at].on_topic = true;
        }
        at.is_some()
    }

    /// Once the whole topic was read, and nothing of it was deleted: every row came from there.
    pub fn all_came_through_topic(&self, tally: &mut Tally) {
        for order in &self.known {
            tally.note(Check::RowHasMessage, order.on_topic, || {
                format!("order {}: no message on the topic", order.id)
            });
        }
    }

    fn find(&self, order: Uuid) -> Option<usize> {
        self.known
            .binary_search_by_key(&order, |known| known.id)
            .ok()
    }
}

/// How the `transactions` table calls those that decide an order, and those that give one up.
const ORDER_KINDS: [&str; 2] = ["order", "archive"];
