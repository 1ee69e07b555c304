//! A batch of tries is written together, and none of its orders is in the way of the others.

use crate::world::World;
use compensator::repair::{Observer, Step};
use ordering::message::OrderMessage;
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use uuid::Uuid;

const ORDERS: usize = 12;

/// Orders that wait, with how many tries each, in the order they came.
async fn waiting(world: &World, sale: ordering::SaleId) -> Vec<OrderMessage> {
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        let order = world.reserve(sale).await;
        world.enqueue(&order).await;
        orders.push(order);
    }
    orders
}

async fn tries_in_log(world: &World, order: &OrderMessage) -> i64 {
    sqlx::query_scalar("select count(*) from compensation_logs where order_id = ?")
        .bind(order.order_id)
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
}

/// Breaks when a batch fails as a whole because of one row.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_row_is_refused_holds_up_none_of_its_batch() {
    let (world, sale) = World::open(100).await;
    let orders = waiting(&world, sale).await;
    let refused = &orders[5];
    world
        .schema
        .execute(&format!(
            "alter table compensations add constraint refused check (gid <> x'{}' or state <> 'closed')",
            refused.gid.as_uuid().simple()
        ))
        .await;
    let repair = world.repair_with("").await;
    repair.retry_lane.run_batch().await.unwrap();
    for order in &orders {
        assert_eq!(world.status(order).await, "confirmed");
        let (state, tries) = if order.gid == refused.gid {
            ("scheduled", 1)
        } else {
            ("closed", 2)
        };
        assert_eq!(
            world.compensations(order).await,
            [(state.to_owned(), tries)]
        );
        assert_eq!(tries_in_log(&world, order).await, i64::from(tries - 1));
    }
    // It comes back after its claim, and is closed once its row is taken.
    world
        .schema
        .execute("alter table compensations drop constraint refused")
        .await;
    world.let_claims_end().await;
    repair.retry_lane.run_batch().await.unwrap();
    assert_eq!(
        world.compensations(refused).await,
        [("closed".to_owned(), 2)]
    );
}

/// Breaks when the batch is written without the tokens of its claims: what another worker has in hand would be closed.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_that_slept_past_one_claim_the_others_are_written_and_that_one_is_left() {
    let (world, sale) = World::open(100).await;
    let orders = waiting(&world, sale).await;
    let taken = orders[3].clone();
    let (pool, gid, once) = (
        world.schema.pool.clone(),
        taken.gid.as_uuid(),
        Arc::new(OnceCell::new()),
    );
    // Nothing is written before it is taken away: those that have ended are not written down while the others go on.
    let observer: Observer = Arc::new(move |step| {
        let (pool, once) = (pool.clone(), Arc::clone(&once));
        Box::pin(async move {
            if step == Step::Tried {
                once.get_or_init(async || {
                    sqlx::query("update compensations set claim = ? where gid = ?")
                        .bind(Uuid::nil())
                        .bind(gid)
                        .execute(&pool)
                        .await
                        .unwrap()
                })
                .await;
            }
        })
    });
    let repair = world
        .repair_observed(&world.settings(&[], ""), observer)
        .await;
    repair.retry_lane.run_batch().await.unwrap();
    for order in &orders {
        let (state, tries) = if order.gid == taken.gid {
            ("scheduled", 1)
        } else {
            ("closed", 2)
        };
        assert_eq!(
            world.compensations(order).await,
            [(state.to_owned(), tries)]
        );
        assert_eq!(tries_in_log(&world, order).await, i64::from(tries - 1));
    }
}

/// Breaks when work is tried however long it waited in its batch: somebody else may have it in hand by then.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_waited_for_most_of_its_claim_is_given_back_untried() {
    let (world, sale) = World::open(100).await;
    let order = world.reserve(sale).await;
    world.enqueue(&order).await;
    world
        .schema
        .execute("update compensations set state = 'dead'")
        .await;
    // Kafka takes its time with the dead letter.
    let observer: Observer = Arc::new(|step| {
        Box::pin(async move {
            if step == Step::Published {
                tokio::time::sleep(Duration::from_secs(7)).await;
            }
        })
    });
    let slow = world
        .repair_observed(&world.settings(&[], ""), observer)
        .await;
    slow.retry_lane.run_batch().await.unwrap_err();
    assert_eq!(world.status(&order).await, "none", "it was not tried");
    assert_eq!(world.compensations(&order).await, [("dead".to_owned(), 1)]);
    world.let_time_pass().await;
    slow.retry_lane.run_batch().await.unwrap();
    assert_eq!(
        world.status(&order).await,
        "confirmed",
        "its letter is there"
    );
}
