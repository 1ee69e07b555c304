//! MySQL is killed (SIGKILL) while a COMMIT of the consumer is under way, and started again on the same data. Nobody helps: the
//! consumer finds out by itself, by reading back, what became of that COMMIT, and settles every order once.
//!
//! Which it was shows in the tokens of the rows: a decision that was in the server's log keeps its token, one that was not is made
//! anew under another.
//!
//! Seen to fail:
//! - a COMMIT without a reply told as committed: what the server had not seen is lost;
//! - a COMMIT without a reply told as not decided: what the server had in its log is completed by nobody here, its units stay held;
//! - rows that are missing at the read-back not decided again: their orders hang, and so do the offsets behind them.

use crate::world::{SOON, World};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeMap, time::Duration};
use testkit::{
    mysql_proxy::{Hold, MysqlProxy},
    mysql_server::MysqlServer,
};
use tokio::time::sleep;

/// What the killed COMMIT had decided keeps its token or gets another: is it the same one?
fn kept(claimed: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<bool> {
    claimed
        .iter()
        .map(|(gid, token)| now.get(gid) == Some(token))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_mysql_took_to_its_grave_is_decided_again_once() {
    let kept = killed_at(Hold::Request).await;
    assert!(kept.iter().all(|kept| !kept), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_mysql_wrote_down_before_it_died_stands_and_is_completed() {
    let kept = killed_at(Hold::Reply).await;
    assert!(kept.iter().all(|kept| *kept), "{kept:?}");
}

/// Tells of each order in the killed COMMIT whether it is still the decision that was made then.
async fn killed_at(moment: Hold) -> Vec<bool> {
    let mut server = MysqlServer::start().await;
    let world = World::open_with(server.schema().await).await;
    let sale = world.sale(1_000).await;
    let proxy = MysqlProxy::start(server.address()).await;
    let mut consumer = world.process_at(proxy.address());
    consumer.ready(SOON).await;
    let mut orders = world.admit(sale, 20).await;
    world.until_all_committed(&world.topics.group).await;
    world.until_finished().await;
    let before = world.tokens().await;

    let mut held = proxy.hold_commit(moment);
    orders.extend(world.admit(sale, 50).await);
    held.there().await;
    // While one batch commits the next may be under way: what the COMMIT was of is known only once it was carried out.
    let mut claimed = match moment {
        Hold::Request => world.tokens_under_way().await,
        Hold::Reply => world.tokens().await,
    };
    claimed.retain(|gid, _| !before.contains_key(gid));
    assert!(!claimed.is_empty());
    server.kill().await;
    drop(held);
    orders.extend(world.admit(sale, 50).await);
    server.restart().await;
    world.until_all_committed(&world.topics.group).await;
    world.until_redis_sold(sale, orders.len()).await;
    world.assert_confirmed_once(sale, &orders).await;
    world.assert_at_rest(sale).await;
    consumer.end(SOON).await;
    kept(&claimed, &world.tokens().await)
}

/// Killed while the server is at it: in its log or not, nobody can say. Seeded; `REDRESS_SEED` brings the moments back.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_mysql_dies_in_a_commit_every_order_is_settled_once() {
    let seed =
        std::env::var("REDRESS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("REDRESS_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut server = MysqlServer::start().await;
    let world = World::open_with(server.schema().await).await;
    let sale = world.sale(1_000).await;
    let proxy = MysqlProxy::start(server.address()).await;
    let mut consumer = world.process_at(proxy.address());
    consumer.ready(SOON).await;
    let mut orders = Vec::new();
    let mut before = BTreeMap::new();
    for _ in 0..4 {
        let mut held = proxy.hold_commit(Hold::Request);
        orders.extend(world.admit(sale, 50).await);
        held.there().await;
        let mut claimed = world.tokens_under_way().await;
        claimed.retain(|gid, _| !before.contains_key(gid));
        held.let_go();
        // Not to wait for anything: the moment is what is tried.
        sleep(Duration::from_micros(dice.random_range(0..1_000))).await;
        server.kill().await;
        server.restart().await;
        world.until_all_committed(&world.topics.group).await;
        before = world.tokens().await;
        let kept = kept(&claimed, &before);
        eprintln!(
            "Of {} rows {} kept their decision",
            kept.len(),
            kept.iter().filter(|kept| **kept).count()
        );
    }
    world.assert_confirmed_once(sale, &orders).await;
    world.assert_at_rest(sale).await;
    consumer.end(SOON).await;
}
