//! Redis is away for a whole minute (SIGKILL), with orders reserved in it that were accepted. MySQL alone settles them within
//! seconds; their completions wait for as long as it takes, which counts as nothing; and once Redis is back and rebuilt, both agree.
//!
//! Seen to fail:
//! - no answer to a prepare counted as a no: the orders are rejected as `withdrawn`;
//! - a participant that is away counted as failed: attempts are counted, and with few of them the orders are stuck;
//! - a completion that was not answered counted as done: the orders are finished before Redis is back.

use crate::world::{SOON, World};
use coordinator::Recovered;
use ordering::{OrderStatus, engine::Recovery};
use std::time::Duration;
use testkit::eventually;
use tokio::time::{Instant, sleep};

/// How long Redis is away: what the issue asks for.
const AWAY: Duration = Duration::from_mins(1);
/// How soon MySQL alone has settled what was accepted: a call to a node that is gone fails within a second or two.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
/// How often the compensator looks for what is unfinished.
const RECOVERS_EVERY: Duration = Duration::from_millis(500);

async fn until_settled(world: &World, orders: usize) {
    eventually(
        "MySQL settles what was accepted",
        SETTLED_WITHIN,
        async || (world.written().await.len() == orders).then_some(()),
    )
    .await;
}

/// What the compensator does meanwhile.
async fn recover_in_vain_until(recovery: &Recovery, end: Instant) {
    while Instant::now() < end {
        let recovered = recovery.run_batch().await.unwrap();
        assert_eq!((recovered.finished, recovered.stuck), (0, 0));
        sleep(RECOVERS_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_redis_settles_what_was_accepted_and_finishes_it_afterwards() {
    let mut world = World::open().await;
    let sale = world.sale(1_000).await;
    let recovery = world.recovery().await;
    let mut consumer = world.process();
    consumer.ready(SOON).await;
    let mut orders = world.admit(sale, 20).await;
    world.until_all_committed(&world.topics.group).await;
    world.until_finished().await;

    let (early, late) = (
        world.reserve_new(sale, 100).await,
        world.reserve_new(sale, 50).await,
    );
    orders.extend(world.admit(sale, 50).await);
    world.redis.kill().await;
    let gone_until = Instant::now() + AWAY;
    world.publish(&early).await;
    orders.extend(early);
    until_settled(&world, orders.len()).await;
    assert_eq!(
        world.orders_with(OrderStatus::Confirmed).await.len(),
        orders.len()
    );

    recover_in_vain_until(&recovery, gone_until - SETTLED_WITHIN).await;
    world.publish(&late).await;
    orders.extend(late);
    until_settled(&world, orders.len()).await;
    recover_in_vain_until(&recovery, gone_until).await;
    let count_of = async |condition: &str| {
        let sql = format!("select count(*) from transactions where {condition}");
        world.count(&sql).await
    };
    let waiting = count_of("state = 'committing'").await;
    assert!(waiting >= 150, "{waiting} wait for Redis");
    assert_eq!(
        count_of("attempts > 0").await,
        0,
        "being away is no attempt"
    );
    consumer.ready(SOON).await;
    world.until_all_committed(&world.topics.group).await;

    world.redis.restart().await;
    // It has all it was told, and no script: until it is rebuilt it settles nothing.
    let recovered = eventually("recovery asks again", SOON, async || {
        let recovered = recovery.run_batch().await.unwrap();
        (recovered != Recovered::default()).then_some(recovered)
    })
    .await;
    assert_eq!((recovered.finished, recovered.stuck), (0, 0));
    world.rebuilder().node().await.unwrap();
    world.assert_at_rest(sale).await;
    world.assert_confirmed_once(sale, &orders).await;
    // And sells on.
    orders.extend(world.admit(sale, 20).await);
    world.until_all_committed(&world.topics.group).await;
    world.assert_at_rest(sale).await;
    world.assert_confirmed_once(sale, &orders).await;
    consumer.end(SOON).await;
}
