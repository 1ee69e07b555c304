//! A transaction that is stuck gets one dead letter and one alert each time, whoever dies, and its row is handled once it finished.

use crate::world::{SOON, World};
use compensation::{
    archive::{
        self, Archived, Kind,
        transaction::{self, COMPLETED, NOT_KNOWN, StuckTransaction, Uncompensated},
    },
    attempt::Lane,
};
use compensator::{
    repair::{Observer, Repair, Step},
    schedule::Scan as _,
};
use coordinator::{Gid, TxState, control};
use ordering::{OrderOutcome, SaleId, message::OrderMessage};
use std::sync::Arc;
use testkit::{eventually, process::Process};
use tokio::sync::Notify;
use uuid::Uuid;

impl World {
    /// A confirmed order whose transaction is stuck since: its coupon was never confirmed, though it was called twice.
    async fn stuck(&self, sale: SaleId) -> OrderMessage {
        let order = self.reserve(sale).await;
        let engine = self.engine();
        let outcome = engine.submit(order.clone()).await;
        assert_eq!(outcome, Ok(OrderOutcome::Confirmed));
        engine.drain().await;
        let parts = [
            ("coupon", "owed"),
            ("loyalty", "done"),
            ("points", "refused"),
        ];
        for (participant, state) in parts {
            self.branch(order.gid, participant, state).await;
        }
        self.set_stuck(order.gid).await;
        order
    }

    /// A branch that was called twice.
    async fn branch(&self, gid: Gid, participant: &str, state: &str) {
        let call = |op: &str, answer: &str| serde_json::json!({"at": "2026-07-03T10:00:00Z", "op": op, "took_ms": 300, "answer": answer});
        let history = format!(
            "{}\n{}",
            call("try", "done"),
            call("confirm", "unknown: 503")
        );
        sqlx::query(
            "insert into transaction_branches (gid, participant, is_foreign, state, attempts, history, last_error, waits, created_at, \
             changed_at) values (?, ?, 1, ?, 2, ?, '503', 0, utc_timestamp(3), utc_timestamp(3))",
        )
        .bind(gid)
        .bind(participant)
        .bind(state)
        .bind(history)
        .execute(&self.schema.pool)
        .await
        .unwrap();
    }

    /// As recovery leaves what it gives up.
    async fn set_stuck(&self, gid: Gid) {
        sqlx::query(
            "update transactions set state = 'stuck_committing', attempts = 20, last_error = 'coupon: 503', handed_over = 0, \
             finished_at = null where gid = ?",
        )
        .bind(gid)
        .execute(&self.schema.pool)
        .await
        .unwrap();
    }

    async fn letter(&self, gid: Gid) -> Option<Archived> {
        archive::find(&self.schema.pool, transaction::id_of(gid.as_uuid()))
            .await
            .unwrap()
    }

    async fn known(&self, row: &Archived) -> StuckTransaction {
        let kept = archive::message(&self.schema.pool, row).await.unwrap();
        StuckTransaction::read(&kept.headers).unwrap()
    }

    async fn told_of(&self, gid: Gid) -> Vec<(String, String, String)> {
        let letter = transaction::id_of(gid.as_uuid());
        self.alerts(&letter.to_string()).await
    }

    async fn until_handed_over(&self, repair: &Repair) {
        while repair.stuck.run_batch().await.unwrap() > 0 {}
    }
}

/// Caught: participants that are done listed too; those that refused; the row under the gid itself, where an order has its own; the
/// alert left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_gets_a_dead_letter_that_lists_what_is_not_done_and_an_urgent_alert() {
    let (world, sale) = World::open(10).await;
    let order = world.stuck(sale).await;
    let repair = world.repair_with("").await;
    assert_eq!(repair.stuck.run_batch().await.unwrap(), 1);
    assert_eq!(repair.stuck.run_batch().await.unwrap(), 0);

    let row = world.letter(order.gid).await.unwrap();
    assert_eq!(row.kind(), Kind::Transaction);
    assert_eq!(
        (row.step.as_str(), row.handled, row.times_archived),
        ("complete", false, 1)
    );
    assert_eq!((row.attempts, row.gid), (20, Some(order.gid.as_uuid())));
    let known = world.known(&row).await;
    assert_eq!(
        known.uncompensated,
        [Uncompensated {
            participant: "coupon".to_owned(),
            state: "owed".to_owned(),
            attempts: 2,
            last_error: Some("503".to_owned()),
        }]
    );
    assert_eq!(
        (known.state.as_str(), known.direction.as_str(), known.epoch),
        ("stuck_committing", "commit", world.epoch(sale).await)
    );
    assert_eq!(known.label, sale.as_uuid());
    let calls: Vec<_> = row
        .history
        .attempts()
        .iter()
        .map(|call| (call.lane, call.worker.as_str(), call.error.as_deref()))
        .collect();
    assert_eq!(
        calls,
        [
            (Lane::Call, "coupon", Some("try: done")),
            (Lane::Call, "coupon", Some("confirm: unknown: 503")),
        ]
    );
    let stored: String = sqlx::query_scalar("select payload from transactions where gid = ?")
        .bind(order.gid)
        .fetch_one(&world.schema.pool)
        .await
        .unwrap();
    let kept = archive::message(&world.schema.pool, &row).await.unwrap();
    assert_eq!(kept.payload, stored.as_bytes(), "as it is");

    let urgent = ["transaction_stuck", "urgent", "undelivered"].map(ToOwned::to_owned);
    let [kind, severity, state] = urgent;
    assert_eq!(world.told_of(order.gid).await, [(kind, severity, state)]);
    let body: String = sqlx::query_scalar("select body from alerts")
        .fetch_one(&world.schema.pool)
        .await
        .unwrap();
    assert!(body.contains("coupon: owed"), "{body}");
    assert_eq!(world.status(&order).await, "confirmed");
    assert!(
        world.archived(&order).await.is_none(),
        "it is no order's row"
    );
}

