//! A shop with a consumer: schema, topics and Redis of a test's own, a sale, orders as the API would publish them.

use chrono::Utc;
use futures::future::join_all;
use identity::UserId;
use order_consumer::Consumer;
use ordering::{
    OrderId, Quantity, SaleId,
    message::{OrderMessage, VERSION},
    rebuild::Rebuilder,
    stock::Stock,
};
use rdkafka::message::{Message as _, OwnedHeaders, OwnedMessage};
use service_kit::{kafka::Offsets, settings::Settings};
use std::{collections::HashSet, net::SocketAddr, time::Duration};
use testkit::{
    eventually,
    kafka::{Publisher, Topics},
    mysql::Schema,
    process::Process,
    proxy::Proxy,
    redis::RedisServer,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const SOON: Duration = Duration::from_mins(1);

pub struct World {
    pub schema: Schema,
    pub topics: Topics,
    pub redis: RedisServer,
    pub publisher: Publisher,
}

/// A consumer inside the test.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl World {
    pub async fn open() -> Self {
        Self::open_with(testkit::mysql::schema().await).await
    }

    /// On a schema of any server.
    pub async fn open_with(schema: Schema) -> Self {
        let (topics, redis) = tokio::join!(testkit::kafka::topics(), RedisServer::start());
        let publisher = Publisher::of(&topics.brokers);
        let world = Self {
            schema,
            topics,
            redis,
            publisher,
        };
        world.rebuilder().node().await.unwrap();
        world
    }

    pub fn rebuilder(&self) -> Rebuilder {
        Rebuilder::new(
            self.schema.pool.clone(),
            redis::Client::open(self.redis.url()).unwrap(),
            100_000,
        )
    }

    /// An open sale, in MySQL and in Redis.
    pub async fn sale(&self, total: u32) -> SaleId {
        let sale = SaleId::fresh();
        self.open_sale(sale, total).await;
        sale
    }

    pub async fn open_sale(&self, sale: SaleId, total: u32) {
        let product = Uuid::now_v7();
        sqlx::query("insert into products (id, name, description, price, created_at) values (?, 'thing', '', 100, utc_timestamp(3))")
            .bind(product)
            .execute(&self.schema.pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at)
             values (?, ?, ?, 100, ?, 1, utc_timestamp(3) - interval 1 hour, utc_timestamp(3) + interval 1 day, 'open', 1, utc_timestamp(3))",
        )
        .bind(sale)
        .bind(&sale.tag()[..])
        .bind(product)
        .bind(total)
        .execute(&self.schema.pool)
        .await
        .unwrap();
        sqlx::query("insert into sale_inventory (sale_id, total, available, sold, epoch) values (?, ?, ?, 0, 0)")
            .bind(sale)
            .bind(total)
            .bind(total)
            .execute(&self.schema.pool)
            .await
            .unwrap();
        self.rebuilder().sale(sale).await.unwrap();
    }

    pub fn order(sale: SaleId) -> OrderMessage {
        let order_id = OrderId::mint(sale);
        OrderMessage {
            version: VERSION,
            order_id,
            gid: order_id.first_gid(),
            generation: 0,
            sale_id: sale,
            user_id: UserId::from_uuid(Uuid::now_v7()),
            quantity: Quantity::try_from(1).unwrap(),
            price: 100,
            remark: None,
            idempotency: None,
            created_at: Utc::now(),
        }
    }

    pub async fn publish(&self, orders: &[OrderMessage]) {
        for chunk in orders.chunks(1_000) {
            join_all(chunk.iter().map(|order| async {
                self.publish_raw(
                    &order.order_id.to_string(),
                    &order.to_bytes(),
                    OwnedHeaders::new(),
                )
                .await;
            }))
            .await;
        }
    }

    pub async fn publish_raw(&self, key: &str, payload: &[u8], headers: OwnedHeaders) {
        self.publisher
            .send(&self.topics.orders, key.as_bytes(), payload, headers)
            .await;
    }

    /// Publishes `count` new orders of the sale.
    pub async fn publish_new(&self, sale: SaleId, count: usize) -> Vec<OrderMessage> {
        let orders: Vec<_> = (0..count).map(|_| Self::order(sale)).collect();
        self.publish(&orders).await;
        orders
    }

    /// Settings of a consumer that reaches MySQL at `mysql`; `{listen}` is for whoever starts a process.
    pub fn yaml(&self, mysql: SocketAddr, group: &str) -> String {
        let (database, topics) = (&self.schema.settings, &self.topics);
        format!(
            "environment: development\n\
             order_consumer: {{ listen: \"{{listen}}\", group: {group}, max_in_flight: 500 }}\n\
             database: {{ mysql: {{ host: {}, port: {}, user: {}, password: {}, name: {} }} }}\n\
             redis: {{ stock: {{ urls: [\"{}\"] }} }}\n\
             kafka: {{ brokers: \"{}\", orders_topic: {} }}\n\
             compensation: {{ topic: {}, dlq_topic: {} }}\n",
            mysql.ip(),
            mysql.port(),
            database.user,
            database.password.expose(),
            database.name,
            self.redis.url(),
            topics.brokers,
            topics.orders,
            topics.compensation,
            topics.dead_letters,
        )
    }

    /// A real process of the consumer.
    pub fn process(&self) -> Process {
        self.process_with("")
    }

    /// The same with more settings.
    pub fn process_with(&self, more: &str) -> Process {
        let yaml = self.yaml(self.schema.address(), &self.topics.group);
        Process::start(env!("CARGO_BIN_EXE_order-consumer"), &(yaml + more))
    }

    /// A real process that reaches MySQL through `proxy`.
    pub fn process_behind(&self, proxy: &Proxy) -> Process {
        self.process_at(proxy.address())
    }

    /// A real process that reaches MySQL at `mysql`.
    pub fn process_at(&self, mysql: SocketAddr) -> Process {
        Process::start(
            env!("CARGO_BIN_EXE_order-consumer"),
            &self.yaml(mysql, &self.topics.group),
        )
    }

    pub async fn consumer(&self) -> Running {
        self.consumer_of(&self.topics.group, self.schema.address())
            .await
    }

    /// A consumer inside the test, of any group, with any way to MySQL.
    pub async fn consumer_of(&self, group: &str, mysql: SocketAddr) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(
            &file,
            self.yaml(mysql, group).replace("{listen}", "127.0.0.1:1"),
        )
        .unwrap();
        let settings = Settings::load(Some(&file)).unwrap();
        let stock = Stock::new(
            service_kit::redis::connect(&self.redis.url())
                .await
                .unwrap(),
        );
        let consumer = Consumer::start(&settings, stock).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(consumer.run(stop.clone()));
        Running { stop, task }
    }

    pub async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    /// Order ids that have a row.
    pub async fn written(&self) -> HashSet<OrderId> {
        let ids: Vec<OrderId> = sqlx::query_scalar("select id from orders")
            .fetch_all(&self.schema.pool)
            .await
            .unwrap();
        ids.into_iter().collect()
    }

    pub async fn until_written(&self, at_least: usize) {
        let at_least = i64::try_from(at_least).unwrap();
        eventually(
            &format!("{at_least} orders are written"),
            SOON,
            async || (self.count("select count(*) from orders").await >= at_least).then_some(()),
        )
        .await;
    }

    /// How many messages the group has not committed.
    pub async fn uncommitted(&self, group: &str) -> i64 {
        self.committed(group).await.behind(&self.ends().await)
    }

    pub async fn committed(&self, group: &str) -> Offsets {
        testkit::kafka::committed(&self.topics.brokers, group, &self.topics.orders).await
    }

    pub async fn ends(&self) -> Offsets {
        testkit::kafka::ends(&self.topics.brokers, &self.topics.orders).await
    }

    pub async fn until_all_committed(&self, group: &str) {
        let deadline = Instant::now() + SOON;
        while self.uncommitted(group).await > 0 {
            if Instant::now() > deadline {
                let (committed, ends) = (self.committed(group).await, self.ends().await);
                let (written, sent) = (self.written().await.len(), self.places().await.len());
                panic!(
                    "{committed:?} was committed of {ends:?}, {written} orders of {sent} messages are written"
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// MySQL holds exactly these orders as confirmed, and the sale's counters say the same.
    pub async fn assert_confirmed_once(&self, sale: SaleId, orders: &[OrderMessage]) {
        let wanted: HashSet<OrderId> = orders.iter().map(|order| order.order_id).collect();
        assert_eq!(self.written().await, wanted);
        let count = i64::try_from(orders.len()).unwrap();
        assert_eq!(
            self.count("select count(*) from orders where status = 'confirmed'")
                .await,
            count
        );
        assert_eq!(self.count("select count(*) from transactions").await, count);
        assert_eq!(
            self.count("select cast(coalesce(sum(units), 0) as signed) from sale_buyers")
                .await,
            count
        );
        let (total, available, sold): (i32, i32, i32) =
            sqlx::query_as("select total, available, sold from sale_inventory where sale_id = ?")
                .bind(sale)
                .fetch_one(&self.schema.pool)
                .await
                .unwrap();
        assert_eq!((i64::from(sold), total), (count, available + sold));
    }

    pub async fn dead_letters(&self) -> Vec<OwnedMessage> {
        testkit::kafka::read_all(&self.topics.brokers, &self.topics.dead_letters).await
    }

    /// Where each order lies: partition and offset.
    pub async fn places(&self) -> Vec<(i32, i64, OrderId)> {
        let messages = testkit::kafka::read_all(&self.topics.brokers, &self.topics.orders).await;
        let place = |message: &OwnedMessage| {
            let order = OrderMessage::parse(message.payload().unwrap()).unwrap();
            (message.partition(), message.offset(), order.order_id)
        };
        messages.iter().map(place).collect()
    }
}

/// Waits until the process's metrics say that it takes no orders, or that it does.
pub async fn until_paused(process: &Process, paused: bool) {
    let line = format!("consumer_paused {}", u8::from(paused));
    eventually(&line, SOON, async || {
        process
            .get("/metrics")
            .await
            .filter(|metrics| metrics.lines().any(|shown| shown == line))
            .map(drop)
    })
    .await;
}
