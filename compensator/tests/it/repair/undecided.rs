//! An order that was begun and that nobody decides is tried again under its own gid, and given up at last; what is worked on is left
//! alone.

use crate::world::World;
use compensation::attempt::Lane;
use compensator::repair::Repair;
use futures::future::join_all;
use ordering::{OrderOutcome, SaleId, message::OrderMessage};

/// Orders that fail as often as they are tried.
const NEVER: &str = "faults: [\"decide:remark=breaks:forever\"]\n";

impl World {
    /// An order whose process died before it was decided, so long ago that it is overdue.
    async fn begun(&self, sale: SaleId, remark: &str) -> OrderMessage {
        let order = self.reserve_with(sale, Some(remark)).await;
        let work = serde_json::json!({"act": "place", "message": order, "foreign": []});
        sqlx::query(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, branches, work, attempts, due_at, created_at) \
             values (?, 'order', ?, 'begun', ?, 0, '{}', 0, ?, 0, utc_timestamp(3) - interval 1 second, \
             utc_timestamp(3) - interval 5 minute)",
        )
        .bind(order.gid)
        .bind(sale)
        .bind(order.gid)
        .bind(work.to_string())
        .execute(&self.schema.pool)
        .await
        .unwrap();
        order
    }

    /// As when their lease is over.
    async fn let_them_be_overdue(&self) {
        self.schema
            .execute("update transactions set due_at = utc_timestamp(3) - interval 1 second where state in ('begun', 'prepared')")
            .await;
    }

    async fn state_of(&self, order: &OrderMessage) -> String {
        sqlx::query_scalar("select state from transactions where gid = ?")
            .bind(order.gid)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    async fn logged(&self, order: &OrderMessage) -> i64 {
        sqlx::query_scalar("select count(*) from compensation_logs where order_id = ?")
            .bind(order.order_id)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }
}

async fn both(one: &Repair, other: &Repair) -> usize {
    let (first, second) = tokio::join!(one.undecided.run_batch(), other.undecided.run_batch());
    first.unwrap() + second.unwrap()
}

/// Caught: rows claimed for no time.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_nobody_decides_is_tried_again_once_whoever_looks_and_is_confirmed() {
    let (world, sale) = World::open(10).await;
    let order = world.begun(sale, "fine").await;
    let (one, other) = (world.repair_with("").await, world.repair_with("").await);
    assert_eq!(both(&one, &other).await, 1, "one of them has it");
    assert_eq!(both(&one, &other).await, 0, "it is leased");
    for _ in 0..3 {
        world.let_them_be_overdue().await;
        both(&one, &other).await;
    }
    assert_eq!(
        world.compensations(&order).await,
        [("scheduled".to_owned(), 1)]
    );
    assert_eq!(world.logged(&order).await, 1);
    let (lane, error): (String, String) =
        sqlx::query_as("select lane, error from compensation_logs where order_id = ?")
            .bind(order.order_id)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!(
        (lane.as_str(), error.as_str()),
        ("first", "not decided within 300 s")
    );
    world.drive(&one).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(
        world.compensations(&order).await,
        [("closed".to_owned(), 2)]
    );
    world.until_units(sale, (9, 0, 1)).await;
}

/// Caught: a line in the log from each who found it missing, whoever took it in.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_look_at_once_take_each_order_in_once() {
    let (world, sale) = World::open(100).await;
    let mut orders = Vec::new();
    for _ in 0..60 {
        orders.push(world.begun(sale, "fine").await);
    }
    let mut many = Vec::new();
    for _ in 0..4 {
        many.push(world.repair_with("").await);
    }
    // Their leases end while they are still at it.
    join_all(many.iter().map(|repair| async {
        for _ in 0..5 {
            world.let_them_be_overdue().await;
            repair.undecided.run_batch().await.unwrap();
        }
    }))
    .await;
    for order in &orders {
        assert_eq!(
            world.compensations(order).await,
            [("scheduled".to_owned(), 1)]
        );
        assert_eq!(world.logged(order).await, 1);
    }
}

/// Caught: decided beside its retries.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_worked_on_already_is_left_to_that() {
    let (world, sale) = World::open(10).await;
    let heals = "faults: [\"decide:remark=heals:2\"]\n";
    let repair = world.repair_with(heals).await;
    let order = world.begun(sale, "heals").await;
    world.enqueue(&order).await;
    world.let_time_pass().await;
    repair.retry_lane.run_batch().await.unwrap();
    let before = world.compensations(&order).await;
    assert_eq!(before, [("scheduled".to_owned(), 2)]);
    let repair = world.repair_with("").await;
    for _ in 0..2 {
        world.let_them_be_overdue().await;
        assert_eq!(repair.undecided.run_batch().await.unwrap(), 1);
        assert_eq!(repair.undecided.run_batch().await.unwrap(), 0, "leased");
    }
    assert_eq!(world.compensations(&order).await, before);
    assert_eq!(world.state_of(&order).await, "begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_decided_is_given_up_by_the_archive() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(NEVER).await;
    let order = world.begun(sale, "breaks").await;
    repair.undecided.run_batch().await.unwrap();
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "failed");
    let archived = world.archived(&order).await.unwrap();
    assert_eq!(archived.history.attempts()[0].lane, Lane::First);
    assert_eq!(archived.attempts, 6);
    world.until_units(sale, (10, 0, 0)).await;
    assert!(world.state_of(&order).await.starts_with("roll"));
    repair.undecided.run_batch().await.unwrap();
    assert_eq!(world.compensations(&order).await.len(), 1);
}

/// Caught: work that is over counts as worked on, and the order stays begun for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_copy_of_an_order_whose_retries_are_over_is_told_what_became_of_it() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let order = world.reserve_with(sale, Some("fine")).await;
    world.enqueue(&order).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    world.until_units(sale, (9, 0, 1)).await;
    // Retention removed it, then a copy was delivered, begun, and its process died.
    sqlx::query("delete from transactions where gid = ?")
        .bind(order.gid)
        .execute(&world.schema.pool)
        .await
        .unwrap();
    let work = serde_json::json!({"act": "place", "message": order, "foreign": []});
    sqlx::query(
        "insert into transactions (gid, kind, label, state, token, epoch, payload, branches, work, attempts, due_at, created_at) \
         values (?, 'order', ?, 'begun', ?, 0, '{}', 0, ?, 0, utc_timestamp(3), utc_timestamp(3))",
    )
    .bind(order.gid)
    .bind(sale)
    .bind(order.gid)
    .bind(work.to_string())
    .execute(&world.schema.pool)
    .await
    .unwrap();
    world.let_them_be_overdue().await;
    assert_eq!(repair.undecided.run_batch().await.unwrap(), 1);
    assert_eq!(world.state_of(&order).await, "committed");
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(
        world.engine().submit(order.clone()).await,
        Ok(OrderOutcome::Confirmed)
    );
    assert_eq!(world.units(sale).await, (9, 0, 1));
}
