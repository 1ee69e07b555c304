//! What is stored of an order that failed, as the tests look at it.

use crate::world::{SOON, World};
use chrono::Utc;
use compensation::{
    alerts::{Channels, Folder},
    archive::{self, Archived},
    attempt::{Attempt, Lane},
    operations::{
        self, Counts, Kind, NewBulk, Operation,
        terms::{Reason, Selected, Terms},
    },
};
use compensator::repair::Repair;
use ordering::{SaleId, message::OrderMessage};
use rdkafka::message::{OwnedHeaders, OwnedMessage};
use service_kit::settings::Settings;
use testkit::{eventually, kafka::Publisher};
use uuid::Uuid;

impl World {
    /// Lanes with more settings at their end.
    pub async fn repair_with(&self, more: &str) -> Repair {
        self.repair(&self.settings(&[], more)).await
    }

    /// An order with this remark that was handed on, and went its way until nothing is open.
    pub async fn failed(&self, sale: SaleId, remark: &str, repair: &Repair) -> OrderMessage {
        let order = self.reserve_with(sale, Some(remark)).await;
        self.enqueue(&order).await;
        self.drive(repair).await;
        order
    }

    /// Units of the sale in Redis: available, held, sold.
    pub async fn units(&self, sale: SaleId) -> (i64, i64, i64) {
        let levels = self.levels(sale).await;
        (levels.available, levels.held, levels.sold)
    }

    /// Waits until Redis was told what MySQL decided.
    pub async fn until_units(&self, sale: SaleId, are: (i64, i64, i64)) {
        eventually(&format!("the units are {are:?}"), SOON, || async {
            (self.units(sale).await == are).then_some(())
        })
        .await;
    }

    /// Puts an order where order-consumer puts those that fail alone.
    pub async fn hand_on(&self, order: &OrderMessage) {
        let topic = self.topics.compensation.clone();
        self.send(
            &topic,
            &order.order_id.to_string(),
            &order.to_bytes(),
            OwnedHeaders::new(),
        )
        .await;
    }

    pub async fn send(&self, topic: &str, key: &str, payload: &[u8], headers: OwnedHeaders) {
        Publisher::of(&self.topics.brokers)
            .send(topic, key.as_bytes(), payload, headers)
            .await;
    }

    /// The order's stored status, `none` without a row.
    pub async fn status(&self, order: &OrderMessage) -> String {
        sqlx::query_scalar("select status from orders where id = ?")
            .bind(order.order_id)
            .fetch_optional(&self.schema.pool)
            .await
            .unwrap()
            .unwrap_or_else(|| "none".to_owned())
    }

    /// State and tries of the order's compensations, generation by generation.
    pub async fn compensations(&self, order: &OrderMessage) -> Vec<(String, i32)> {
        sqlx::query_as(
            "select state, attempts from compensations where order_id = ? order by generation",
        )
        .bind(order.order_id)
        .fetch_all(&self.schema.pool)
        .await
        .unwrap()
    }

    /// As when the claims of a process that died have ended.
    pub async fn let_claims_end(&self) {
        for table in ["compensations", "operation_items"] {
            self.schema
                .execute(&format!(
                    "update {table} set due_at = utc_timestamp(3) - interval 1 second"
                ))
                .await;
        }
    }

    /// Makes everything that waits due.
    pub async fn let_time_pass(&self) {
        self.schema
            .execute("update compensations set due_at = utc_timestamp(3) - interval 1 second where not is_claimed")
            .await;
    }

    pub async fn archived(&self, order: &OrderMessage) -> Option<Archived> {
        archive::find(&self.schema.pool, order.order_id.as_uuid())
            .await
            .unwrap()
    }

    /// Asks for a replay as the admin does.
    pub async fn ask_for_replay(&self, order: &OrderMessage) -> Uuid {
        operations::claim_replay(&self.schema.pool, order.order_id.as_uuid(), "night", None)
            .await
            .unwrap()
    }

