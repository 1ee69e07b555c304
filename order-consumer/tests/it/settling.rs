//! Orders are settled, once.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn orders_become_rows_and_their_offsets_are_committed() {
    let world = World::open().await;
    let sale = world.sale(1_000).await;
    let orders = world.publish_new(sale, 300).await;
    let consumer = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_beyond_the_stock_are_rejected_and_settled_too() {
    let world = World::open().await;
    let sale = world.sale(10).await;
    world.publish_new(sale, 60).await;
    let consumer = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    assert_eq!(
        world
            .count("select count(*) from orders where status = 'confirmed'")
            .await,
        10
    );
    assert_eq!(
        world
            .count("select count(*) from orders where status = 'rejected'")
            .await,
        50
    );
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivered_orders_change_nothing() {
    let world = World::open().await;
    let sale = world.sale(1_000).await;
    let orders = world.publish_new(sale, 200).await;
    world.publish(&orders[..100]).await;
    let first = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    first.end().await;
    // Another group reads it all from the beginning.
    let again = format!("{}-again", world.topics.group);
    let second = world.consumer_of(&again, world.schema.address()).await;
    world.until_all_committed(&again).await;
    second.end().await;
    world.assert_confirmed_once(sale, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_commits_what_was_settled() {
    let world = World::open().await;
    let sale = world.sale(5_000).await;
    let orders = world.publish_new(sale, 2_000).await;
    let consumer = world.consumer().await;
    world.until_written(100).await;
    consumer.end().await;
    let (written, uncommitted) = (
        world.written().await.len(),
        world.uncommitted(&world.topics.group).await,
    );
    assert_eq!(
        written + usize::try_from(uncommitted).unwrap(),
        orders.len(),
        "what was written is committed, and nothing else"
    );
    let consumer = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    consumer.end().await;
    world.assert_confirmed_once(sale, &orders).await;
}
