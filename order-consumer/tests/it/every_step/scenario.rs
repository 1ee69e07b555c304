//! What is on the topic when the process starts, and how it lives.

use super::end;
use crate::world::{SOON, World};
use ordering::{SaleId, message::OrderMessage};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use std::fmt;
use testkit::{
    eventually,
    every_step::Scenario,
    kafka::Progress,
    kafka_tap::{self, KafkaTap},
    process::Process,
    tap::{Fault, Step, Steps},
};

/// Of the topic of orders. Many topics are made: few of them each.
const PARTITIONS: i32 = 2;
/// What is no order.
pub const POISON: &[u8] = b"no order";
/// Orders of this remark fail alone.
const FAULTS: &str = "faults: [\"decide:remark=fails alone:1\"]\n";

/// The scenarios.
#[derive(Debug, Clone, Copy)]
pub enum Orders {
    /// One order.
    One,
    /// Some in each partition. Between them one that fails alone, and in the other partition a message that is none.
    Several,
}

/// A backlog.
pub struct Backlog {
    pub sale: SaleId,
    /// Those that are to be confirmed.
    pub fine: Vec<OrderMessage>,
    /// The one that is to be handed on.
    pub fails_alone: Option<OrderMessage>,
    /// Partition and offset of what is no order.
    pub poison: Option<(i32, i64)>,
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one order",
            Self::Several => "several orders",
        })
    }
}

impl Orders {
    pub const ALL: [Self; 2] = [Self::One, Self::Several];

    async fn publish(self, world: &World) -> Backlog {
        let sale = world.sale(100).await;
        let count = match self {
            Self::One => 1,
            Self::Several => 5,
        };
        let fine = world.reserve_new(sale, count).await;
        let topic = Topic::of(world);
        let mut backlog = Backlog {
            sale,
            fails_alone: None,
            poison: None,
            fine,
        };
        if let [first, second, third, fourth, fifth] = &backlog.fine[..] {
            let fails_alone = OrderMessage {
                remark: Some("fails alone".to_owned()),
                ..World::order(sale)
            };
            for order in [first, &fails_alone, second] {
                topic.put_order(0, order).await;
            }
            topic.put_order(1, third).await;
            backlog.poison = Some(topic.put(1, "poison", POISON).await);
            for order in [fourth, fifth] {
                topic.put_order(1, order).await;
            }
            backlog.fails_alone = Some(fails_alone);
        } else {
            topic.put_order(0, &backlog.fine[0]).await;
        }
        backlog
    }
}

impl Scenario for Orders {
    type Stage = World;

    fn at_least(self) -> usize {
        match self {
            // Topics; the producer's number; coordinator, joining (twice: first to be given a name), share, offsets; where the
            // partitions begin; messages; the commit; leaving.
            Self::One => 11,
            // Two kinds of messages besides.
            Self::Several => 13,
        }
    }

    fn faults_of(step: &Step) -> &'static [Fault] {
        kafka_tap::faults_of(step)
    }

    async fn open() -> World {
        World::open().await
    }

    async fn play(self, world: &mut World, steps: &Steps, faults: Vec<(Step, Fault)>) {
        world.begin_anew().await;
        let backlog = self.publish(world).await;
        let topics = &world.topics;
        let names = [
            (&topics.orders[..], "orders"),
            (&topics.compensation, "compensation"),
            (&topics.dead_letters, "dead letters"),
        ];
        let tap = KafkaTap::start(&topics.brokers, &names, steps).await;
        let progress = Progress::of(&topics.brokers, &topics.group, &[&topics.orders]);
        let through = world
            .yaml(world.schema.address(), &topics.group)
            .replace(&topics.brokers, &tap.address().to_string());
        steps.count(faults);
        let mut process = Process::start(env!("CARGO_BIN_EXE_order-consumer"), &(through + FAULTS));
        let died = tokio::select! {
            biased;
            () = steps.dead() => true,
            () = lives(&mut process, &progress) => false,
        };
        if died {
            process.kill().await;
            let mut next = world.process_with(FAULTS);
            next.ready(SOON).await;
            lives(&mut next, &progress).await;
        }
        end::is_legal(world, &backlog).await;
    }
}

/// Until everything is committed and it has ended.
async fn lives(process: &mut Process, progress: &Progress) {
    eventually("everything is committed", SOON, async || {
        (progress.behind().await == 0).then_some(())
    })
    .await;
    process.end(SOON).await;
}

impl World {
    /// Fresh topics, and no orders of other cases.
    async fn begin_anew(&mut self) {
        self.topics = testkit::kafka::topics_of(PARTITIONS).await;
        for table in ["orders", "transactions", "sale_buyers"] {
            self.schema.execute(&format!("delete from {table}")).await;
        }
    }
}

/// The topic of orders, to choose partitions on.
struct Topic<'a> {
    name: &'a str,
    producer: FutureProducer,
}

impl<'a> Topic<'a> {
    fn of(world: &'a World) -> Self {
        Self {
            name: &world.topics.orders,
            producer: ClientConfig::new()
                .set("bootstrap.servers", &world.topics.brokers)
                .create()
                .unwrap(),
        }
    }

    async fn put_order(&self, partition: i32, order: &OrderMessage) {
        let OrderMessage { order_id, .. } = order;
        self.put(partition, &order_id.to_string(), &order.to_bytes())
            .await;
    }

    /// Partition and offset it got.
    async fn put(&self, partition: i32, key: &str, payload: &[u8]) -> (i32, i64) {
        let record = FutureRecord::to(self.name).partition(partition);
        let sent = self.producer.send(record.key(key).payload(payload), SOON);
        let delivery = sent.await.unwrap();
        (delivery.partition, delivery.offset)
    }
}
