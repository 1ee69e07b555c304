//! An operator puts an archived order back; whatever happens on the way, it has one end.

use crate::{
    repair::BREAKS,
    repaired::tries,
    world::{SOON, World},
};
use compensation::{
    attempt::Lane,
    operations::{self, ReplayRefused},
};
use compensator::schedule::Scan as _;
use ordering::{OrderOutcome, message::OrderMessage};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reserves_again_and_ends_confirmed_with_the_longer_history() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (10, 0, 0)).await;

    let operation = world.ask_for_replay(&order).await;
    let again =
        operations::claim_replay(&world.schema.pool, order.order_id.as_uuid(), "day", None).await;
    assert!(
        matches!(&again, Err(ReplayRefused::InHand { operation_id, by, .. }) if *operation_id == operation && by == "night"),
        "{again:?}"
    );
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    world.until_units(sale, (9, 0, 1)).await;
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
    assert_eq!(
        world.audited_items().await,
        [["item.replay", "done", "confirmed"]]
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
    let order = world.failed(sale, "breaks", &repair).await;
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
    assert_eq!(
        world.audited_items().await,
        [["item.replay", "failed", "archived"]]
    );
    assert_eq!(world.status(&order).await, "failed");
    world.until_units(sale, (10, 0, 0)).await;
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
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (1, 0, 0)).await;
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
        world.audited_items().await,
        [["item.replay", "refused", "refused: sold_out"]]
    );
    assert_eq!(
        world.units(sale).await,
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
    world.until_units(sale, (1, 0, 0)).await;
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
}

/// Caught: an item that is ended although its line in the audit cannot be written.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_cannot_be_written_down_is_none() {
    let (world, sale) = World::open(1).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (1, 0, 0)).await;
    world.reserve(sale).await;
    let refused = world.ask_for_replay(&order).await;
    world.schema.execute("rename table audit_log to lost").await;
    repair.replays.run_batch().await.unwrap();
    let item = world.operation(refused).await.items.remove(0);
    assert_eq!((item.state.as_str(), item.finished_at), ("requested", None));
    world.schema.execute("rename table lost to audit_log").await;
    world.let_claims_end().await;
    repair.replays.run_batch().await.unwrap();
    assert_eq!(world.operation(refused).await.items[0].state, "refused");
    assert_eq!(
        world.audited_items().await,
        [["item.replay", "refused", "refused: sold_out"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_died_after_its_reservation_finds_it_again() {
    let (world, sale) = World::open(1).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (1, 0, 0)).await;
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
    assert_eq!(world.units(sale).await, (0, 1, 0));
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    world.until_units(sale, (0, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_settled_by_another_way_closes_its_row_in_the_archive() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
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
    world.until_units(sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_reservation_redis_lost_is_decided_all_the_same() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
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
    world.until_units(sale, (9, 0, 1)).await;
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
    let order = world.failed(sale, "breaks", &repair).await;
    std::fs::remove_dir_all(world.folder.path().join("archive")).unwrap();
    let operation = world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    let item = world.operation(operation).await.items[0].clone();
    assert_eq!(
        (item.state.as_str(), item.reason.as_deref()),
        ("refused", Some("message_unreadable"))
    );
    assert!(world.archived(&order).await.unwrap().operation_id.is_none());
}
