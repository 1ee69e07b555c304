//! Orders nobody paid for in time are cancelled once, whoever else is at them; all others stay as they are.

use crate::world::{SOON, World};
use compensator::schedule::Scan as _;
use futures::future::join_all;
use ordering::{OrderId, SaleId, cancel, message::OrderMessage, orders, unpaid::Unpaid};
use service_kit::settings::Settings;
use std::time::Duration;
use testkit::eventually;

const AFTER: Duration = Duration::from_mins(1);

fn on(world: &World) -> Settings {
    world.settings(&[], "scans: { unpaid_after_s: 60 }\n")
}

/// So many confirmed orders, of which Redis knows.
async fn confirmed(world: &World, sale: SaleId, count: usize) -> Vec<OrderMessage> {
    let engine = world.engine();
    let mut orders = Vec::new();
    for _ in 0..count {
        orders.push(world.reserve(sale).await);
    }
    for outcome in join_all(orders.iter().map(|order| engine.submit(order.clone()))).await {
        outcome.unwrap();
    }
    engine.drain().await;
    orders
}

/// As if they had been confirmed an hour ago.
async fn age(world: &World, orders: &[OrderMessage]) {
    for order in orders {
        sqlx::query("update orders set decided_at = decided_at - interval 1 hour where id = ?")
            .bind(order.order_id)
            .execute(&world.schema.pool)
            .await
            .unwrap();
    }
}

/// What its buyer reads: status and reason.
async fn read(world: &World, order: &OrderMessage) -> (String, Option<String>) {
    let order = orders::find(&world.schema.pool, order.user_id, order.order_id)
        .await
        .unwrap()
        .unwrap();
    (order.status.as_str().to_owned(), order.reason)
}

/// Available and sold, in MySQL; units its buyers hold together.
async fn mysql(world: &World, sale: SaleId) -> (i32, i32, i64) {
    let (available, sold) =
        sqlx::query_as("select available, sold from sale_inventory where sale_id = ?")
            .bind(sale)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    let held =
        sqlx::query_scalar("select cast(sum(units) as signed) from sale_buyers where sale_id = ?")
            .bind(sale)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    (available, sold, held)
}

async fn until_redis_has(world: &World, sale: SaleId, available: i64, sold: i64) {
    eventually("Redis has the units back", SOON, || async {
        let levels = world.levels(sale).await;
        ((levels.available, levels.held, levels.sold) == (available, 0, sold)).then_some(())
    })
    .await;
}

async fn set_paid(world: &World, order: OrderId) -> bool {
    sqlx::query("update orders set status = 'paid' where id = ? and status = 'confirmed'")
        .bind(order)
        .execute(&world.schema.pool)
        .await
        .unwrap()
        .rows_affected()
        == 1
}

/// Breaks when age alone counts (the paid order is cancelled), or the reason is not written.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_nobody_paid_for_is_cancelled_for_that_reason_also_when_its_sale_is_over() {
    let (world, sale) = World::open(10).await;
    let orders = confirmed(&world, sale, 6).await;
    let [unpaid, paid, cancelled, unsettled, young, wanted] = &orders[..] else {
        unreachable!("six were placed");
    };
    age(&world, &orders[..4]).await;
    age(&world, &orders[5..]).await;
    assert!(set_paid(&world, paid.order_id).await);
    let engine = world.engine();
    cancel::cancel(
        &world.schema.pool,
        &engine,
        cancelled.user_id,
        cancelled.order_id,
    )
    .await
    .unwrap();
    engine.drain().await;
    sqlx::query(
        "update transactions set state = 'committing', due_at = '2100-01-01' where gid = ?",
    )
    .bind(unsettled.gid)
    .execute(&world.schema.pool)
    .await
    .unwrap();
    world
        .schema
        .execute("update sales set ends_at = utc_timestamp(3) - interval 1 minute")
        .await;

    let mut scan = world.scans_with(&on(&world)).await.unpaid;
    let findings = scan.run_once().await.unwrap();
    assert_eq!(
        (findings.counts["cancelled"], findings.counts["units"]),
        (2, 2)
    );
    assert_eq!(
        (
            findings.counts["not_settled_yet"],
            findings.counts["settled_meanwhile"]
        ),
        (1, 0)
    );
    assert_eq!(
        findings.did,
        ["Cancelled 2 orders nobody paid for in time: 2 units are for sale again"]
    );
    scan.finish().await;
    let is = |status: &str, reason: Option<&str>| (status.to_owned(), reason.map(str::to_owned));
    for order in [unpaid, wanted] {
        assert_eq!(read(&world, order).await, is("cancelled", Some("unpaid")));
    }
    assert_eq!(read(&world, paid).await, is("paid", None));
    assert_eq!(read(&world, cancelled).await, is("cancelled", None));
    assert_eq!(read(&world, unsettled).await, is("processing", None));
    assert_eq!(read(&world, young).await, is("confirmed", None));
    assert_eq!(mysql(&world, sale).await, (7, 3, 3));
    until_redis_has(&world, sale, 7, 3).await;

    // Its own transaction has finished: now it is old enough.
    sqlx::query("update transactions set state = 'committed' where gid = ?")
        .bind(unsettled.gid)
        .execute(&world.schema.pool)
        .await
        .unwrap();
    let mut scan = world.scans_with(&on(&world)).await.unpaid;
    assert_eq!(scan.run_once().await.unwrap().counts["cancelled"], 1);
    assert_eq!(scan.run_once().await.unwrap().counts["cancelled"], 0);
    scan.finish().await;
    assert_eq!(mysql(&world, sale).await, (8, 2, 2));
    until_redis_has(&world, sale, 8, 2).await;
}