/// Caught: a stop that lists nothing because nobody was called.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_lists_whom_nobody_called_and_is_completed_once_it_was_resumed() {
    let (mut world, sale) = World::open(10).await;
    let order = world.reserve(sale).await;
    let repair = world.repair_with("").await;
    world.redis.kill().await;
    let engine = world.engine();
    engine.submit(order.clone()).await.unwrap();
    engine.drain().await;
    let db = world.schema.pool.clone();
    let stopped = control::stop(&mut db.acquire().await.unwrap(), order.gid, "ann", "enough")
        .await
        .unwrap();
    assert_eq!(stopped, TxState::StuckCommitting);
    assert_eq!(repair.stuck.run_batch().await.unwrap(), 1);
    let row = world.letter(order.gid).await.unwrap();
    assert!(
        row.error.contains("stopped by ann: enough"),
        "{}",
        row.error
    );
    let uncompensated = world.known(&row).await.uncompensated;
    assert_eq!(uncompensated.len(), 1);
    assert_eq!(
        (
            uncompensated[0].participant.as_str(),
            uncompensated[0].state.as_str()
        ),
        ("stock", NOT_KNOWN)
    );

    world.redis.restart().await;
    let mut scans = world.scans().await;
    scans.fence_watch.run_once().await.unwrap();
    scans.unfinished.run_once().await.unwrap();
    scans.completed.run_once().await.unwrap();
    assert!(
        !world.letter(order.gid).await.unwrap().handled,
        "it is stuck"
    );
    assert_eq!(
        coordinator::resume(&mut db.acquire().await.unwrap(), order.gid)
            .await
            .unwrap(),
        TxState::Committing
    );
    scans.completed.run_once().await.unwrap();
    assert!(
        !world.letter(order.gid).await.unwrap().handled,
        "it goes on"
    );
    scans.unfinished.run_once().await.unwrap();
    scans.completed.run_once().await.unwrap();
    let row = world.letter(order.gid).await.unwrap();
    assert_eq!(
        (row.handled, row.resolution.as_deref(), row.times_archived),
        (true, Some(COMPLETED), 1)
    );
    world.until_units(sale, (9, 0, 1)).await;
}

/// Caught: an alert whose id is that of its first occasion.
#[tokio::test(flavor = "multi_thread")]
async fn stuck_again_after_it_was_resumed_it_is_told_of_again() {
    let (world, sale) = World::open(10).await;
    let order = world.stuck(sale).await;
    // Nobody can read what its participants are told.
    world
        .schema
        .execute("update transactions set payload = '?'")
        .await;
    let once = "transaction: { retry_policy: { max_attempts: 1 } }\n";
    let settings = world.settings(&[], once);
    let mut scans = world.scans_with(&settings).await;
    let repair = world.repair_with("").await;
    world.until_handed_over(&repair).await;
    for times in 1..=3 {
        let row = world.letter(order.gid).await.unwrap();
        assert_eq!((row.times_archived, row.handled), (times, false));
        assert_eq!(world.told_of(order.gid).await.len(), times as usize);
        coordinator::resume(&mut world.schema.pool.acquire().await.unwrap(), order.gid)
            .await
            .unwrap();
        world.until_handed_over(&repair).await;
        let told = world.told_of(order.gid).await.len();
        assert_eq!(told, times as usize, "it goes on");
        scans.unfinished.run_once().await.unwrap();
        world.until_handed_over(&repair).await;
    }
}

