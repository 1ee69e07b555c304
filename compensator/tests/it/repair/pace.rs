//! When what failed is tried again: by the policy that rules now, no earlier than asked, in turns, and not in a storm.

use crate::world::{SOON, World};
use compensation::policy::{Policy, Terms, stored};
use compensator::repair::Repair;
use ordering::{SaleId, message::OrderMessage};
use rdkafka::message::{Header, OwnedHeaders};
use service_kit::settings::Settings;
use std::time::Duration;
use testkit::{
    eventually,
    foreign_participant::{Behaviour, ForeignParticipant, Then},
    process::Process,
};
use tokio_util::sync::CancellationToken;

/// How long a running compensator may take to follow a change on a busy machine.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(20);
const BREAKS_FOR_EVER: &str = "faults: [\"decide:remark=breaks:forever\"]\n";

impl World {
    /// Changes the policy as the admin does.
    async fn change_policy(&self, change: impl FnOnce(&mut Terms)) -> u32 {
        let newest = stored::current(&self.schema.pool).await.unwrap();
        let mut terms = newest.policy.terms().clone();
        change(&mut terms);
        let policy = Policy::try_from(terms).unwrap();
        let mut db = self.schema.pool.acquire().await.unwrap();
        let changed = stored::change(&mut db, newest.version, &policy, "night", "a test").await;
        assert_eq!(changed.unwrap(), stored::Changed::Now(newest.version + 1));
        newest.version + 1
    }

    /// Seconds until the order is tried.
    async fn due_in(&self, order: &OrderMessage) -> i64 {
        sqlx::query_scalar(
            "select timestampdiff(second, utc_timestamp(3), due_at) from compensations where order_id = ?",
        )
        .bind(order.order_id)
        .fetch_one(&self.schema.pool)
        .await
        .unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    /// Orders that wait, each tried once.
    async fn waiting(&self, sale: SaleId, number: usize) -> Vec<OrderMessage> {
        let mut orders = Vec::new();
        for _ in 0..number {
            let order = self.reserve_with(sale, Some("breaks")).await;
            self.enqueue(&order).await;
            orders.push(order);
        }
        orders
    }

    /// Every order has a coupon, the retries' settings end with these.
    fn with_coupons_and(&self, coupons: &ForeignParticipant, retries: &str) -> Settings {
        let more = format!(
            "participants: [{{ name: coupon, style: tcc, url: \"{}\", sales: all, timeout_ms: 5000, breaker_failures: 1000 }}]\n",
            coupons.url()
        );
        self.settings(
            &[(
                "budget: { floor_per_s: 10000 }, breaker: { orders: 10000 }",
                retries,
            )],
            &more,
        )
    }
}

async fn tries(repair: &Repair) {
    repair.retry_lane.run_batch().await.unwrap();
}

/// Breaks when the lane keeps the policy it was started with, or a change moves what waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_rules_from_the_next_failure_on_and_what_waits_keeps_its_due_time() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with(BREAKS_FOR_EVER).await;
    repair.policy_watch.run_batch().await.unwrap();
    let order = world.waiting(sale, 1).await.remove(0);
    let follow = async |change: fn(&mut Terms)| {
        world.change_policy(change).await;
        repair.policy_watch.run_batch().await.unwrap();
    };
    follow(|terms| terms.compensation.retry_delay = vec![1_000.0]).await;
    tries(&repair).await;
    assert!((700..=1_200).contains(&world.due_in(&order).await));
    follow(|terms| terms.compensation.retry_delay = vec![5_000.0]).await;
    let waits = world.due_in(&order).await;
    assert!(
        (700..=1_200).contains(&waits),
        "it keeps its due time: {waits}"
    );
    world.let_time_pass().await;
    tries(&repair).await;
    assert!((3_900..=6_000).contains(&world.due_in(&order).await));
    // Three tries are behind it, and now one retry is all there is.
    follow(|terms| {
        (terms.compensation.max_retries, terms.dlq.max_retries) = (1, 0);
        terms.dlq.retry_delay.clear();
    })
    .await;
    assert_eq!(
        world.compensations(&order).await,
        [("scheduled".to_owned(), 3)]
    );
    world.let_time_pass().await;
    tries(&repair).await;
    assert_eq!(
        world.compensations(&order).await,
        [("archiving".to_owned(), 4)]
    );
}

/// Breaks when nobody looks at the table while the process runs, which it does every second.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_compensator_follows_by_itself() {
    let (world, _) = World::open(1).await;
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &world.yaml());
    process.ready(SOON).await;
    let shows = async |version: u32| {
        eventually(
            &format!("version {version} rules"),
            FOLLOWS_WITHIN,
            || async {
                let metrics = process.get("/metrics").await?;
                let line = format!("compensation_policy_version {version}");
                metrics.lines().any(|it| it == line).then_some(())
            },
        )
        .await;
    };
    shows(1).await;
    let version = world.change_policy(|terms| terms.jitter = 0.5).await;
    shows(version).await;
    process.end(SOON).await;
}

/// Breaks when what the participant asks for is lost on its way, or not bounded.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_try_is_no_earlier_than_the_participant_asks_for_within_bounds() {
    for (behaviour, most, expected) in [
        (Behaviour::Running(Some("40".to_owned())), 300, 35..=40),
        (Behaviour::Busy(429, "40".to_owned()), 300, 35..=40),
        (Behaviour::Busy(503, "40".to_owned()), 10, 5..=10),
        (Behaviour::Running(Some("40".to_owned())), 0, -5..=1),
    ] {
        let (world, sale) = World::open(10).await;
        let coupons = ForeignParticipant::start().await;
        coupons.always("try", behaviour.clone());
        let settings = world.with_coupons_and(&coupons, &format!("retry_after_max_s: {most}"));
        let repair = world.repair(&settings).await;
        let order = world.waiting(sale, 1).await.remove(0);
        tries(&repair).await;
        assert_eq!(world.compensations(&order).await[0].1, 2);
        let due = world.due_in(&order).await;
        assert!(
            expected.contains(&due),
            "{behaviour:?}, at most {most}: {due}"
        );
    }
}

