//! Members come and go while orders flow.

use crate::world::{SOON, World, until_paused};
use service_kit::kafka::Offsets;
use std::{collections::HashSet, sync::Arc};
use testkit::proxy::Proxy;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_joins_and_leaves_loses_nothing_and_no_commit_passes_an_undecided_order() {
    let world = Arc::new(World::open().await);
    let sale = world.sale(50_000).await;
    let first = world.consumer().await;

    let stop = CancellationToken::new();
    // Committed offsets first, written orders after them: whatever lies below the former must be among the latter.
    let witness = tokio::spawn({
        let (world, stop) = (Arc::clone(&world), stop.clone());
        async move {
            let mut seen: Vec<(Offsets, HashSet<_>)> = Vec::new();
            while !stop.is_cancelled() {
                let committed = world.committed(&world.topics.group).await;
                let written = world.written().await;
                seen.push((committed, written));
            }
            seen
        }
    });

    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.extend(world.publish_new(sale, 1_000).await);
        let second = world.consumer().await;
        orders.extend(world.publish_new(sale, 1_000).await);
        world.until_written(orders.len() - 500).await;
        orders.extend(world.publish_new(sale, 500).await);
        second.end().await;
    }
    world.until_all_committed(&world.topics.group).await;
    first.end().await;
    stop.cancel();
    let seen = witness.await.unwrap();

    world.assert_confirmed_once(sale, &orders).await;
    let places = world.places().await;
    assert!(
        seen.len() > 5,
        "the witness looked only {} times",
        seen.len()
    );
    for (committed, written) in seen {
        for (partition, offset, order) in &places {
            let passed = committed.have_passed(&Offsets::from_iter([(*partition, offset + 1)]));
            assert!(
                !passed || written.contains(order),
                "{partition}/{offset} was committed and {order} not written"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_left_while_intake_was_paused_are_read_when_they_come_back() {
    let world = World::open().await;
    let sale = world.sale(1_000).await;
    let proxy = Proxy::start(world.schema.address()).await;
    let mut first = world.process_behind(&proxy);
    first.ready(SOON).await;
    proxy.cut();
    let mut orders = world.publish_new(sale, 100).await;
    until_paused(&first, true).await;
    // Only the second can write, so it holds partitions that were paused.
    let mut second = world.process();
    world.until_written(1).await;
    proxy.open();
    until_paused(&first, false).await;
    second.end(SOON).await;
    orders.extend(world.publish_new(sale, 100).await);
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    first.end(SOON).await;
}
