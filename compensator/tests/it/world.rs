//! A shop with compensators: schema, topics and Redis of a test's own, a sale, orders as the API would reserve and publish them.

use chrono::Utc;
use compensation::alerts::Spool;
use compensator::{
    Scans,
    repair::{Observer, Repair},
    schedule::Scan,
    servers::Servers,
};
use coordinator::Limits;
use identity::UserId;
use ordering::{
    OrderId, Quantity, SaleId,
    engine::OrderEngine,
    foreign::Foreign,
    keys::Names,
    message::{OrderMessage, VERSION},
    stock::{Levels, Reserve, Reserved, Stock, Window},
};
use service_kit::{kafka::Producer, settings::Settings};
use std::{collections::HashMap, time::Duration};
use tempfile::TempDir;
use testkit::{eventually, kafka::Topics, mysql::Schema, redis::RedisServer};
use uuid::Uuid;

pub const SOON: Duration = Duration::from_mins(1);

pub struct World {
    pub schema: Schema,
    pub topics: Topics,
    pub redis: RedisServer,
    pub stock: Stock,
    /// For what is written to files.
    pub folder: TempDir,
}

impl World {
    /// With a stock node that was never loaded.
    pub async fn closed() -> Self {
        let (schema, topics, redis) = tokio::join!(
            testkit::mysql::schema(),
            testkit::kafka::topics(),
            RedisServer::start()
        );
        let stock = Stock::new(service_kit::redis::connect(&redis.url()).await.unwrap());
        Self {
            schema,
            topics,
            redis,
            stock,
            folder: TempDir::new().unwrap(),
        }
    }

    /// With a stock node that is open, and an open sale on it.
    pub async fn open(total: u32) -> (Self, SaleId) {
        let world = Self::closed().await;
        let sale = world.sale(total).await;
        world.scans().await.fence_watch.run_once().await.unwrap();
        (world, sale)
    }

    /// Settings of a process; `{listen}` is for whoever starts one.
    pub fn yaml(&self) -> String {
        let (database, topics) = (&self.schema.settings, &self.topics);
        format!(
            "compensator: {{ listen: \"{{listen}}\", group: compensator-{} }}\n\
             order_consumer: {{ group: {} }}\n\
             database: {{ mysql: {{ host: {}, port: {}, user: {}, password: {}, name: {}, max_connections: 8 }} }}\n\
             redis: {{ stock: {{ urls: [\"{}\"] }} }}\n\
             kafka: {{ brokers: \"{}\", orders_topic: {} }}\n\
             compensation: {{ topic: {}, dlq_topic: {}, retry_delay: [0.1], log_file: {}/attempts.log, \
             budget: {{ floor_per_s: 10000 }}, breaker: {{ orders: 10000 }} }}\n\
             dlq: {{ retry_delay: [0.1], archive_file: {}/archive/letters.jsonl }}\n\
             alerts: {{ spool: {}/spool }}\n",
            topics.group,
            topics.group,
            database.host,
            database.port,
            database.user,
            database.password.expose(),
            database.name,
            self.redis.url(),
            topics.brokers,
            topics.orders,
            topics.compensation,
            topics.dead_letters,
            self.folder.path().display(),
            self.folder.path().display(),
            self.folder.path().display(),
        )
    }

    /// Settings with more in them: texts to be replaced and what replaces them, then lines at the end.
    pub fn settings(&self, changes: &[(&str, &str)], more: &str) -> Settings {
        let yaml = self.yaml_with(changes, more);
        Settings::parse(&yaml.replace("{listen}", "127.0.0.1:1"), HashMap::new()).unwrap()
    }

    pub fn yaml_with(&self, changes: &[(&str, &str)], more: &str) -> String {
        let yaml = changes.iter().fold(self.yaml(), |yaml, (from, to)| {
            assert!(yaml.contains(from), "{from} is not in {yaml}");
            yaml.replace(from, to)
        });
        yaml + more
    }

    /// The scans of one more compensator.
    pub async fn scans(&self) -> Scans {
        self.scans_with(&self.settings(&[], "")).await
    }

    /// The same with these settings.
    pub async fn scans_with(&self, settings: &Settings) -> Scans {
        Scans::new(settings, &self.servers(settings).await).unwrap()
    }

