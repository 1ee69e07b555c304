//! What differs at two looks is put right; what is on its way is no difference.

use crate::world::World;
use compensator::schedule::Scan as _;
use ordering::{SaleId, drift};

/// Breaks when the first look is believed (a decision may be on its way), or the sale is not fenced: it sells 8 units of 10 for ever.
#[tokio::test(flavor = "multi_thread")]
async fn drift_seen_twice_is_written_down_told_of_once_and_put_right() {
    let (world, sale) = World::open(10).await;
    let mut scans = world.scans().await;
    lose_two(&world, sale).await;
    scans.comparison.run_once().await.unwrap();
    assert_eq!(scans.comparison.drift(sale), 0, "one look may be wrong");
    assert_eq!(sold(&world, sale).await, 2);
    scans.comparison.run_once().await.unwrap();
    assert_eq!(scans.comparison.drift(sale), 2);
    // While it is fenced nobody can say anything of it.
    scans.comparison.run_once().await.unwrap();
    for _ in 0..2 {
        scans.fence_watch.run_once().await.unwrap();
    }
    assert_eq!(sold(&world, sale).await, 0);
    let found = drift::of_sale(&world.schema.pool, sale).await.unwrap();
    assert_eq!(
        found
            .iter()
            .map(|drift| (
                drift.units,
                drift.redis,
                drift.mysql,
                drift.over_at.is_some()
            ))
            .collect::<Vec<_>>(),
        [(2, (8, 0, 2, 0), (10, 0), false)]
    );
    // Another process sees that it is over.
    world.scans().await.comparison.run_once().await.unwrap();
    scans.comparison.run_once().await.unwrap();
    assert_eq!(scans.comparison.drift(sale), 0);
    let found = drift::of_sale(&world.schema.pool, sale).await.unwrap();
    assert!(found.len() == 1 && found[0].over_at.is_some());
    assert_eq!(told(&world).await, 1);
    // Another time is another occasion.
    lose_two(&world, sale).await;
    for _ in 0..2 {
        scans.comparison.run_once().await.unwrap();
    }
    assert_eq!(told(&world).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_may_be_left_to_people() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(&[], "scans: { repair_drift: false }\n");
    let mut scans = world.scans_with(&settings).await;
    lose_two(&world, sale).await;
    for _ in 0..4 {
        scans.comparison.run_once().await.unwrap();
        scans.fence_watch.run_once().await.unwrap();
    }
    assert_eq!(
        (scans.comparison.drift(sale), sold(&world, sale).await),
        (2, 2)
    );
    assert_eq!(told(&world).await, 1);
}

/// Two units that Redis sold and MySQL did not: conserved, and wrong.
async fn lose_two(world: &World, sale: SaleId) {
    let stock = ordering::keys::stock(sale);
    for (field, units) in [("available", "-2"), ("sold", "2")] {
        world
            .redis
            .command(&["HINCRBY", &stock, field, units])
            .await;
    }
}

async fn sold(world: &World, sale: SaleId) -> i64 {
    world.levels(sale).await.sold
}

async fn told(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from alerts where kind = 'drift' and resolves = 0")
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
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
