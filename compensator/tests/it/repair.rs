//! What failed alone: tried again, given up, archived, told of, put back.

use crate::{
    repaired::tries,
    world::{SOON, World},
};
use compensation::{
    archive,
    attempt::Lane,
    operations::{self, ReplayRefused},
};
use compensator::schedule::Scan as _;
use ordering::{OrderOutcome, SaleId, message::OrderMessage, sales, stock::ReservationState};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use testkit::eventually;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const BREAKS: &str = "faults: [\"decide:remark=breaks:6\", \"decide:remark=heals:3\"]\n";
const STOCK_AT_REST: (i64, i64, i64) = (10, 0, 0);

async fn stock(world: &World, sale: SaleId) -> (i64, i64, i64) {
    let levels = world.levels(sale).await;
    (levels.available, levels.held, levels.sold)
}

/// Waits until Redis was told what MySQL decided.
async fn until_stock(world: &World, sale: SaleId, is: (i64, i64, i64)) {
    eventually(&format!("the stock is {is:?}"), SOON, || async {
        (stock(world, sale).await == is).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_handed_on_is_tried_again_until_it_is_settled_and_keeps_its_unit() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("heals")).await;
    let stop = CancellationToken::new();
    world.hand_on(&order).await;
    world.hand_on(&order).await;
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("it is taken in", SOON, || async {
        (!world.compensations(&order).await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(stock(&world, sale).await, (9, 1, 0));
    let lanes = world.repair(&world.settings(&[], BREAKS)).await;
    for _ in 0..2 {
        world.let_time_pass().await;
        lanes.retry_lane.run_batch().await.unwrap();
        assert_eq!(stock(&world, sale).await, (9, 1, 0), "held meanwhile");
    }
    world.drive(&lanes).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(
        world.compensations(&order).await,
        [("closed".to_owned(), 4)]
    );
    until_stock(&world, sale, (9, 0, 1)).await;
    assert!(
        world.archived(&order).await.is_none()
            && world.alerts(&order.order_id.to_string()).await.is_empty()
    );
    let logged: Vec<(i32, String)> = sqlx::query_as(
        "select attempt, outcome from compensation_logs where order_id = ? order by id",
    )
    .bind(order.order_id)
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    let outcomes = ["failed", "failed", "failed", "confirmed"].map(ToOwned::to_owned);
    assert_eq!(logged, (1..).zip(outcomes).collect::<Vec<_>>());
    stop.cancel();
    intake.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_keeps_failing_is_archived_told_of_and_its_unit_is_buyable_again() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;

    assert_eq!(world.status(&order).await, "failed");
    until_stock(&world, sale, STOCK_AT_REST).await;
    let archived = world.archived(&order).await.unwrap();
    assert_eq!(
        tries(&archived),
        [
            (Lane::First, 0, 1),
            (Lane::Retry, 0, 2),
            (Lane::Retry, 0, 3),
            (Lane::Retry, 0, 4),
            (Lane::DeadLetter, 0, 5),
            (Lane::DeadLetter, 0, 6),
            (Lane::Archive, 0, 6),
        ]
    );
    assert_eq!(
        (archived.attempts, archived.handled, archived.times_archived),
        (6, false, 1)
    );
    let kept = archive::message(&world.schema.pool, &archived)
        .await
        .unwrap();
    assert_eq!(kept.payload, order.to_bytes());

    let told = world.alerts(&order.order_id.to_string()).await;
    let undelivered = |kind: &str, severity: &str| {
        (
            kind.to_owned(),
            severity.to_owned(),
            "undelivered".to_owned(),
        )
    };
    assert_eq!(
        told,
        [
            undelivered("dead_letter", "warning"),
            undelivered("dead_letter", "warning"),
            undelivered("archived", "urgent"),
        ],
        "no channel is configured, so they are shown as undelivered"
    );
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload(), Some(&order.to_bytes()[..]));
    let message = letters[0]
        .headers()
        .unwrap()
        .iter()
        .find(|header| header.key == "kafka_dlt-exception-message")
        .and_then(|header| header.value)
        .unwrap();
    assert!(String::from_utf8_lossy(message).contains("fail"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_redelivery_meets_the_archive_and_cannot_undo_it() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    until_stock(&world, sale, STOCK_AT_REST).await;
    let engine = world.engine();
    assert_eq!(engine.submit(order.clone()).await, Ok(OrderOutcome::Failed));
    engine.drain().await;
    assert_eq!(world.status(&order).await, "failed");
    assert_eq!(stock(&world, sale).await, STOCK_AT_REST);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_settled_meanwhile_is_not_archived() {
    let (world, sale) = World::open(10).await;
    let repair = world
        .repair(&world.settings(&[], "faults: [\"decide:remark=breaks:forever\"]\n"))
        .await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world
        .schema
        .execute("update compensations set state = 'archiving'")
        .await;
    let engine = world.engine();
    assert_eq!(
        engine.submit(order.clone()).await,
        Ok(OrderOutcome::Confirmed)
    );
    engine.drain().await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(world.compensations(&order).await[0].0, "closed");
    assert!(world.archived(&order).await.is_none());
    until_stock(&world, sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reserves_again_and_ends_confirmed_with_the_longer_history() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    until_stock(&world, sale, STOCK_AT_REST).await;

    let operation = world.ask_for_replay(&order).await;
    let again =
        operations::claim_replay(&world.schema.pool, order.order_id.as_uuid(), "day", None).await;
    assert!(
        matches!(&again, Err(ReplayRefused::Replaying { operation_id, by, .. }) if *operation_id == operation && by == "night"),
        "{again:?}"
    );
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    until_stock(&world, sale, (9, 0, 1)).await;
    let archived = world.archived(&order).await.unwrap();
    assert!(archived.handled && archived.operation_id.is_none());
    assert_eq!(archived.resolution.as_deref(), Some("confirmed"));
    assert_eq!(archived.history.attempts().len(), 8);
    assert_eq!(tries(&archived)[7], (Lane::Retry, 1, 1));
    let done = world.operation(operation).await;
    assert_eq!(
        (done.state.as_str(), done.items[0].state.as_str()),
        ("finished", "confirmed")
    );
    assert!(matches!(
        operations::claim_replay(&world.schema.pool, order.order_id.as_uuid(), "day", None).await,
        Err(ReplayRefused::AlreadyResolved)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_too_comes_back_to_its_row_in_the_archive() {
    let (world, sale) = World::open(10).await;
    let repair = world
        .repair(&world.settings(&[], "faults: [\"decide:remark=breaks:forever\"]\n"))
        .await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    let operation = world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    let archived = world.archived(&order).await.unwrap();
    assert_eq!(
        (
            archived.times_archived,
            archived.generation,
            archived.handled
        ),
        (2, 1, false)
    );
    assert_eq!(archived.history.tries(), 12);
    assert_eq!(world.operation(operation).await.items[0].state, "archived");
    assert_eq!(world.status(&order).await, "failed");
    until_stock(&world, sale, STOCK_AT_REST).await;
    let urgent = world.alerts(&order.order_id.to_string()).await;
    assert_eq!(
        urgent
            .iter()
            .filter(|(kind, ..)| kind == "archived")
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_finds_no_unit_is_refused_and_can_be_asked_for_again() {
    let (world, sale) = World::open(1).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    until_stock(&world, sale, (1, 0, 0)).await;
    let other = world.reserve(sale).await;
    let refused = world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    let done = world.operation(refused).await;
    assert_eq!(
        (
            done.state.as_str(),
            done.items[0].state.as_str(),
            done.items[0].reason.as_deref()
        ),
        ("finished", "refused", Some("sold_out"))
    );
    assert_eq!(
        stock(&world, sale).await,
        (0, 1, 0),
        "the other buyer keeps his"
    );
    assert_eq!(world.status(&order).await, "failed");
    let engine = world.engine();
    assert_eq!(
        engine.archive(other.clone()).await,
        Ok(OrderOutcome::Failed)
    );
    engine.drain().await;
    until_stock(&world, sale, (1, 0, 0)).await;
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_died_after_its_reservation_finds_it_again() {
    let (world, sale) = World::open(1).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    until_stock(&world, sale, (1, 0, 0)).await;
    let operation = world.ask_for_replay(&order).await;
    let item = world.operation(operation).await.items[0].clone();
    let next = OrderMessage {
        gid: coordinator::Gid::from_uuid(item.gid),
        generation: item.generation,
        ..order.clone()
    };
    ordering::replay::reserve(&world.stock, &next)
        .await
        .unwrap();
    assert_eq!(stock(&world, sale).await, (0, 1, 0));
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    until_stock(&world, sale, (0, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_stock_is_held_an_order_stays_undecided_and_its_replay_resumes_it() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "none");
    assert_eq!(stock(&world, sale).await, (9, 1, 0));
    assert!(world.archived(&order).await.unwrap().held);
    assert_eq!(world.compensations(&order).await[0].0, "held");
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    let archived = world.archived(&order).await.unwrap();
    assert!(archived.handled && !archived.held);
    until_stock(&world, sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_given_up_stays_open_and_is_told_of_once() {
    let (world, sale) = World::open(10).await;
    let faults = "faults: [\"decide:remark=breaks:6\", \"archive:remark=breaks:2\"]\n";
    let repair = world.repair(&world.settings(&[], faults)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "failed");
    let told = world.alerts(&order.order_id.to_string()).await;
    assert_eq!(
        told.iter()
            .filter(|(kind, ..)| kind == "archive_failed")
            .count(),
        1
    );
    assert_eq!(
        world
            .archived(&order)
            .await
            .unwrap()
            .history
            .attempts()
            .len(),
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_may_be_a_file() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[
            (
                "dlq: { retry_delay",
                "dlq: { archive_storage: file, retry_delay",
            ),
            (
                "retry_delay: [0.1], log_file",
                "log_storage: file, retry_delay: [0.1], log_file",
            ),
        ],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    let archived = world.archived(&order).await.unwrap();
    assert_eq!(archived.storage, "file");
    let kept = archive::message(&world.schema.pool, &archived)
        .await
        .unwrap();
    assert_eq!(kept.payload, order.to_bytes());
    let logged = std::fs::read_to_string(world.folder.path().join("attempts.log")).unwrap();
    assert_eq!(
        logged.lines().count(),
        6,
        "five tries and the archive, the first was another's"
    );
    assert!(logged.lines().all(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["order_id"]
            == order.order_id.to_string()
    }));
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_order_is_archived_once_as_it_came() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], "")).await;
    let topic = world.topics.dead_letters.clone();
    let headers = |offset: i64| {
        OwnedHeaders::new()
            .insert(Header {
                key: "kafka_dlt-original-topic",
                value: Some("orders"),
            })
            .insert(Header {
                key: "kafka_dlt-original-partition",
                value: Some(&3_i32.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-original-offset",
                value: Some(&offset.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-original-timestamp",
                value: Some(&7_i64.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-exception-message",
                value: Some("no order"),
            })
    };
    for offset in [1, 1, 2] {
        world
            .send(&topic, "k", b"\xff\0 no order", headers(offset))
            .await;
    }
    world
        .send(
            &topic,
            "k",
            br#"{"version": 9, "of": "another system"}"#,
            OwnedHeaders::new(),
        )
        .await;
    let foreign = world.reserve(sale).await;
    world
        .send(&topic, "k", &foreign.to_bytes(), OwnedHeaders::new())
        .await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("all of it is taken in", SOON, || async {
        (world.compensations(&foreign).await.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
    intake.await.unwrap();
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "select error, payload from failed_order_archives where order_id is null order by error, archived_at",
    )
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 3, "the copy is not kept twice");
    assert!(
        rows.iter()
            .filter(|(error, payload)| error == "no order" && payload == b"\xff\0 no order")
            .count()
            == 2
    );
    let told: i64 = sqlx::query_scalar(
        "select count(*) from alert_outbox where kind = 'archived' and severity = 'urgent'",
    )
    .fetch_one(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(told, 3);
    assert_eq!(
        world.compensations(&foreign).await,
        [("dead".to_owned(), 4)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_is_left_alone_by_the_scan_for_overdue_reservations() {
    let (world, sale) = World::open(10).await;
    let (waits, lost) = (world.reserve(sale).await, world.reserve(sale).await);
    world.enqueue(&waits).await;
    let mut scans = world.scans().await;
    for order in [&waits, &lost] {
        world.let_pass(order).await;
    }
    timeout(SOON, async {
        while world.published().await.is_empty() {
            scans.overdue.run_once().await.unwrap();
        }
    })
    .await
    .expect("the lost one is published");
    scans.overdue.run_once().await.unwrap();
    assert_eq!(world.published().await, [lost.order_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_holds_the_units_of_orders_that_wait_although_redis_lost_them() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], "")).await;
    let (waits, forgotten) = (world.reserve(sale).await, world.reserve(sale).await);
    world.enqueue(&waits).await;
    assert_eq!(stock(&world, sale).await, (8, 2, 0));
    world.redis.command(&["FLUSHALL"]).await;
    let mut scans = world.scans().await;
    timeout(SOON, async {
        while !matches!(world.stock.levels(sale).await, Ok(Some(_))) {
            scans.fence_watch.run_once().await.unwrap();
        }
    })
    .await
    .expect("the sale is rebuilt");
    assert_eq!(
        stock(&world, sale).await,
        (9, 1, 0),
        "and {} was never handed on",
        forgotten.order_id
    );
    let kept = world
        .stock
        .reservation(sale, waits.gid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (kept.state, kept.user, kept.units),
        (ReservationState::Reserved, waits.user_id, 1)
    );
    world.drive(&repair).await;
    assert_eq!(world.status(&waits).await, "confirmed");
    until_stock(&world, sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_sale_nobody_knows_is_given_up_too() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], "")).await;
    let order = OrderMessage {
        sale_id: SaleId::fresh(),
        ..world.reserve(sale).await
    };
    world.enqueue(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "failed");
    assert!(world.archived(&order).await.is_some());
    let unfinished: i64 = sqlx::query_scalar(
        "select count(*) from transactions where state not in ('committed', 'rolled_back')",
    )
    .fetch_one(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(unfinished, 0);
    assert!(
        sales::get(&world.schema.pool, order.sale_id)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        ordering::replay::refusal(&world.schema.pool, order.order_id)
            .await
            .unwrap(),
        Some("sale_not_found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_stays_one_under_a_policy_that_became_more_patient() {
    let (world, sale) = World::open(10).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world
        .schema
        .execute("update compensations set state = 'dead', attempts = 4")
        .await;
    let patient = world.settings(
        &[(
            "retry_delay: [0.1], log",
            "max_retries: 10, retry_delay: [0.1], log",
        )],
        "faults: [\"decide:remark=breaks:forever\"]\n",
    );
    let repair = world.repair(&patient).await;
    world.drive(&repair).await;
    let archived = world.archived(&order).await.unwrap();
    let lanes: Vec<Lane> = tries(&archived).iter().map(|(lane, ..)| *lane).collect();
    assert!(!lanes.contains(&Lane::Retry) && lanes.contains(&Lane::DeadLetter));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_column_takes_stops_nobody_else() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], "")).await;
    let order = world.reserve(sale).await;
    let mut odd = serde_json::to_value(&order).unwrap();
    odd["generation"] = 3_000_000_000_u32.into();
    let topic = world.topics.compensation.clone();
    world
        .send(&topic, "k", odd.to_string().as_bytes(), OwnedHeaders::new())
        .await;
    let long = "g".repeat(300);
    let headers = OwnedHeaders::new().insert(Header {
        key: "kafka_dlt-original-consumer-group",
        value: Some(&long),
    });
    world.send(&topic, "k", &order.to_bytes(), headers).await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("both are taken in", SOON, || async {
        let raw: i64 = sqlx::query_scalar("select count(*) from failed_order_archives")
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
        (raw == 1 && world.compensations(&order).await.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
    intake.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_order_that_fails_again_is_told_of_again() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        "faults: [\"decide:remark=breaks:forever\"]\n",
    );
    let repair = world.repair(&settings).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    let told = world.alerts(&order.order_id.to_string()).await;
    assert_eq!(
        told.iter().filter(|(kind, ..)| kind == "archived").count(),
        2
    );
    assert_eq!(world.archived(&order).await.unwrap().times_archived, 2);
    assert_eq!(stock(&world, sale).await, (9, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_is_not_held_however_lost_the_answer_was() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        "faults: [\"decide_lost:remark=lost:6\"]\n",
    );
    let repair = world.repair(&settings).await;
    let order = world.reserve_with(sale, Some("lost")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(world.compensations(&order).await[0].0, "closed");
    assert!(world.archived(&order).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_goes_on_where_a_process_died_after_its_decision() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], "")).await;
    let order = world.reserve(sale).await;
    world.enqueue(&order).await;
    world
        .schema
        .execute("update compensations set state = 'archiving', attempts = 6")
        .await;
    let engine = world.engine();
    assert_eq!(
        engine.archive(order.clone()).await,
        Ok(OrderOutcome::Failed)
    );
    engine.drain().await;
    assert!(world.archived(&order).await.is_none());
    world.drive(&repair).await;
    assert!(world.archived(&order).await.is_some());
    assert_eq!(world.alerts(&order.order_id.to_string()).await.len(), 1);
    until_stock(&world, sale, STOCK_AT_REST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_settled_by_another_way_closes_its_row_in_the_archive() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    let operation = world.ask_for_replay(&order).await;
    let item = world.operation(operation).await.items[0].clone();
    let next = OrderMessage {
        gid: coordinator::Gid::from_uuid(item.gid),
        generation: item.generation,
        ..order.clone()
    };
    // As when its process died after the reservation, and the scan for overdue ones published it.
    ordering::replay::reserve(&world.stock, &next)
        .await
        .unwrap();
    let engine = world.engine();
    assert_eq!(engine.submit(next).await, Ok(OrderOutcome::Confirmed));
    engine.drain().await;
    world.drive(&repair).await;
    let done = world.operation(operation).await;
    assert_eq!(
        (done.state.as_str(), done.items[0].state.as_str()),
        ("finished", "confirmed")
    );
    assert!(world.archived(&order).await.unwrap().handled);
    until_stock(&world, sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_reservation_redis_lost_is_decided_all_the_same() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair(&world.settings(&[], BREAKS)).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    world.ask_for_replay(&order).await;
    repair.replays.run_batch().await.unwrap();
    world.redis.command(&["FLUSHALL"]).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    let mut scans = world.scans().await;
    timeout(SOON, async {
        while !matches!(world.stock.levels(sale).await, Ok(Some(_))) {
            scans.fence_watch.run_once().await.unwrap();
        }
    })
    .await
    .expect("the sale is rebuilt");
    until_stock(&world, sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_message_is_gone_is_refused_with_the_reason() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[(
            "dlq: { retry_delay",
            "dlq: { archive_storage: file, retry_delay",
        )],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    std::fs::remove_file(world.folder.path().join("archive.jsonl")).unwrap();
    let operation = world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    let item = world.operation(operation).await.items[0].clone();
    assert_eq!(
        (item.state.as_str(), item.reason.as_deref()),
        ("refused", Some("message_unreadable"))
    );
    assert!(world.archived(&order).await.unwrap().operation_id.is_none());
}