    /// The lanes of one more compensator, with these faults.
    pub async fn repair(&self, settings: &Settings) -> Repair {
        Repair::new(settings, &self.servers(settings).await).unwrap()
    }

    /// The same, telling `observer` of each step.
    pub async fn repair_observed(&self, settings: &Settings, observer: Observer) -> Repair {
        let servers = self.servers(settings).await;
        Repair::observed_by(Some(observer), settings, &servers).unwrap()
    }

    async fn servers(&self, settings: &Settings) -> Servers {
        let db = service_kit::mysql::connect(&settings.database.mysql)
            .await
            .unwrap();
        Servers {
            archive: compensation::archive::Store::new(&settings.dlq, db.clone()).unwrap(),
            db,
            redis: service_kit::redis::connect(&self.redis.url())
                .await
                .unwrap(),
            producer: Producer::new(&self.topics.brokers).unwrap(),
            foreign: Foreign::from_settings(&settings.participants).unwrap(),
            spool: Spool::new(&settings.alerts.spool),
        }
    }

    /// An open sale, in MySQL alone.
    pub async fn sale(&self, total: u32) -> SaleId {
        let (sale, product) = (SaleId::fresh(), Uuid::now_v7());
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
        sqlx::query("insert into sale_inventory (sale_id, total, available, sold, epoch) values (?, ?, ?, 0, 1)")
            .bind(sale)
            .bind(total)
            .bind(total)
            .execute(&self.schema.pool)
            .await
            .unwrap();
        sale
    }

    /// A buyer's order of one unit with its reservation, not published.
    pub async fn reserve(&self, sale: SaleId) -> OrderMessage {
        self.reserve_with(sale, None).await
    }

    /// The same with a remark.
    pub async fn reserve_with(&self, sale: SaleId, remark: Option<&str>) -> OrderMessage {
        let order_id = OrderId::mint(sale);
        let message = OrderMessage {
            version: VERSION,
            order_id,
            gid: order_id.first_gid(),
            generation: 0,
            sale_id: sale,
            user_id: UserId::fresh(),
            quantity: Quantity::try_from(1).unwrap(),
            price: 100,
            remark: remark.map(ToOwned::to_owned),
            idempotency: None,
            created_at: Utc::now(),
        };
        let bytes = message.to_bytes();
        let ask = Reserve {
            sale,
            gid: message.gid,
            order: message.order_id,
            user: message.user_id,
            units: message.quantity,
            idempotency: None,
            message: &bytes,
            window: Window::Checked,
        };
        assert_eq!(self.stock.reserve(&ask).await.unwrap(), Reserved::New);
        message
    }

    /// Makes a reservation overdue, as if its time had passed.
    pub async fn let_pass(&self, message: &OrderMessage) {
        let epoch = self.epoch(message.sale_id).await;
        let pending = Names {
            sale: message.sale_id,
            epoch,
        }
        .pending();
        self.redis
            .command(&["ZADD", &pending, "XX", "1", &message.gid.to_string()])
            .await;
    }

    pub fn engine(&self) -> OrderEngine {
        OrderEngine::start(
            Limits::default(),
            service_kit::mysql::options(&self.schema.settings),
            self.stock.clone(),
            Foreign::default(),
        )
    }

    /// Read again where the connection broke with the server it led to.
    pub async fn levels(&self, sale: SaleId) -> Levels {
        eventually("Redis tells the sale's levels", SOON, || async {
            self.stock.levels(sale).await.ok()?
        })
        .await
    }

    /// The sale's epoch in MySQL: how often it was rebuilt, and one.
    pub async fn epoch(&self, sale: SaleId) -> i64 {
        sqlx::query_scalar("select epoch from sale_inventory where sale_id = ?")
            .bind(sale)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    /// Order ids on the topic, in no order.
    pub async fn published(&self) -> Vec<OrderId> {
        use rdkafka::Message as _;
        testkit::kafka::read_all(&self.topics.brokers, &self.topics.orders)
            .await
            .iter()
            .map(|message| {
                let order = OrderMessage::parse(message.payload().unwrap()).unwrap();
                assert_eq!(
                    message.key().unwrap(),
                    order.order_id.to_string().as_bytes()
                );
                order.order_id
            })
            .collect()
    }
}
