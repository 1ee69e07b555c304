//! Offsets are committed in their order, also where a connection breaks under them.
//!
//! Seen to fail with commits that do not wait for one another's answers: the client keeps one whose connection broke and sends it
//! after the next, so that offsets go back, and stay there until another order comes.

use crate::world::{SOON, World};
use testkit::{
    eventually,
    kafka_tap::KafkaTap,
    process::Process,
    tap::{Fault, Step, Steps},
};

/// How often a commit breaks: chance decides which of two the client sends first.
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_broke_takes_no_later_one_back() {
    let world = World::open().await;
    let sale = world.sale(10_000).await;
    let steps = Steps::default();
    let topics = &world.topics;
    let tap = KafkaTap::start(&topics.brokers, &[], &steps).await;
    let through = world
        .yaml(world.schema.address(), &topics.group)
        .replace(&topics.brokers, &tap.address().to_string());
    let mut process = Process::start(env!("CARGO_BIN_EXE_order-consumer"), &through);
    process.ready(SOON).await;
    let mut orders = Vec::new();
    for _ in 0..ROUNDS {
        steps.count(vec![(first_commit(), Fault::NotSent)]);
        orders.extend(world.publish_new(sale, 20).await);
        eventually("the commit breaks", SOON, async || {
            (!steps.met().is_empty()).then_some(())
        })
        .await;
        // Committed at the next tick, while the client looks for the coordinator to send the broken one again.
        orders.extend(world.publish_new(sale, 20).await);
        world.until_all_committed(&topics.group).await;
    }
    world.assert_confirmed_once(sale, &orders).await;
    process.end(SOON).await;
}

fn first_commit() -> Step {
    Step {
        server: "Kafka".to_owned(),
        what: "OffsetCommit".to_owned(),
        time: 1,
    }
}