    /// Asks for the order to be given up for good, as the admin does.
    pub async fn ask_for_discard(&self, order: &OrderMessage) -> Uuid {
        let id = order.order_id.as_uuid();
        operations::claim_discard(&self.schema.pool, id, "night", "it was paid by hand")
            .await
            .unwrap()
    }

    /// Each item that has ended and is added up has one line in the audit, which is one chain; act, outcome and detail of all, the newest first.
    pub async fn audited_items(&self) -> Vec<[String; 3]> {
        let db = &self.schema.pool;
        let amiss: Vec<(Uuid, Uuid, String, i64)> = sqlx::query_as(
            "select i.operation_id, i.archive_id, i.state, count(a.id)
             from operation_items i join operations o on o.id = i.operation_id
             left join audit_log a on a.operation_id = i.operation_id and a.act like 'item.%'
                  and a.subject = insert(insert(insert(insert(lower(hex(i.archive_id)), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')
             group by i.operation_id, i.archive_id, i.state, i.finished_at, i.uncounted, o.filter
             having count(a.id) <> (i.finished_at is not null and (o.filter is null or i.uncounted = 0))",
        )
        .fetch_all(db)
        .await
        .unwrap();
        assert!(amiss.is_empty(), "ends and lines differ: {amiss:?}");
        let head = audit::head::head(db).await.unwrap();
        let all = audit::listing::Filter::default();
        let lines = audit::listing::oldest(db, &all, 0, head.id, 10_000)
            .await
            .unwrap();
        let mut check = audit::check::Check::new(None);
        for line in &lines {
            check.line(line).unwrap();
        }
        check.end(Some(head)).unwrap();
        let told = lines.into_iter().rev();
        told.map(|line| [line.act, line.outcome, line.detail])
            .collect()
    }

    /// Asks for an operation on all that is open, without time to undo it.
    pub async fn ask_for_all(&self, kind: Kind, terms: Terms) -> Uuid {
        let new = NewBulk {
            id: Uuid::now_v7(),
            kind,
            selected: &Selected::default(),
            reason: &Reason::parse("the cause is gone").unwrap(),
            terms,
            confirm_above: None,
            asked_by: "night",
        };
        let mut db = self.schema.pool.acquire().await.unwrap();
        operations::create(&mut db, &new).await.unwrap();
        new.id
    }

    pub async fn counts(&self, operation: Uuid) -> Counts {
        self.operation(operation).await.bulk.unwrap().counts
    }

    /// An order with this remark that was given up before, as its decision and the archive's row leave it.
    pub async fn given_up(
        &self,
        sale: SaleId,
        remark: Option<&str>,
        engine: &ordering::engine::OrderEngine,
    ) -> OrderMessage {
        let order = self.reserve_with(sale, remark).await;
        let failed = engine.archive(order.clone()).await;
        assert_eq!(failed, Ok(ordering::OrderOutcome::Failed));
        self.put_into_archive(&order).await;
        order
    }

    /// The archive's row of an order, open.
    pub async fn put_into_archive(&self, order: &OrderMessage) {
        let what = archive::ToArchive {
            id: order.order_id.as_uuid(),
            subject: archive::Subject::Order(archive::ArchivedOrder {
                gid: order.gid.as_uuid(),
                generation: order.generation,
                sale_id: order.sale_id.as_uuid(),
                user_id: order.user_id.as_uuid(),
                quantity: order.quantity.get(),
            }),
            step: "decide",
            error: "it failed".to_owned(),
            history: compensation::attempt::History::default(),
            payload: order.to_bytes(),
            headers: compensation::headers::Headers::default(),
            envelope: archive::Envelope::default(),
            held: false,
            first_failed_at: Utc::now(),
        };
        let kept = archive::Kept::in_row(&what);
        let mut db = self.schema.pool.acquire().await.unwrap();
        archive::put(&mut db, &what, &kept).await.unwrap();
    }

    /// One round of every lane, with everything that waits due.
    pub async fn round(&self, repair: &Repair) {
        self.let_time_pass().await;
        repair.operations.run_batch().await.unwrap();
        repair.replays.run_batch().await.unwrap();
        repair.retry_lane.run_batch().await.unwrap();
        repair.archive_lane.run_batch().await.unwrap();
    }

    /// Rounds until the operation has ended, or paused.
    pub async fn until_over(&self, operation: Uuid, repair: &Repair) -> Operation {
        eventually("the operation is over", SOON, || async {
            self.round(repair).await;
            let found = self.operation(operation).await;
            let counts = found.bulk.as_ref().unwrap().counts;
            let over = found.state.is_final() || found.state == operations::State::Paused;
            (over && counts.under_way() == 0).then_some(found)
        })
        .await
    }

    pub async fn operation(&self, id: Uuid) -> Operation {
        operations::find(&self.schema.pool, id)
            .await
            .unwrap()
            .unwrap()
    }

    /// Kind and severity of the alerts about the order, in the order of their times, and how far people were told of their incidents.
    pub async fn alerts(&self, subject: &str) -> Vec<(String, String, String)> {
        let settings = Settings::default();
        Folder::new(
            self.schema.pool.clone(),
            &settings.alerts,
            &Channels::default(),
        )
        .run_once()
        .await
        .unwrap();
        sqlx::query_as(
            "select kind, severity,
                    coalesce((select max(state) from alert_outbox where incident_id = alerts.incident_id), 'untold')
             from alerts where subject = ? order by created_at, kind desc",
        )
        .bind(subject)
        .fetch_all(&self.schema.pool)
        .await
        .unwrap()
    }

    pub async fn dead_letters(&self) -> Vec<OwnedMessage> {
        testkit::kafka::read_all(&self.topics.brokers, &self.topics.dead_letters).await
    }

    /// Tries what is due until nothing waits any more.
    pub async fn drive(&self, repair: &Repair) {
        eventually("nothing is open", SOON, || async {
            self.let_time_pass().await;
            repair.replays.run_batch().await.unwrap();
            repair.retry_lane.run_batch().await.unwrap();
            repair.archive_lane.run_batch().await.unwrap();
            let open: i64 = sqlx::query_scalar(
                "select (select count(*) from compensations where state in ('scheduled', 'dead', 'archiving'))
                      + (select count(*) from operation_items where state = 'requested')",
            )
            .fetch_one(&self.schema.pool)
            .await
            .unwrap();
            (open == 0).then_some(())
        })
        .await;
    }

    /// The queue's row as the intake writes it, for tests of the lanes alone.
    pub async fn enqueue(&self, order: &OrderMessage) {
        use compensation::{
            attempt::{FAILED, History},
            headers::Headers,
            queue::{self, NewWork},
            state::State,
        };
        let mut history = History::default();
        history.push(Attempt {
            generation: order.generation,
            attempt: 1,
            lane: Lane::First,
            started_at: Utc::now(),
            duration_ms: 0,
            worker: "order-consumer".to_owned(),
            outcome: FAILED.to_owned(),
            error: Some("it failed".to_owned()),
            next_after_ms: None,
        });
        let work = NewWork {
            gid: order.gid.as_uuid(),
            kind: "order",
            order_id: order.order_id.as_uuid(),
            generation: order.generation,
            sale_id: order.sale_id.as_uuid(),
            user_id: order.user_id.as_uuid(),
            state: State::Scheduled,
            attempts: 1,
            due_after: std::time::Duration::ZERO,
            payload: order.to_bytes(),
            headers: Headers::default(),
            history,
            error: Some("it failed".to_owned()),
        };
        let mut tx = self.schema.pool.begin().await.unwrap();
        queue::enqueue(&mut tx, &work).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Lane, number and outcome of every try.
pub fn tries(archived: &Archived) -> Vec<(Lane, u32, u32)> {
    archived
        .history
        .attempts()
        .iter()
        .map(|attempt| (attempt.lane, attempt.generation, attempt.attempt))
        .collect()
}