/// Caught: the alert written outside the transaction of its letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_leaves_one_letter_and_one_alert() {
    let (world, sale) = World::open(10).await;
    for step in Step::OF_A_STUCK_TRANSACTION {
        let order = world.stuck(sale).await;
        let reached = Arc::new(Notify::new());
        let tell = Arc::clone(&reached);
        let observer: Observer = Arc::new(move |passed| {
            let tell = Arc::clone(&tell);
            Box::pin(async move {
                if passed == step {
                    tell.notify_one();
                    std::future::pending::<()>().await;
                }
            })
        });
        let dying = world
            .repair_observed(&world.settings(&[], ""), observer)
            .await;
        tokio::select! {
            ended = dying.stuck.run_batch() => panic!("{step:?} was never reached: {ended:?}"),
            () = reached.notified() => {}
        }
        let is_there = world.letter(order.gid).await.is_some();
        assert_eq!(is_there, step == Step::HandedOver, "dying at {step:?}");
        drop(dying);
        let next = world.repair_with("").await;
        eventually("its row is free again", SOON, || async {
            next.stuck.run_batch().await.unwrap();
            world.letter(order.gid).await
        })
        .await;
        let row = world.letter(order.gid).await.unwrap();
        assert_eq!(row.times_archived, 1, "dying at {step:?}");
        assert_eq!(world.told_of(order.gid).await.len(), 1, "dying at {step:?}");
    }
}

/// Caught: that it was handed over noted after the commit, when others may have read it.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_stuck_transactions_each_is_archived_once_by_many_compensators() {
    const STUCK: usize = 130;
    let (world, sale) = World::open(10).await;
    let mut gids = Vec::new();
    for _ in 0..STUCK {
        let gid = Gid::from_uuid(Uuid::now_v7());
        sqlx::query(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at) \
             values (?, 'order', ?, 'stuck_rolling_back', ?, 1, '{}', 20, utc_timestamp(3), utc_timestamp(3))",
        )
        .bind(gid)
        .bind(sale)
        .bind(Uuid::now_v7())
        .execute(&world.schema.pool)
        .await
        .unwrap();
        gids.push(gid);
    }
    let (one, two, three) = (
        world.repair_with("").await,
        world.repair_with("").await,
        world.repair_with("").await,
    );
    tokio::join!(
        world.until_handed_over(&one),
        world.until_handed_over(&two),
        world.until_handed_over(&three)
    );
    world.until_handed_over(&one).await;
    let letters: (i64, i64) = sqlx::query_as(
        "select count(*), cast(coalesce(max(times_archived), 0) as signed) from failed_order_archives",
    )
    .fetch_one(&world.schema.pool)
    .await
    .unwrap();
    let alerts: i64 = sqlx::query_scalar("select count(*) from alerts")
        .fetch_one(&world.schema.pool)
        .await
        .unwrap();
    let stuck = i64::try_from(STUCK).unwrap();
    assert_eq!((letters, alerts), ((stuck, 1), stuck));
}

/// Caught: rows of transactions that retention removed stay open.
#[tokio::test(flavor = "multi_thread")]
async fn every_letter_is_handled_once_its_transaction_finished_however_many_there_are() {
    let (world, sale) = World::open(10).await;
    let (stays, removed) = (world.stuck(sale).await, world.stuck(sale).await);
    let repair = world.repair_with("").await;
    world.until_handed_over(&repair).await;
    sqlx::query("delete from transactions where gid = ?")
        .bind(removed.gid)
        .execute(&world.schema.pool)
        .await
        .unwrap();
    let mut scans = world.scans().await;
    for _ in 0..2 {
        scans.completed.run_once().await.unwrap();
        assert!(world.letter(removed.gid).await.unwrap().handled);
        assert!(!world.letter(stays.gid).await.unwrap().handled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_payload_may_be_kept_in_the_archives_file() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[(
            "dlq: { retry_delay",
            "dlq: { archive_storage: file, retry_delay",
        )],
        "",
    );
    let order = world.stuck(sale).await;
    let repair = world.repair(&settings).await;
    world.until_handed_over(&repair).await;
    let row = world.letter(order.gid).await.unwrap();
    assert_eq!(row.storage, "file");
    assert_eq!(world.known(&row).await.gid, order.gid.as_uuid());
}

/// Caught: the lane, or the scan, not started.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_archives_what_is_stuck_and_closes_it_by_itself() {
    let (world, sale) = World::open(10).await;
    let order = world.stuck(sale).await;
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &world.yaml());
    process.ready(SOON).await;
    eventually("it has its letter", SOON, || async {
        world.letter(order.gid).await
    })
    .await;
    coordinator::resume(&mut world.schema.pool.acquire().await.unwrap(), order.gid)
        .await
        .unwrap();
    let row = eventually("its letter is handled", SOON, || async {
        world.letter(order.gid).await.filter(|row| row.handled)
    })
    .await;
    assert_eq!(row.resolution.as_deref(), Some(COMPLETED));
    process.end(SOON).await;
}
