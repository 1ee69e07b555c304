//! Orders that were given up, put into the tables as the compensator leaves them.

use crate::app::TestApp;
use chrono::{DateTime, TimeDelta, Utc};
use compensation::{
    archive::Counting,
    attempt::{Attempt, History, Lane},
    headers::Headers,
};
use serde_json::json;
use uuid::Uuid;

/// One of them; its defaults are an order that failed three times.
#[derive(Clone)]
pub struct Failed {
    pub id: Uuid,
    pub order: bool,
    pub sale: Uuid,
    pub user: Uuid,
    pub gid: Uuid,
    pub step: &'static str,
    pub error: String,
    pub payload: Vec<u8>,
    pub held: bool,
    pub handled: bool,
    pub resolution: Option<&'static str>,
    pub archived_at: DateTime<Utc>,
    pub history: History,
}

impl Failed {
    pub fn new() -> Self {
        let [id, sale, user, gid] = [(); 4].map(|()| Uuid::now_v7());
        let archived_at = Utc::now() - TimeDelta::minutes(5);
        let message = json!({
            "version": 1, "order_id": id, "gid": gid, "generation": 0, "sale_id": sale, "user_id": user, "quantity": 2,
            "price": 999, "remark": "<b>ring twice</b>", "idempotency": {"key": "secret-key", "body_hash": "abc"},
            "created_at": archived_at,
        });
        Self {
            id,
            order: true,
            sale,
            user,
            gid,
            step: "decide",
            error: "Lock wait timeout exceeded\nat the second try".to_owned(),
            payload: message.to_string().into_bytes(),
            held: false,
            handled: false,
            resolution: None,
            archived_at,
            history: history(archived_at, 0),
        }
    }

    /// Puts it into the archive.
    pub async fn insert(self, app: &TestApp) -> Self {
        let headers = Headers(vec![
            ("traceparent".to_owned(), Some(b"00-abc-def-01".to_vec())),
            (
                "kafka_dlt-original-partition".to_owned(),
                Some(3_i32.to_be_bytes().to_vec()),
            ),
            ("Idempotency-Key".to_owned(), Some(b"secret-key".to_vec())),
        ]);
        sqlx::query(
            "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, attempts, \
             history, storage, payload, headers, held, handled, resolution, times_archived, first_failed_at, archived_at, handled_at) \
             values (?, ?, ?, 0, ?, ?, 2, ?, ?, ?, ?, 'mysql', ?, ?, ?, ?, ?, 1, ?, ?, if(?, utc_timestamp(3), null))",
        )
        .bind(self.id)
        .bind(self.order.then_some(self.id))
        .bind(self.order.then_some(self.gid))
        .bind(self.order.then_some(self.sale))
        .bind(self.order.then_some(self.user))
        .bind(self.step)
        .bind(&self.error)
        .bind(self.history.tries())
        .bind(self.history.to_json())
        .bind(&self.payload)
        .bind(headers.to_json())
        .bind(self.held)
        .bind(self.handled)
        .bind(self.resolution)
        .bind((self.archived_at - TimeDelta::minutes(2)).naive_utc())
        .bind(self.archived_at.naive_utc())
        .bind(self.handled)
        .execute(&app.schema.pool)
        .await
        .expect("an archived order");
        self
    }

    /// Gives it its order and a sale with so many units left.
    pub async fn with_sale(self, app: &TestApp, available: i32) -> Self {
        let db = &app.schema.pool;
        let product = Uuid::now_v7();
        sqlx::query("insert into products (id, name, description, price, created_at) values (?, 'lamp', '', 1, utc_timestamp(3))")
            .bind(product)
            .execute(db)
            .await
            .expect("a product");
        sqlx::query(
            "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at) \
             values (?, 'abcd', ?, 999, 10, 5, utc_timestamp(3), utc_timestamp(3) + interval 1 hour, 'open', 1, utc_timestamp(3))",
        )
        .bind(self.sale)
        .bind(product)
        .execute(db)
        .await
        .expect("a sale");
        sqlx::query("insert into sale_inventory (sale_id, total, available, sold, epoch) values (?, 10, ?, 10 - ?, 0)")
            .bind(self.sale)
            .bind(available)
            .bind(available)
            .execute(db)
            .await
            .expect("its stock");
        sqlx::query(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, created_at, decided_at) \
             values (?, ?, 0, ?, ?, 2, 999, 'failed', 'archived', utc_timestamp(3), utc_timestamp(3))",
        )
        .bind(self.id)
        .bind(Uuid::now_v7())
        .bind(self.user)
        .bind(self.sale)
        .execute(db)
        .await
        .expect("its order");
        self
    }
}

impl TestApp {
    /// Counts what is archived in its groups, as the compensator does every second.
    pub async fn count(&self) {
        let counting = Counting::new(self.schema.pool.clone());
        while counting.run_batch().await.expect("rows are counted") > 0 {}
    }
}

/// Three tries that failed.
pub fn history(until: DateTime<Utc>, generation: u32) -> History {
    let mut history = History::default();
    let lanes = [Lane::First, Lane::Retry, Lane::DeadLetter];
    for (attempt, lane) in (1..).zip(lanes) {
        history.push(Attempt {
            generation,
            attempt,
            lane,
            started_at: until - TimeDelta::seconds(60 - 10 * i64::from(attempt)),
            duration_ms: 1200,
            worker: "compensator-1".to_owned(),
            outcome: "failed".to_owned(),
            error: Some(format!("Lock wait timeout exceeded; try {attempt}")),
            next_after_ms: (attempt < 3).then_some(10_000),
        });
    }
    history
}
