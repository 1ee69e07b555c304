//! Offsets are committed in their order, also where a connection breaks under them.
//!
//! Seen to fail with commits that do not wait for one another's answers: the client keeps one whose connection broke and sends it
//! after the next, so that offsets go back, and stay there until another message comes.

use crate::world::{SOON, World};
use rdkafka::message::OwnedHeaders;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::{
    eventually,
    kafka::{Progress, Publisher},
    kafka_tap::KafkaTap,
    process::Process,
    tap::{Fault, Step, Steps},
};

/// How often a commit breaks: chance decides which of two the client sends first.
const ROUNDS: usize = 10;
/// How often it is looked whether a commit stays.
const LOOKS: u32 = 5;
const COMMIT: &str = "OffsetCommit";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_broke_takes_no_later_one_back() {
    let (mut world, sale) = World::open(1_000).await;
    // Of one partition: whatever is committed takes the place of what was.
    world.topics = testkit::kafka::topics_of(1).await;
    let publisher = Publisher::of(&world.topics.brokers);
    let hand_on = async || {
        let (topic, order) = (&world.topics.compensation, world.reserve(sale).await);
        let payload = order.to_bytes();
        let sent = publisher.send(topic, b"k", &payload, OwnedHeaders::new());
        sent.await;
    };
    let steps = Steps::default();
    let topics = &world.topics;
    let tap = KafkaTap::start(&topics.brokers, &[], &steps).await;
    let through = world.yaml_with(&[(&topics.brokers, &tap.address().to_string())], "");
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &through);
    let group = format!("compensator-{}", topics.group);
    let progress = Progress::of(&topics.brokers, &group, &[&topics.compensation]);
    for _ in 0..ROUNDS {
        steps.count(vec![(first_commit(), Fault::NotSent)]);
        hand_on().await;
        eventually("the commit breaks", SOON, async || {
            (!steps.met().is_empty()).then_some(())
        })
        .await;
        // Taken in while the client looks for the coordinator to send the broken one again.
        hand_on().await;
        eventually("both commits are sent", SOON, async || {
            (steps
                .seen()
                .iter()
                .filter(|step| step.what == COMMIT)
                .count()
                > 2)
            .then_some(())
        })
        .await;
        let looks = AtomicU32::new(0);
        eventually("all of it stays committed", SOON, async || {
            if progress.behind().await > 0 {
                looks.store(0, Ordering::Relaxed);
            }
            (looks.fetch_add(1, Ordering::Relaxed) > LOOKS).then_some(())
        })
        .await;
    }
    process.end(SOON).await;
}

fn first_commit() -> Step {
    Step {
        server: "Kafka".to_owned(),
        what: COMMIT.to_owned(),
        time: 1,
    }
}
