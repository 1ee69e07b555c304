//! A legal end: whatever happened, this is what must hold once nothing is open and everything is committed.

use super::scenario::{Backlog, Stage};
use crate::world::{SOON, World};
use compensation::attempt::Attempt;
use coordinator::Pace;
use ordering::{engine::Recovery, foreign::Foreign, message::OrderMessage};
use rdkafka::message::Message as _;
use std::collections::BTreeSet;
use testkit::eventually;

/// How often a dead letter may be on its topic: once more for the one fault.
const COPIES_AT_MOST: usize = 2;

/// Every order is confirmed in the try that heals it, has one compensation and one history, and is on the topic of dead letters if
/// it was one; what is no order is archived once and told of once. Redis and MySQL say the same of the sale's units, of which each
/// order took one.
pub async fn is_legal(stage: &Stage, before: (i64, i64, i64), backlog: &Backlog) {
    let Stage { world, sale } = stage;
    everything_is_completed(world).await;
    for (order, last_try) in &backlog.orders {
        assert_eq!(world.status(order).await, "confirmed");
        let closed = [("closed".to_owned(), *last_try)];
        assert_eq!(world.compensations(order).await, closed);
        one_history(world, order).await;
    }
    letters_are_published(world, backlog).await;
    if let Some(poison) = &backlog.poison {
        archived_once(world, poison).await;
    }
    let sold = i64::try_from(backlog.orders.len()).unwrap();
    let (available, held, sold_before) = before;
    let units = (available - sold, held, sold_before + sold);
    world.until_units(*sale, units).await;
    let (available, sold): (i32, i32) =
        sqlx::query_as("select available, sold from sale_inventory where sale_id = ?")
            .bind(sale)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!((available.into(), 0, sold.into()), units, "MySQL and Redis");
}

/// What a dead process left is due now rather than in some seconds, and its lease is not waited for.
async fn everything_is_completed(world: &World) {
    let recovery = Recovery::new(
        world.schema.pool.clone(),
        world.stock.clone(),
        &Foreign::default(),
        Pace::default(),
    );
    eventually("every transaction is finished", SOON, async || {
        world
            .schema
            .execute(
                "update transactions set due_at = utc_timestamp(3) \
                 where state in ('begun', 'prepared', 'committing', 'rolling_back') and due_at > utc_timestamp(3)",
            )
            .await;
        recovery.run_batch().await.unwrap();
        let unfinished: i64 = sqlx::query_scalar(
            "select count(*) from transactions where state not in ('committed', 'rolled_back')",
        )
        .fetch_one(&world.schema.pool)
        .await
        .unwrap();
        (unfinished == 0).then_some(())
    })
    .await;
}

/// No try is counted twice, and the log has as many as the history.
async fn one_history(world: &World, order: &OrderMessage) {
    let history: String =
        sqlx::query_scalar("select history from compensations where order_id = ?")
            .bind(order.order_id)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    let attempts: Vec<Attempt> = serde_json::from_str(&history).unwrap();
    let tries: BTreeSet<(u32, u32)> = attempts
        .iter()
        .map(|attempt| (attempt.generation, attempt.attempt))
        .collect();
    assert_eq!(tries.len(), attempts.len(), "{attempts:#?}");
    let logged: i64 =
        sqlx::query_scalar("select count(*) from compensation_logs where order_id = ?")
            .bind(order.order_id)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!(usize::try_from(logged), Ok(attempts.len()), "log lines");
}

async fn letters_are_published(world: &World, backlog: &Backlog) {
    let letters = world.dead_letters().await;
    for (order, _) in backlog.orders.iter().filter(|_| backlog.are_dead) {
        let key = order.order_id.to_string();
        let copies = letters
            .iter()
            .filter(|letter| letter.key() == Some(key.as_bytes()));
        let copies: Vec<_> = copies.collect();
        assert!(
            (1..=COPIES_AT_MOST).contains(&copies.len()),
            "{} dead letters",
            copies.len()
        );
        for letter in copies {
            assert_eq!(letter.payload(), Some(&order.to_bytes()[..]));
        }
        let told = world.alerts(&key).await;
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

async fn archived_once(world: &World, poison: &[u8]) {
    let ids: Vec<(uuid::Uuid,)> = sqlx::query_as(
        "select id from failed_order_archives where order_id is null and payload = ?",
    )
    .bind(poison)
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(ids.len(), 1, "what is no order is archived once");
    let told = world.alerts(&ids[0].0.to_string()).await;
    assert_eq!(told.len(), 1, "{told:?}");
}
