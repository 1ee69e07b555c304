//! What differs is told after two looks; what is on its way is no difference.

use crate::world::World;
use compensator::schedule::Scan as _;

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_after_two_looks_and_forgotten_when_it_is_gone() {
    let (world, sale) = World::open(10).await;
    let mut comparison = world.scans().await.comparison;
    let stock = ordering::keys::stock(sale);
    // Two units that Redis sold and MySQL did not: conserved, and wrong.
    world
        .redis
        .command(&["HINCRBY", &stock, "available", "-2"])
        .await;
    world.redis.command(&["HINCRBY", &stock, "sold", "2"]).await;
    comparison.run_once().await.unwrap();
    assert_eq!(comparison.drift(sale), 0, "one look may be wrong");
    comparison.run_once().await.unwrap();
    assert_eq!(comparison.drift(sale), 2);
    world
        .redis
        .command(&["HINCRBY", &stock, "available", "2"])
        .await;
    world
        .redis
        .command(&["HINCRBY", &stock, "sold", "-2"])
        .await;
    comparison.run_once().await.unwrap();
    assert_eq!(comparison.drift(sale), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_and_unfinished_units_are_no_drift() {
    let (world, sale) = World::open(10).await;
    let mut comparison = world.scans().await.comparison;
    world.reserve(sale).await;
    let order = world.reserve(sale).await;
    let engine = world.engine();
    engine.submit(order).await.unwrap();
    engine.drain().await;
    for _ in 0..3 {
        comparison.run_once().await.unwrap();
        assert_eq!(comparison.drift(sale), 0);
    }
    let levels = world.levels(sale).await;
    assert_eq!((levels.available, levels.held, levels.sold), (8, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_did_not_reach_redis_are_brought_there() {
    let (world, sale) = World::open(10).await;
    for change in [
        "update sales set total = 15, revision = 2",
        "update sale_inventory set total = 15, available = 15",
    ] {
        world.schema.execute(change).await;
    }
    world.scans().await.comparison.run_once().await.unwrap();
    let levels = world.levels(sale).await;
    assert_eq!((levels.total, levels.available), (15, 15));
}
