//! The process is killed, or sleeps, with orders in its hands.

use crate::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_every_order_is_settled_once() {
    let world = World::open().await;
    let sale = world.sale(20_000).await;
    let mut process = world.process();
    process.ready(SOON).await;
    let mut orders = Vec::new();
    for round in 1..=3 {
        orders.extend(world.publish_new(sale, 2_000).await);
        world.until_written((round - 1) * 2_000 + 300).await;
        process.kill().await;
        process.restart();
    }
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_that_lost_its_partitions_does_no_harm_when_it_wakes() {
    let world = World::open().await;
    let sale = world.sale(20_000).await;
    let mut sleeper = world.process();
    sleeper.ready(SOON).await;
    let mut orders = world.publish_new(sale, 2_000).await;
    world.until_written(200).await;
    sleeper.pause();
    let mut other = world.process();
    orders.extend(world.publish_new(sale, 500).await);
    // The group misses the sleeper after 6 s and gives all to the other.
    world.until_all_committed(&world.topics.group).await;
    sleeper.resume();
    orders.extend(world.publish_new(sale, 500).await);
    world.until_all_committed(&world.topics.group).await;
    sleeper.ready(SOON).await;
    world.assert_confirmed_once(sale, &orders).await;
    sleeper.end(SOON).await;
    other.end(SOON).await;
}
