//! A small stack as it should look at rest, written by hand, for a test to break in one place.

use auditor::{
    Scope, Watch, audit,
    checks::Check,
    endpoints::{Endpoints, Names},
    journal::{Answer, Intent, Journal},
    verdict::Report,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use sqlx::{Connection, MySqlConnection};
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{eventually, kafka::Topics, mysql::Schema, redis::RedisServer};
use uuid::Uuid;

/// How long the shared servers may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

pub const SALE: Uuid = Uuid::from_u128(0x5a1e);
/// Three buyers with an order each, one who was too late, and one whose order failed.
pub const ANNA: Uuid = Uuid::from_u128(0xa);
pub const BERT: Uuid = Uuid::from_u128(0xb);
pub const CARL: Uuid = Uuid::from_u128(0xc);
pub const DORA: Uuid = Uuid::from_u128(0xd);
pub const FRED: Uuid = Uuid::from_u128(0xf);
/// Confirmed, 2 units · confirmed by a retry, 1 unit · rejected · failed.
pub const ANNAS: Uuid = Uuid::from_u128(0xa1);
pub const BERTS: Uuid = Uuid::from_u128(0xb1);
pub const CARLS: Uuid = Uuid::from_u128(0xc1);
pub const FREDS: Uuid = Uuid::from_u128(0xf1);

pub struct World {
    schema: Schema,
    redis: RedisServer,
    pub topics: Topics,
    journals: TempDir,
    producer: BaseProducer,
    pub intents: Vec<Intent>,
    pub answers: Vec<Answer>,
    /// Whether the journal ends in order.
    pub closed: bool,
    /// Whether the consumer group has read everything.
    pub caught_up: bool,
    /// Whether what failed was taken in.
    pub taken_in: bool,
}

impl World {
    /// A sale of 10 units, 3 of them sold; one order rejected, one failed, one buyer turned away; one poison message with its dead
    /// letter.
    pub async fn clean() -> Self {
        let topics = testkit::kafka::topics().await;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &topics.brokers)
            .create()
            .unwrap();
        let mut world = Self {
            schema: testkit::mysql::schema().await,
            redis: RedisServer::start().await,
            topics,
            journals: TempDir::new().unwrap(),
            producer,
            intents: Vec::new(),
            answers: Vec::new(),
            closed: true,
            caught_up: true,
            taken_in: true,
        };
        world.write_rows().await;
        world.write_stock().await;
        world.write_messages();
        world.write_failures().await;
        world.write_journal();
        world
    }

    async fn write_rows(&self) {
        let (sale, product) = (hex(SALE), hex(Uuid::from_u128(0x9)));
        self.sql(&format!(
            "insert into products values ({product}, 'Lamp', '', 900, now(3))"
        ))
        .await;
        self.sql(&format!(
            "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at)
             values ({sale}, x'00005a1e', {product}, 500, 10, 2, '2026-01-01', '2027-01-01', 'open', 1, now(3))"
        ))
        .await;
        self.sql(&format!("insert into sale_inventory (sale_id, total, available, sold, epoch) values ({sale}, 10, 7, 3, 1)")).await;
        for (user, units) in [(ANNA, 2), (BERT, 1), (CARL, 0), (FRED, 0)] {
            self.sql(&format!(
                "insert into sale_buyers (sale_id, user_id, units) values ({sale}, {}, {units})",
                hex(user)
            ))
            .await;
        }
        self.order(ANNAS, ANNA, 2, "confirmed", None).await;
        self.order(BERTS, BERT, 1, "confirmed", None).await;
        self.order(CARLS, CARL, 1, "rejected", Some("sold_out"))
            .await;
        for (gid, state) in [
            (ANNAS, "committed"),
            (BERTS, "committed"),
            (CARLS, "rolled_back"),
        ] {
            self.transaction(gid, state).await;
        }
    }

    async fn write_stock(&self) {
        self.hset(
            "stock",
            "total 10 available 7 held 0 sold 3 owed 0 epoch 1 state open",
        )
        .await;
        self.hset("1:buyers", &format!("{ANNA} 2|{ANNAS} {BERT} 1|{BERTS}"))
            .await;
        for (gid, state) in [
            (ANNAS, "confirmed"),
            (BERTS, "confirmed"),
            (CARLS, "released"),
        ] {
            self.hset(&format!("1:res:{gid}"), &format!("state {state}"))
                .await;
        }
    }

    fn write_messages(&self) {
        for (order, user, units) in [
            (ANNAS, ANNA, 2),
            (BERTS, BERT, 1),
            (CARLS, CARL, 1),
            (ANNAS, ANNA, 2),
        ] {
            self.publish_order(order, order, user, units);
        }
    }

    fn write_journal(&mut self) {
        for (user, units) in [(ANNA, 2), (BERT, 1), (CARL, 1), (DORA, 1), (FRED, 1)] {
            self.intend(user, units);
        }
        for (n, order) in [(1, ANNAS), (2, BERTS), (3, CARLS), (1, ANNAS), (5, FREDS)] {
            self.answered(n, 202, None, Some(order));
        }
        self.answered(4, 409, Some("sold_out"), None);
    }

    /// Notes that `user` asks for `units` under the user's key.
    pub fn intend(&mut self, user: Uuid, units: u32) {
        self.intents.push(Intent {
            n: self.intents.len() as u64 + 1,
            sale: SALE,
            user,
            key: Some(key(user)),
            quantity: units,
        });
    }

    /// Notes an answer to the `n`-th intent, one second after the answer before it.
    pub fn answered(&mut self, n: u64, status: u16, code: Option<&str>, order: Option<Uuid>) {
        let sent_us = i64::try_from(self.answers.len()).unwrap() * 1_000_000 + 1;
        self.answers.push(Answer {
            n,
            sent_us,
            answered_us: sent_us + 1_000,
            status,
            code: code.map(Into::into),
            order,
        });
    }

    /// Writes an order row, with the user's key.
    pub async fn order(
        &self,
        id: Uuid,
        user: Uuid,
        units: i32,
        status: &str,
        reason: Option<&str>,
    ) {
        let reason = reason.map_or("null".to_owned(), |reason| format!("'{reason}'"));
        self.sql(&format!(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, idempotency_key, created_at, decided_at)
             values ({id}, {id}, 0, {}, {}, {units}, 500, '{status}', {reason}, '{}', now(3), now(3))",
            hex(user),
            hex(SALE),
            key(user),
            id = hex(id),
        ))
        .await;
    }

    /// Writes an order's transaction.
    pub async fn transaction(&self, gid: Uuid, state: &str) {
        self.transaction_of_kind("order", gid, state).await;
    }

    /// Writes a transaction.
    pub async fn transaction_of_kind(&self, kind: &str, gid: Uuid, state: &str) {
        self.sql(&format!(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at)
             values ({gid}, '{kind}', {}, '{state}', {gid}, 1, '{{}}', 0, now(3), now(3))",
            hex(SALE),
            gid = hex(gid),
        ))
        .await;
    }

    /// Runs a statement; the schema's own checks are off, for some of what must be seeded is what they forbid.
    pub async fn sql(&self, statement: &str) {
        let mut db = MySqlConnection::connect(&self.schema.url()).await.unwrap();
        let statements = format!("set check_constraint_checks = 0; {statement}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
            .execute(&mut db)
            .await
            .unwrap();
    }

    /// `HSET {SALE}:name`, with fields and values separated by spaces.
    pub async fn hset(&self, name: &str, fields: &str) {
        let fields: Vec<&str> = fields.split(' ').collect();
        self.redis(
            redis::cmd("HSET")
                .arg(format!("{{{SALE}}}:{name}"))
                .arg(fields),
        )
        .await;
    }

    /// Runs a command on the stock node.
    pub async fn redis(&self, command: &redis::Cmd) {
        command
            .query_async::<redis::Value>(&mut self.redis.connection().await)
            .await
            .unwrap();
    }

    /// An order's message.
    pub fn message(order: Uuid, gid: Uuid, generation: u32, user: Uuid, units: u32) -> String {
        format!(
            r#"{{"version":1,"order_id":"{order}","gid":"{gid}","generation":{generation},"sale_id":"{SALE}","user_id":"{user}","quantity":{units},"price":500}}"#
        )
    }

    /// Publishes an order's message, and says where it is.
    pub fn publish_order(&self, order: Uuid, gid: Uuid, user: Uuid, units: u32) -> (i32, i64) {
        self.publish(
            &self.topics.orders,
            &order.to_string(),
            &Self::message(order, gid, 0, user, units),
            OwnedHeaders::new(),
        )
    }

    /// Publishes something that is no order, and its dead letter.
    pub fn publish_dead(&self, value: &str) {
        let (partition, offset) =
            self.publish(&self.topics.orders, "dead", value, OwnedHeaders::new());
        self.bury(partition, offset, value);
    }

    /// Publishes a dead letter of the message at this place.
    pub fn bury(&self, partition: i32, offset: i64, value: &str) {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "kafka_dlt-original-topic",
                value: Some(&self.topics.orders),
            })
            .insert(Header {
                key: "kafka_dlt-original-partition",
                value: Some(&partition.to_be_bytes()),
            })
            .insert(Header {
                key: "kafka_dlt-original-offset",
                value: Some(&offset.to_be_bytes()),
            });
        self.publish(&self.topics.dead_letters, "dead", value, headers);
    }

    /// Publishes to partition 0 and returns where the message is.
    pub fn publish(
        &self,
        topic: &str,
        key: &str,
        value: &str,
        headers: OwnedHeaders,
    ) -> (i32, i64) {
        self.producer
            .send(
                BaseRecord::to(topic)
                    .key(key)
                    .payload(value)
                    .partition(0)
                    .headers(headers),
            )
            .unwrap();
        self.producer.flush(ANSWERS_WITHIN).unwrap();
        let (_, end) = self
            .producer
            .client()
            .fetch_watermarks(topic, 0, ANSWERS_WITHIN)
            .unwrap();
        (0, end - 1)
    }

    async fn catch_up(&self) {
        let Topics {
            orders,
            compensation,
            dead_letters,
            group,
            ..
        } = &self.topics;
        self.commit_all(group, &[orders]).await;
        if self.taken_in {
            self.commit_all(&compensators(group), &[compensation, dead_letters])
                .await;
        }
    }

    /// Commits the ends of topics for a group.
    async fn commit_all(&self, group: &str, topics: &[&String]) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.topics.brokers)
            .set("group.id", group)
            .create()
            .unwrap();
        let mut offsets = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer
                .fetch_metadata(Some(topic), ANSWERS_WITHIN)
                .unwrap();
            for partition in metadata.topics()[0].partitions() {
                let (_, end) = consumer
                    .fetch_watermarks(topic, partition.id(), ANSWERS_WITHIN)
                    .unwrap();
                offsets
                    .add_partition_offset(topic, partition.id(), Offset::Offset(end))
                    .unwrap();
            }
        }
        // A broker that has only just started may still be loading the group.
        eventually("its offsets are committed", ANSWERS_WITHIN, async || {
            consumer.commit(&offsets, CommitMode::Sync).ok()
        })
        .await;
    }

    /// Where the servers are.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            mysql: self.schema.url(),
            redis_stock: self.redis.url(),
            kafka: self.topics.brokers.clone(),
        }
    }

    /// Writes the journal and says what is to be audited.
    async fn scope(&self) -> Scope {
        let path = self.journals.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        journal.intend(self.intents.clone()).await.unwrap();
        for answer in &self.answers {
            journal.answer(answer.clone()).await.unwrap();
        }
        journal.close().await.unwrap();
        if !self.closed {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace(r#"{"end":"#, r#"{"e"#).trim_end()).unwrap();
        }
        if self.caught_up {
            self.catch_up().await;
        }
        Scope {
            endpoints: self.endpoints(),
            names: Names {
                orders: self.topics.orders.clone(),
                compensation: self.topics.compensation.clone(),
                dead_letters: self.topics.dead_letters.clone(),
                group: self.topics.group.clone(),
                compensators: compensators(&self.topics.group),
            },
            journals: vec![path],
            settle_within: Duration::from_secs(1),
        }
    }

    /// Lets the auditor look, who may have watched meanwhile.
    pub async fn audit(&self, watch: Option<Watch>) -> Report {
        audit(&self.scope().await, watch, |_| {}).await.unwrap()
    }

    /// Runs the program as a launcher does: its exit code, and its JSON if it wrote any.
    pub async fn run_program(&self) -> (Option<i32>, Option<serde_json::Value>) {
        let Scope {
            endpoints,
            names,
            journals,
            settle_within,
        } = self.scope().await;
        let at = |name: &str| self.journals.path().join(name);
        let addresses = serde_json::json!({
            "api": "http://127.0.0.1:1",
            "mysql": endpoints.mysql,
            "redis_stock": endpoints.redis_stock,
            "redis_lock": [],
            "kafka": endpoints.kafka,
        });
        std::fs::write(at("endpoints.json"), addresses.to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_auditor"))
            .args([
                &"--endpoints".into(),
                &at("endpoints.json"),
                &"--journal".into(),
                &journals[0],
                &"--json".into(),
                &at("verdict.json"),
            ])
            .arg(format!("--settle-within={}", settle_within.as_secs()))
            .arg(format!("--orders-topic={}", names.orders))
            .arg(format!("--compensation-topic={}", names.compensation))
            .arg(format!("--dlq-topic={}", names.dead_letters))
            .arg(format!("--group={}", names.group))
            .arg(format!("--compensators={}", names.compensators))
            .arg("--watch")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let json = std::fs::read(at("verdict.json"))
            .ok()
            .map(|text| serde_json::from_slice(&text).unwrap());
        (output.status.code(), json)
    }

    /// Audits and asserts that of all checks exactly these are violated.
    pub async fn violates(&self, expected: &[Check]) -> Report {
        let report = self.audit(None).await;
        let violated: Vec<Check> = report
            .verdicts
            .iter()
            .flat_map(|verdict| &verdict.checks)
            .filter(|check| check.violated > 0)
            .map(|check| check.check)
            .collect();
        assert_eq!(violated, expected, "{}", auditor::table::render(&report));
        assert_eq!(report.holds(), expected.is_empty());
        report
    }
}

/// An id as SQL writes it.
pub fn hex(id: Uuid) -> String {
    format!("x'{}'", id.simple())
}

fn compensators(group: &str) -> String {
    format!("{group}-compensators")
}

fn key(user: Uuid) -> String {
    format!("key-{}", user.simple())
}
