//! What Redis lost is seen and rebuilt by itself, once.

use crate::world::{SOON, World};
use compensator::schedule::Scan as _;
use std::time::{Duration, Instant};

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
    // However long it took to come here.
    world
        .schema
        .execute("update sales set created_at = utc_timestamp(3)")
        .await;
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

/// Breaks when `long_made` is not asked: buyers wait for a second look.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_long_ago_and_is_gone_is_rebuilt_at_the_first_look() {
    let (world, sale) = World::open(10).await;
    world
        .schema
        .execute("update sales set created_at = created_at - interval 11 second")
        .await;
    let mut watch = world.scans().await.fence_watch;
    watch.run_once().await.unwrap();
    let before = world.epoch(sale).await;
    world.redis.command(&["FLUSHALL"]).await;
    watch.run_once().await.unwrap();
    assert_eq!(world.epoch(sale).await, before + 1);
    assert_eq!(world.levels(sale).await.available, 10);
}

/// Breaks when a sale that failed is not put off: every look writes until Redis is full, and the others have no room either.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_redis_has_no_room_for_is_told_of_put_off_and_open_once_there_is_room() {
    let (world, small) = World::open(10).await;
    let large = world.sale(100_000).await;
    let id = large.as_uuid().simple();
    world
        .schema
        .execute(&format!(
            "insert into sale_buyers (sale_id, user_id, units) \
             select unhex('{id}'), unhex(concat('01900000', lpad(hex(seq), 24, '0'))), 1 from seq_1_to_40000"
        ))
        .await;
    world
        .schema
        .execute(&format!(
            "update sale_inventory set available = available - 40000, sold = 40000 where sale_id = unhex('{id}')"
        ))
        .await;
    let mut watch = world.scans().await.fence_watch;
    world.redis.command(&["FLUSHALL", "SYNC"]).await;
    world.redis.command(&["SCRIPT", "FLUSH"]).await;
    // An empty server has one megabyte; forty thousand buyers take six.
    world
        .redis
        .command(&["CONFIG", "SET", "maxmemory", "4mb"])
        .await;
    let told = watch.run_once().await.unwrap_err();
    let failed = Instant::now();
    let told = format!("{told:#}");
    assert!(
        told.contains(&large.to_string()) && told.contains("maxmemory"),
        "{told}"
    );
    assert!(watch.opened().yet(), "the node is open but for one sale");
    world.reserve(small).await;
    let tries = world.epoch(large).await;
    let again = watch.run_once().await.unwrap_err();
    // It is tried again after a second.
    if failed.elapsed() < Duration::from_millis(900) {
        assert_eq!(
            format!("{again:#}"),
            told,
            "it is told of as long as it lasts"
        );
        assert_eq!(world.epoch(large).await, tries, "its time has not come");
    }

    world
        .redis
        .command(&["CONFIG", "SET", "maxmemory", "0"])
        .await;
    let watch = tokio::sync::Mutex::new(watch);
    testkit::eventually("it opens by itself", SOON, || async {
        watch.lock().await.run_once().await.ok()
    })
    .await;
    assert_eq!(world.levels(large).await.sold, 40_000);
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
