//! What Redis lost is seen and rebuilt by itself, once.

use crate::world::World;
use compensator::schedule::Scan as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_never_loaded_is_opened_at_the_first_look() {
    let world = World::closed().await;
    let sale = world.sale(10).await;
    let mut watch = world.scans().await.fence_watch;
    assert!(!watch.opened().yet());
    watch.run_once().await.unwrap();
    assert!(watch.opened().yet());
    assert_eq!(world.levels(sale).await.available, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_is_rebuilt_after_two_looks() {
    let (world, sale) = World::open(10).await;
    let mut watch = world.scans().await.fence_watch;
    watch.run_once().await.unwrap();
    let before = world.epoch(sale).await;
    world.redis.command(&["FLUSHALL"]).await;
    watch.run_once().await.unwrap();
    assert_eq!(
        world.epoch(sale).await,
        before,
        "one look may have met a sale that is just being made"
    );
    watch.run_once().await.unwrap();
    assert_eq!(world.epoch(sale).await, before + 1);
    assert_eq!(world.levels(sale).await.available, 10);
    watch.run_once().await.unwrap();
    watch.run_once().await.unwrap();
    assert_eq!(
        world.epoch(sale).await,
        before + 1,
        "what is open is left alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_sale_is_rebuilt_and_its_neighbour_left_alone() {
    let world = World::closed().await;
    let (sale, neighbour) = (world.sale(10).await, world.sale(20).await);
    let mut watch = world.scans().await.fence_watch;
    watch.run_once().await.unwrap();
    let before = (world.epoch(sale).await, world.epoch(neighbour).await);
    world
        .redis
        .command(&["HSET", &ordering::keys::stock(sale), "suspect", "1"])
        .await;
    watch.run_once().await.unwrap();
    watch.run_once().await.unwrap();
    assert_eq!(
        (world.epoch(sale).await, world.epoch(neighbour).await),
        (before.0 + 1, before.1)
    );
    assert_eq!(world.levels(sale).await.available, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_redis_is_rebuilt_whole_with_what_was_held() {
    let (mut world, sale) = World::open(10).await;
    let order = world.reserve(sale).await;
    let before = world.epoch(sale).await;
    world.redis.restart().await;
    let mut watch = world.scans().await.fence_watch;
    watch.run_once().await.unwrap();
    assert!(watch.opened().yet());
    assert_eq!(world.epoch(sale).await, before + 1);
    let levels = world.levels(sale).await;
    assert_eq!((levels.available, levels.held), (9, 1));
    assert!(
        world
            .stock
            .reservation(sale, order.gid)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_scripts_are_noticed_though_the_node_is_the_same() {
    let (world, sale) = World::open(10).await;
    world.redis.command(&["SCRIPT", "FLUSH"]).await;
    world.scans().await.fence_watch.run_once().await.unwrap();
    world.reserve(sale).await;
    assert_eq!(world.levels(sale).await.held, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_watches_rebuild_a_restarted_node_once() {
    let (mut world, sale) = World::open(10).await;
    let before = world.epoch(sale).await;
    world.redis.restart().await;
    let (mut one, mut other) = (
        world.scans().await.fence_watch,
        world.scans().await.fence_watch,
    );
    let (first, second) = tokio::join!(one.run_once(), other.run_once());
    first.and(second).unwrap();
    // Whoever found the lease taken sees the node open at its next look.
    one.run_once().await.unwrap();
    other.run_once().await.unwrap();
    assert!(one.opened().yet() && other.opened().yet());
    assert_eq!(world.epoch(sale).await, before + 1);
    assert_eq!(world.levels(sale).await.available, 10);
}
