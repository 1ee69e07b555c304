//! With `dlq.hold_stock` an order that is given up keeps its unit, and stays undecided.

use crate::{repair::BREAKS, world::World};

#[tokio::test(flavor = "multi_thread")]
async fn while_its_stock_is_held_an_order_stays_undecided_and_its_replay_resumes_it() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "breaks", &repair).await;
    assert_eq!(world.status(&order).await, "none");
    assert_eq!(world.units(sale).await, (9, 1, 0));
    assert!(world.archived(&order).await.unwrap().held);
    assert_eq!(world.compensations(&order).await[0].0, "held");
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    let archived = world.archived(&order).await.unwrap();
    assert!(archived.handled && !archived.held);
    world.until_units(sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_order_that_fails_again_is_told_of_again() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        "faults: [\"decide:remark=breaks:forever\"]\n",
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.ask_for_replay(&order).await;
    world.drive(&repair).await;
    let told = world.alerts(&order.order_id.to_string()).await;
    assert_eq!(
        told.iter().filter(|(kind, ..)| kind == "archived").count(),
        2
    );
    assert_eq!(world.archived(&order).await.unwrap().times_archived, 2);
    assert_eq!(world.units(sale).await, (9, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_is_not_held_however_lost_the_answer_was() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        "faults: [\"decide_lost:remark=lost:6\"]\n",
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "lost", &repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(world.compensations(&order).await[0].0, "closed");
    assert!(world.archived(&order).await.is_none());
}
