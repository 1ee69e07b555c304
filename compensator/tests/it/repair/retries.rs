//! What failed alone is tried again, and keeps its unit meanwhile.

use crate::{
    repair::BREAKS,
    repaired::tries,
    world::{SOON, World},
};
use compensation::attempt::Lane;
use compensator::schedule::Scan as _;
use ordering::stock::ReservationState;
use testkit::eventually;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_handed_on_is_tried_again_until_it_is_settled_and_keeps_its_unit() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.reserve_with(sale, Some("heals")).await;
    let stop = CancellationToken::new();
    world.hand_on(&order).await;
    world.hand_on(&order).await;
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("it is taken in", SOON, || async {
        (!world.compensations(&order).await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(world.units(sale).await, (9, 1, 0));
    let lanes = world.repair_with(BREAKS).await;
    for _ in 0..2 {
        world.let_time_pass().await;
        lanes.retry_lane.run_batch().await.unwrap();
        assert_eq!(world.units(sale).await, (9, 1, 0), "held meanwhile");
    }
    world.drive(&lanes).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(
        world.compensations(&order).await,
        [("closed".to_owned(), 4)]
    );
    world.until_units(sale, (9, 0, 1)).await;
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
    let repair = world.repair_with("").await;
    let (waits, forgotten) = (world.reserve(sale).await, world.reserve(sale).await);
    world.enqueue(&waits).await;
    assert_eq!(world.units(sale).await, (8, 2, 0));
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
        world.units(sale).await,
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
    world.until_units(sale, (9, 0, 1)).await;
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
