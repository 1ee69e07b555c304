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
    scans.old_records.run_once().await.unwrap();
    assert_eq!(count(&world, "committed").await, 1);
}

/// Breaks when what is open, archived or not delivered goes by its age.
#[tokio::test(flavor = "multi_thread")]
async fn settled_work_old_tries_and_alerts_that_arrived_are_forgotten_and_nothing_else() {
    let (world, _) = World::open(10).await;
    let states = [
        "scheduled",
        "dead",
        "archiving",
        "held",
        "closed",
        "archived",
    ];
    for (number, state) in states.iter().enumerate() {
        for days in [29, 31] {
            let id = format!("unhex(lpad(hex({}), 32, '0'))", 100 * number + days);
            world
                .schema
                .execute(&format!(
                    "insert into compensation_messages (id, payload, headers) values ({id}, '', '[]');
                     insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id,
                            history, created_at, closed_at)
                     values ({id}, 'order', {id}, 0, {id}, {id}, '{state}', 1, utc_timestamp(3) - interval {days} day, {id}, '[]',
                             utc_timestamp(3) - interval {days} day, utc_timestamp(3) - interval {days} day)"
                ))
                .await;
        }
    }
    for (number, (state, days)) in [
        ("delivered", 91),
        ("delivered", 89),
        ("pending", 91),
        ("undelivered", 91),
    ]
    .into_iter()
    .enumerate()
    {
        world
            .schema
            .execute(&format!(
                "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, created_at)
                 values (unhex(lpad(hex({number}), 32, '0')), 'ops', 'archived', 'urgent', '', '', '', '{state}', 1,
                         utc_timestamp(3) - interval {days} day, utc_timestamp(3) - interval {days} day)"
            ))
            .await;
        world
            .schema
            .execute(&format!(
                "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
                 select unhex(lpad(hex(seq), 32, '0')), unhex(lpad(hex(seq), 32, '0')), 0, 1, 'retry', 'failed',
                        utc_timestamp(3) - interval {days} day, 1, 'one' from seq_1_to_400"
            ))
            .await;
    }
    let mut scans = world.scans().await;
    scans.old_records.run_once().await.unwrap();
    let left = async |query: &'static str| -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap()
    };
    assert_eq!(left("select count(*) from compensations").await, 11);
    assert_eq!(left("select count(*) from compensation_messages").await, 11);
    assert_eq!(
        left("select count(*) from compensations join compensation_messages on id = message_id")
            .await,
        11,
        "each has its message"
    );
    assert_eq!(
        left("select count(*) from compensations where state = 'closed'").await,
        1
    );
    assert_eq!(left("select count(*) from alert_outbox").await, 3);
    assert_eq!(left("select count(*) from compensation_logs").await, 400);
}

async fn count(world: &World, state: &str) -> i64 {
    sqlx::query_scalar("select count(*) from transactions where state = ?")
        .bind(state)
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
}