/// As order-consumer hands on what a participant asked to be left alone for.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_retry_is_no_earlier_than_what_was_handed_on_says() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let order = world.reserve(sale).await;
    let topic = world.topics.compensation.clone();
    let headers = OwnedHeaders::new().insert(Header {
        key: "retry-after-ms",
        value: Some("40000"),
    });
    let key = order.order_id.to_string();
    world.send(&topic, &key, &order.to_bytes(), headers).await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("it is taken in", SOON, || async {
        (!world.compensations(&order).await.is_empty()).then_some(())
    })
    .await;
    assert!((20..=40).contains(&world.due_in(&order).await));
    stop.cancel();
    intake.await.unwrap();
}

/// What operators replay in bulk came first and is due for longer. Breaks when it is claimed by age alone, or never.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_by_itself_goes_before_replays_and_replays_have_a_quarter() {
    let (world, sale) = World::open(100).await;
    let repair = world.repair_with(BREAKS_FOR_EVER).await;
    world.waiting(sale, 30).await;
    world
        .schema
        .execute("update compensations set generation = 1, due_at = due_at - interval 1 hour")
        .await;
    world.waiting(sale, 30).await;
    let tried = async |generation: i32| -> i64 {
        sqlx::query_scalar(
            "select count(*) from compensations where generation = ? and attempts > 1",
        )
        .bind(generation)
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
    };
    tries(&repair).await;
    assert_eq!((tried(0).await, tried(1).await), (12, 4));
    tries(&repair).await;
    assert_eq!((tried(0).await, tried(1).await), (24, 8));
    // Six are left that came by themselves, and what they do not need is the replays'.
    world
        .schema
        .execute("update compensations set due_at = utc_timestamp(3) + interval 1 hour where attempts > 1")
        .await;
    tries(&repair).await;
    assert_eq!((tried(0).await, tried(1).await), (30, 18));
}

/// Breaks when every order goes on by its own schedule, when being put off counts as a try, or when nothing lets go in the end.
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_fail_alike_are_put_off_together_and_follow_once_one_does_not() {
    const ORDERS: usize = 60;
    let (world, sale) = World::open(100).await;
    let coupons = ForeignParticipant::start().await;
    coupons.always("try", Behaviour::Skip(Then::Status(500)));
    let settings = world.with_coupons_and(
        &coupons,
        "max_retries: 20, budget: { floor_per_s: 1000 }, \
         breaker: { orders: 10, first_wait_s: 0.5, max_wait_s: 1, release_per_s: 20, release_at_most_per_s: 100 }",
    );
    let repair = world.repair(&settings).await;
    let orders = world.waiting(sale, ORDERS).await;
    world
        .schema
        .execute("update compensations set last_error = 'coupon has not promised: HTTP 500'")
        .await;
    tries(&repair).await;
    let calls = coupons.calls().len();
    assert!((10..=16).contains(&calls), "{calls} calls");
    let put_off = tokio::time::Instant::now();
    for _ in 0..20 {
        world.let_time_pass().await;
        tries(&repair).await;
    }
    let probes = coupons.calls().len() - calls;
    let at_most = put_off.elapsed().as_secs() + 3;
    assert!(probes as u64 <= at_most, "{probes} single tries");
    let untried = world
        .number("select count(*) from compensations where attempts = 1")
        .await;
    let tried = i64::try_from(calls + probes).unwrap();
    assert!(untried >= 60 - tried, "{untried} have all their tries");
    let open = world
        .number("select count(*) from compensations where state = 'scheduled'")
        .await;
    assert_eq!(open, i64::try_from(ORDERS).unwrap());

    coupons.always("try", Behaviour::Honest);
    let healed = tokio::time::Instant::now();
    eventually("all of them follow", SOON, || async {
        repair.retry_lane.run_batch().await.unwrap();
        let left = world
            .number("select count(*) from compensations where state <> 'closed'")
            .await;
        (left == 0).then_some(())
    })
    .await;
    assert!(
        healed.elapsed() > Duration::from_secs(1),
        "not all at once: {:?}",
        healed.elapsed()
    );
    for order in &orders {
        assert_eq!(world.status(order).await, "confirmed");
    }
    assert_eq!(coupons.used(), ORDERS as u64);
}

/// Breaks when failures are not counted against the budget, or successes are.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_tries_fail_than_the_budget_allows_and_tries_that_succeed_are_free() {
    let (world, sale) = World::open(100).await;
    let small = |more| {
        world.settings(
            &[(
                "budget: { floor_per_s: 10000 }",
                "budget: { floor_per_s: 1 }",
            )],
            more,
        )
    };
    let repair = world.repair(&small(BREAKS_FOR_EVER)).await;
    world.waiting(sale, 40).await;
    let batch = tokio::time::Instant::now();
    for _ in 0..10 {
        tries(&repair).await;
    }
    if batch.elapsed() < Duration::from_secs(9) {
        let tried = world
            .number("select count(*) from compensations where attempts > 1")
            .await;
        assert_eq!(tried, 10, "one a second, for ten seconds");
    }
    // Nothing that waits is claimed meanwhile.
    let claimed = world
        .number("select count(*) from compensations where is_claimed")
        .await;
    assert_eq!(claimed, 0);
    let repair = world.repair(&small("")).await;
    let begun = tokio::time::Instant::now();
    world.let_time_pass().await;
    world.drive(&repair).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "forty that succeed wait for nobody"
    );
}
