//! What lies on the topics when the process starts, and how it lives.

use super::end;
use crate::world::{SOON, World};
use ordering::{SaleId, message::OrderMessage};
use rdkafka::message::{Header, OwnedHeaders};
use std::fmt;
use testkit::{
    eventually,
    every_step::Scenario,
    kafka::Progress,
    kafka_tap::{self, KafkaTap},
    process::Process,
    tap::{Fault, Step, Steps},
};

/// Of the compensation topic. Many topics are made: few of them each.
const PARTITIONS: i32 = 2;
/// Orders of this remark fail until they are dead letters, and then no more.
const FAULTS: &str = "faults: [\"decide:remark=breaks:4\"]\n";

/// The scenarios.
#[derive(Debug, Clone, Copy)]
pub enum Failed {
    /// On the compensation topic two orders, one of them twice; among the dead letters a message that is no order, twice, and an
    /// order that nobody here knows.
    HandedOn,
    /// An order that goes on failing until it is a dead letter: it is published, and met again on the topic it was published to. Steps
    /// count once it was taken in: those before are the other scenario's.
    ForGood,
}

/// A servers' set and a sale on it.
pub struct Stage {
    pub world: World,
    pub sale: SaleId,
}

/// A backlog.
pub struct Backlog {
    /// Orders with the number of their last try, which confirms them.
    pub orders: Vec<(OrderMessage, i32)>,
    /// Whether they are published as dead letters on their way.
    pub are_dead: bool,
    /// What is no order.
    pub poison: Option<Vec<u8>>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HandedOn => "handed on",
            Self::ForGood => "a dead letter",
        })
    }
}

impl Failed {
    pub const ALL: [Self; 2] = [Self::HandedOn, Self::ForGood];

    async fn publish(self, Stage { world, sale }: &Stage) -> Backlog {
        match self {
            Self::HandedOn => {
                let (twice, once, foreign) = (
                    world.reserve(*sale).await,
                    world.reserve(*sale).await,
                    world.reserve(*sale).await,
                );
                for order in [&twice, &once, &twice] {
                    world.hand_on(order).await;
                }
                let letters = world.topics.dead_letters.clone();
                let poison = format!("no order, {}", world.topics.orders).into_bytes();
                for _ in 0..2 {
                    world.send(&letters, "k", &poison, lay_at(world)).await;
                }
                world
                    .send(&letters, "k", &foreign.to_bytes(), OwnedHeaders::new())
                    .await;
                Backlog {
                    orders: vec![(twice, 2), (once, 2), (foreign, 5)],
                    are_dead: false,
                    poison: Some(poison),
                }
            }
            Self::ForGood => {
                let order = world.reserve_with(*sale, Some("breaks")).await;
                world.hand_on(&order).await;
                Backlog {
                    orders: vec![(order, 5)],
                    are_dead: true,
                    poison: None,
                }
            }
        }
    }
}

/// Where a message lay first, as order-consumer tells it.
fn lay_at(world: &World) -> OwnedHeaders {
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    OwnedHeaders::new()
        .insert(header(
            "kafka_dlt-original-topic",
            world.topics.orders.as_bytes(),
        ))
        .insert(header(
            "kafka_dlt-original-partition",
            &1_i32.to_be_bytes()[..],
        ))
        .insert(header(
            "kafka_dlt-original-offset",
            &2_i64.to_be_bytes()[..],
        ))
        .insert(header(
            "kafka_dlt-original-timestamp",
            &7_i64.to_be_bytes()[..],
        ))
        .insert(header("kafka_dlt-exception-message", &b"no order"[..]))
}

impl Scenario for Failed {
    type Stage = Stage;

    fn at_least(self) -> usize {
        match self {
            // Topics; coordinator, joining (twice: first to be given a name), share, offsets; where the partitions begin; messages;
            // the commit; leaving.
            Self::HandedOn => 10,
            // The dead letter, the fetch that brings it, its commit, leaving.
            Self::ForGood => 4,
        }
    }

    fn faults_of(step: &Step) -> &'static [Fault] {
        kafka_tap::faults_of(step)
    }

    async fn open() -> Stage {
        let (world, sale) = World::open(10_000).await;
        Stage { world, sale }
    }

    async fn play(self, stage: &mut Stage, steps: &Steps, faults: Vec<(Step, Fault)>) {
        stage.world.topics = testkit::kafka::topics_of(PARTITIONS).await;
        let units = stage.world.units(stage.sale).await;
        let backlog = self.publish(stage).await;
        let world = &stage.world;
        let topics = &world.topics;
        let names = [
            (&topics.orders[..], "orders"),
            (&topics.compensation, "compensation"),
            (&topics.dead_letters, "dead letters"),
        ];
        let tap = KafkaTap::start(&topics.brokers, &names, steps).await;
        let group = format!("compensator-{}", topics.group);
        let read = [&topics.compensation[..], &topics.dead_letters];
        let progress = Progress::of(&topics.brokers, &group, &read);
        let through = world.yaml_with(&[(&topics.brokers, &tap.address().to_string())], FAULTS);
        let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &through);
        if matches!(self, Self::ForGood) {
            let (order, _) = &backlog.orders[0];
            eventually("it is taken in", SOON, async || {
                (!world.compensations(order).await.is_empty()).then_some(())
            })
            .await;
        }
        steps.count(faults);
        let died = tokio::select! {
            biased;
            () = steps.dead() => true,
            () = lives(&mut process, world, &backlog, &progress) => false,
        };
        if died {
            process.kill().await;
            // As time would.
            world.let_claims_end().await;
            let direct = world.yaml_with(&[], FAULTS);
            let mut next = Process::start(env!("CARGO_BIN_EXE_compensator"), &direct);
            next.ready(SOON).await;
            lives(&mut next, world, &backlog, &progress).await;
        }
        end::is_legal(stage, units, &backlog).await;
    }
}

/// Until nothing is open, everything is committed, and it has ended.
async fn lives(process: &mut Process, world: &World, backlog: &Backlog, progress: &Progress) {
    eventually("nothing is open", SOON, async || {
        world.let_time_pass().await;
        let mut left = 0;
        for (order, _) in &backlog.orders {
            let compensations = world.compensations(order).await;
            let is_closed = compensations.iter().all(|(state, _)| state == "closed");
            left += i64::from(compensations.is_empty() || !is_closed);
        }
        (left + progress.behind().await == 0).then_some(())
    })
    .await;
    process.end(SOON).await;
}
