//! What failed in the small stack: one order healed by a retry, one given up twice, and a message that is no order.

use crate::world::{BERT, BERTS, FRED, FREDS, SALE, World, hex};
use rdkafka::message::OwnedHeaders;
use std::fmt::Write as _;
use uuid::Uuid;

/// The transaction of the replay that failed too.
pub const FREDS_AGAIN: Uuid = Uuid::from_u128(0xf2);
/// The archived message that is no order.
pub const POISON: Uuid = Uuid::from_u128(0xdead);
/// The text of that message.
pub const NO_ORDER: &str = "not an order";
/// The replay.
pub const OPERATION: Uuid = Uuid::from_u128(0x0b);

/// Generation, number and lane of a try.
pub type Try = (u32, u32, &'static str);

const HEALED: [Try; 2] = [(0, 1, "first"), (0, 2, "retry")];
const GIVEN_UP: [Try; 5] = [
    (0, 1, "first"),
    (0, 2, "dead_letter"),
    (0, 2, "archive"),
    (1, 1, "retry"),
    (1, 1, "archive"),
];

impl World {
    /// All of it, as it should look at rest.
    pub async fn write_failures(&self) {
        self.compensation(BERTS, BERTS, 0, "closed", &HEALED).await;
        self.log(BERTS, &HEALED).await;
        self.hand_on(BERTS, BERTS, 0, BERT);

        self.order(FREDS, FRED, 1, "failed", Some("archived")).await;
        self.sql(&format!(
            "update orders set gid = {}, generation = 1 where id = {}",
            hex(FREDS_AGAIN),
            hex(FREDS)
        ))
        .await;
        for (gid, generation, tries) in [(FREDS, 0, &GIVEN_UP[..3]), (FREDS_AGAIN, 1, &GIVEN_UP)] {
            self.transaction_of_kind("archive", gid, "rolled_back")
                .await;
            self.compensation(gid, FREDS, generation, "archived", tries)
                .await;
            self.alert(gid, FREDS, "delivered").await;
            self.hset(&format!("1:res:{gid}"), "state released").await;
        }
        self.log(FREDS, &GIVEN_UP).await;
        self.archive_order().await;
        self.replay("archived").await;
        let (partition, offset) = self.publish_order(FREDS, FREDS, FRED, 1);
        self.hand_on(FREDS, FREDS, 0, FRED);
        for (gid, generation) in [(FREDS, 0), (FREDS_AGAIN, 1)] {
            let letter = World::message(FREDS, gid, generation, FRED, 1);
            self.bury(partition, offset, &letter);
        }

        self.publish_dead(NO_ORDER);
        self.sql(&format!(
            "insert into failed_order_archives (id, generation, step, error, attempts, history, storage, payload, headers, held, handled,
                times_archived, first_failed_at, archived_at)
             values ({}, 0, 'parse', 'no order', 0, '[]', 'mysql', '{NO_ORDER}', '[]', 0, 0, 1, now(3), now(3))",
            hex(POISON)
        ))
        .await;
        self.alert(POISON, POISON, "undelivered").await;
    }

    async fn archive_order(&self) {
        self.sql(&format!(
            "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, attempts, history,
                storage, payload, headers, held, handled, times_archived, first_failed_at, archived_at)
             values ({id}, {id}, {}, 1, {}, {}, 1, 'decide', 'broken', 3, '{}', 'mysql', '{{}}', '[]', 0, 0, 2, now(3), now(3))",
            hex(FREDS_AGAIN),
            hex(SALE),
            hex(FRED),
            history(&GIVEN_UP),
            id = hex(FREDS),
        ))
        .await;
    }

    async fn replay(&self, state: &str) {
        self.sql(&format!(
            "insert into operations (id, kind, asked_by, state, created_at, finished_at)
                values ({}, 'replay', 'olga', 'finished', now(3), now(3));
             insert into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at, finished_at)
                values ({}, {}, {}, 1, '{state}', now(3), now(3), now(3))",
            hex(OPERATION),
            hex(OPERATION),
            hex(FREDS),
            hex(FREDS_AGAIN),
        ))
        .await;
    }

    /// Writes a piece of work that failed.
    pub async fn compensation(
        &self,
        gid: Uuid,
        order: Uuid,
        generation: u32,
        state: &str,
        tries: &[Try],
    ) {
        self.sql(&format!(
            "insert into compensation_messages (id, payload, headers) values ({gid}, '{{}}', '[]');
             insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id, history,
                created_at)
             values ({gid}, 'order', {}, {generation}, {}, {}, '{state}', 1, now(3), {gid}, '{}', now(3))",
            hex(order),
            hex(SALE),
            hex(FRED),
            history(tries),
            gid = hex(gid)
        ))
        .await;
    }

    async fn log(&self, order: Uuid, tries: &[Try]) {
        for (generation, attempt, lane) in tries {
            self.sql(&format!(
                "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
                 values ({order}, {order}, {generation}, {attempt}, '{lane}', 'failed', now(3), 1, 'w')",
                order = hex(order),
            ))
            .await;
        }
    }

    /// Writes an alert of something that was archived, and its incident's notice on one channel.
    pub async fn alert(&self, id: Uuid, about: Uuid, state: &str) {
        let id = hex(id);
        self.sql(&format!(
            "insert into alerts (id, group_key, kind, severity, subject, title, body, created_at, incident_id)
             values ({id}, 'archived/{about}', 'archived', 'urgent', '{about}', 'given up', '{{}}', now(3), {id})"
        ))
        .await;
        self.sql(&format!(
            "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, created_at, incident_id,
                                       sequence)
             values ({id}, 'ops', 'archived', 'urgent', '{about}', 'given up', '{{}}', '{state}', 1, now(3), now(3), {id}, 1)"
        ))
        .await;
    }

    /// Publishes an order to be tried again.
    pub fn hand_on(&self, order: Uuid, gid: Uuid, generation: u32, user: Uuid) {
        let message = World::message(order, gid, generation, user, 1);
        self.publish(
            &self.topics.compensation,
            &order.to_string(),
            &message,
            OwnedHeaders::new(),
        );
    }
}

/// Tries as a history has them.
pub fn history(tries: &[Try]) -> String {
    let mut json = String::from("[");
    for (at, (generation, attempt, lane)) in tries.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(
            json,
            r#"{comma}{{"generation":{generation},"attempt":{attempt},"lane":"{lane}"}}"#
        )
        .unwrap();
    }
    json + "]"
}