/// Breaks when it is on unless it is switched off: a shop that marks no order as paid would lose them all.
#[tokio::test(flavor = "multi_thread")]
async fn unless_the_settings_say_after_how_long_no_order_is_cancelled() {
    let (world, sale) = World::open(10).await;
    let orders = confirmed(&world, sale, 1).await;
    age(&world, &orders).await;
    let mut scan = world.scans().await.unpaid;
    assert!(!scan.is_on());
    let findings = scan.run_once().await.unwrap();
    assert!(findings.did.is_empty() && findings.found[0].contains("unpaid_after_s is 0"));
    assert_eq!(read(&world, &orders[0]).await.0, "confirmed");
}

/// Breaks when the decision does not look at the order's status: `left: ("cancelled", Some("unpaid")), right: ("paid", None)`.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_payment_and_two_scanners_one_wins_each_order() {
    const ORDERS: usize = 120;
    let (world, sale) = World::open(u32::try_from(ORDERS).unwrap()).await;
    let orders = confirmed(&world, sale, ORDERS).await;
    age(&world, &orders).await;
    let scanner = || Unpaid::new(world.schema.pool.clone(), world.engine(), AFTER);
    let (mut one, mut other) = (scanner(), scanner());
    let pay = join_all(
        orders
            .iter()
            .step_by(2)
            .map(|order| async { (order.order_id, set_paid(&world, order.order_id).await) }),
    );
    let (first, second, paid) = tokio::join!(one.run_page(), other.run_page(), pay);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.trouble.is_none() && second.trouble.is_none());
    one.finish().await;
    other.finish().await;
    let paid: Vec<OrderId> = paid
        .into_iter()
        .filter_map(|(order, paid)| paid.then_some(order))
        .collect();
    for order in &orders {
        let expected = if paid.contains(&order.order_id) {
            ("paid".to_owned(), None)
        } else {
            ("cancelled".to_owned(), Some("unpaid".to_owned()))
        };
        assert_eq!(read(&world, order).await, expected, "{}", order.order_id);
    }
    let (sold, back) = (paid.len(), ORDERS - paid.len());
    assert_eq!(
        mysql(&world, sale).await,
        (
            i32::try_from(back).unwrap(),
            i32::try_from(sold).unwrap(),
            i64::try_from(sold).unwrap()
        )
    );
    until_redis_has(
        &world,
        sale,
        i64::try_from(back).unwrap(),
        i64::try_from(sold).unwrap(),
    )
    .await;
}

/// As after a crash between decision and Redis. Breaks when a completion without an answer counts as done: the units are never back.
#[tokio::test(flavor = "multi_thread")]
async fn what_redis_was_not_told_it_is_told_later_once() {
    let (mut world, sale) = World::open(10).await;
    let orders = confirmed(&world, sale, 4).await;
    age(&world, &orders).await;
    let mut scan = world.scans_with(&on(&world)).await.unpaid;
    world.redis.kill().await;
    assert_eq!(scan.run_once().await.unwrap().counts["cancelled"], 4);
    scan.finish().await;
    world.redis.restart().await;
    assert_eq!(mysql(&world, sale).await, (10, 0, 0));
    let (mut one, mut other) = (world.scans().await, world.scans().await);
    one.fence_watch.run_once().await.unwrap();
    for _ in 0..2 {
        world
            .schema
            .execute("update transactions set due_at = utc_timestamp(3) where state = 'committing'")
            .await;
        let (first, second) = tokio::join!(one.unfinished.run_once(), other.unfinished.run_once());
        first.and(second).unwrap();
    }
    until_redis_has(&world, sale, 10, 0).await;
    // The buyer may order again, and again nobody pays.
    let again = confirmed(&world, sale, 1).await;
    age(&world, &again).await;
    let mut scan = world.scans_with(&on(&world)).await.unpaid;
    assert_eq!(scan.run_once().await.unwrap().counts["cancelled"], 1);
    scan.finish().await;
    until_redis_has(&world, sale, 10, 0).await;
}

/// Of ten thousand orders that are settled otherwise, none is looked at. Breaks when they are found by another index.
#[tokio::test(flavor = "multi_thread")]
async fn they_are_found_by_an_index_the_oldest_first() {
    use sqlx::Row as _;
    let world = World::closed().await;
    world
        .schema
        .execute(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, created_at, decided_at)
             select unhex(lpad(hex(seq), 32, '0')), unhex(lpad(hex(seq), 32, '0')), 0, unhex(repeat('1', 32)), unhex(repeat('2', 32)), 1, 1,
                    if(seq % 100 = 0, 'confirmed', 'paid'), utc_timestamp(3) - interval seq second, utc_timestamp(3) - interval seq second
             from seq_1_to_10000",
        )
        .await;
    let plan = sqlx::query(
        "explain select o.id from orders o force index (orders_by_status) left join transactions t on t.gid = o.gid
         where o.status = 'confirmed' and o.decided_at < utc_timestamp(3) - interval 60 second
           and o.decided_at >= '1970-01-01' and (o.decided_at > '1970-01-01' or o.id > '') order by o.decided_at, o.id limit 200",
    )
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    let column = |name: &str| {
        plan[0]
            .try_get::<Option<String>, _>(name)
            .unwrap()
            .unwrap_or_default()
    };
    assert_eq!(
        (column("key").as_str(), column("type").as_str()),
        ("orders_by_status", "range")
    );
    assert!(!column("Extra").contains("filesort"), "{}", column("Extra"));
}
