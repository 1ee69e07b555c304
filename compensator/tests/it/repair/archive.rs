//! What keeps failing is given up once: archived, told of, its unit free.

use crate::{repair::BREAKS, repaired::tries, world::World};
use compensation::{archive, attempt::Lane};
use ordering::{OrderOutcome, SaleId, message::OrderMessage, sales};
use rdkafka::message::{Headers as _, Message as _};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_keeps_failing_is_archived_told_of_and_its_unit_is_buyable_again() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;

    assert_eq!(world.status(&order).await, "failed");
    world.until_units(sale, (10, 0, 0)).await;
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
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (10, 0, 0)).await;
    let engine = world.engine();
    assert_eq!(engine.submit(order.clone()).await, Ok(OrderOutcome::Failed));
    engine.drain().await;
    assert_eq!(world.status(&order).await, "failed");
    assert_eq!(world.units(sale).await, (10, 0, 0));
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
    world.until_units(sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_given_up_stays_open_and_is_told_of_once() {
    let (world, sale) = World::open(10).await;
    let faults = "faults: [\"decide:remark=breaks:6\", \"archive:remark=breaks:2\"]\n";
    let repair = world.repair(&world.settings(&[], faults)).await;
    let order = world.failed(sale, "breaks", &repair).await;
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
    let order = world.failed(sale, "breaks", &repair).await;
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
async fn an_order_of_a_sale_nobody_knows_is_given_up_too() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
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
async fn giving_up_goes_on_where_a_process_died_after_its_decision() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
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
    world.until_units(sale, (10, 0, 0)).await;
}
