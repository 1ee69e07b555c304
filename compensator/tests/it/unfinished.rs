//! What was decided is completed, whoever died before; what was completed long ago is forgotten.

use crate::world::World;
use compensator::schedule::Scan as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_committing_is_completed_once_by_two_compensators() {
    let (mut world, sale) = World::open(10).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(world.reserve(sale).await);
    }
    // Decided while Redis does not answer: MySQL alone is enough, and completing is left.
    world.redis.kill().await;
    let engine = world.engine();
    for order in orders {
        engine.submit(order).await.unwrap();
    }
    engine.drain().await;
    world.redis.restart().await;
    let (mut one, mut other) = (world.scans().await, world.scans().await);
    one.fence_watch.run_once().await.unwrap();
    world
        .schema
        .execute("update transactions set due_at = utc_timestamp(3) where state = 'committing'")
        .await;
    let left: i64 = count(&world, "committing").await;
    assert_eq!(left, 4);
    let (first, second) = tokio::join!(one.unfinished.run_once(), other.unfinished.run_once());
    first.and(second).unwrap();
    assert_eq!(
        (
            count(&world, "committing").await,
            count(&world, "committed").await
        ),
        (0, 4)
    );
    let levels = world.levels(sale).await;
    assert_eq!(
        (levels.available, levels.held, levels.sold, levels.owed),
        (6, 0, 4, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_forgotten_two_weeks_after_they_finished() {
    let (world, sale) = World::open(10).await;
    let (old, young) = (world.reserve(sale).await, world.reserve(sale).await);
    let engine = world.engine();
    engine.submit(old.clone()).await.unwrap();
    engine.submit(young).await.unwrap();
    engine.drain().await;
    sqlx::query("update transactions set finished_at = finished_at - interval 337 hour, due_at = due_at - interval 337 hour where gid = ?")
        .bind(old.gid)
        .execute(&world.schema.pool)
        .await
        .unwrap();
    let mut scans = world.scans().await;
    scans.old_transactions.run_once().await.unwrap();
    assert_eq!(count(&world, "committed").await, 1);
}

async fn count(world: &World, state: &str) -> i64 {
    sqlx::query_scalar("select count(*) from transactions where state = ?")
        .bind(state)
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
}
