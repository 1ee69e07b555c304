//! A shop of a test's own: schema, Redis, sales, and the engine that settles its orders.

use chrono::Utc;
use coordinator::{Gid, Limits, Pace, SubmitError};
use identity::UserId;
use ordering::{
    OrderId, OrderOutcome, OrderStatus, Quantity, SaleId,
    engine::{OrderEngine, Recovery},
    foreign::Foreign,
    keys::Names,
    message::{Idempotency, OrderMessage, VERSION},
    rebuild::Rebuilder,
    stock::{Reserve, Reserved, Stock, Window},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use testkit::{mysql::Schema, redis::RedisServer};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub const LIMITS: Limits = Limits {
    batch_size: 50,
    batch_at_most: 100,
    batch_wait: Duration::from_millis(2),
    batches_in_flight: 4,
    queue: 10_000,
    timeout: Duration::from_mins(5),
};
const HELD_MAX: u32 = 100_000;

pub struct Shop {
    pub schema: Schema,
    pub redis: RedisServer,
    pub stock: Stock,
    engine: OrderEngine,
}

/// Submits until there is an answer, as order-consumer does: on a slow machine a session may be silent for longer than the server bears,
/// and then nothing is decided.
pub async fn settle(
    engine: &OrderEngine,
    message: OrderMessage,
) -> Result<OrderOutcome, SubmitError> {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        match engine.submit(message.clone()).await {
            Err(SubmitError::Unavailable(_)) if Instant::now() < until => {}
            told => return told,
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl Shop {
    pub async fn open() -> Self {
        Self::of(testkit::mysql::schema().await).await
    }

    pub async fn of(schema: Schema) -> Self {
        let redis = RedisServer::start().await;
        let stock = Stock::new(service_kit::redis::connect(&redis.url()).await.unwrap());
        let engine = OrderEngine::start(
            LIMITS,
            service_kit::mysql::options(&schema.settings),
            stock.clone(),
            Foreign::default(),
        );
        let shop = Self {
            schema,
            redis,
            stock,
            engine,
        };
        shop.rebuild().await;
        shop
    }

    pub fn engine(&self) -> OrderEngine {
        OrderEngine::start(
            LIMITS,
            service_kit::mysql::options(&self.schema.settings),
            self.stock.clone(),
            Foreign::default(),
        )
    }

    /// An engine whose way to MySQL leads through `address`.
    pub fn engine_at(&self, address: SocketAddr) -> OrderEngine {
        let options = service_kit::mysql::options(&self.schema.settings)
            .host(&address.ip().to_string())
            .port(address.port());
        OrderEngine::start(LIMITS, options, self.stock.clone(), Foreign::default())
    }

    pub fn mysql_address(&self) -> SocketAddr {
        self.schema.address()
    }

    pub fn rebuilder(&self) -> Rebuilder {
        self.rebuilder_of(&self.redis)
    }

    pub fn rebuilder_of(&self, node: &RedisServer) -> Rebuilder {
        Rebuilder::new(
            self.schema.pool.clone(),
            redis::Client::open(node.url()).unwrap(),
            HELD_MAX,
        )
    }

    pub async fn rebuild(&self) {
        self.rebuilder().node().await.unwrap();
    }

    /// An open sale, in MySQL and in Redis.
    pub async fn sale(&self, total: u32, per_user_limit: u32) -> SaleId {
        let (sale, product) = (SaleId::fresh(), Uuid::now_v7());
        sqlx::query("insert into products (id, name, description, price, created_at) values (?, 'thing', '', 100, utc_timestamp(3))")
            .bind(product)
            .execute(&self.schema.pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at)
             values (?, ?, ?, 100, ?, ?, utc_timestamp(3) - interval 1 hour, utc_timestamp(3) + interval 1 day, 'open', 1, utc_timestamp(3))",
        )
        .bind(sale)
        .bind(&sale.tag()[..])
        .bind(product)
        .bind(total)
        .bind(per_user_limit)
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
        sale
    }

    #[expect(
        clippy::unused_self,
        reason = "everything of a test is asked of its shop"
    )]
    pub fn fresh_gid(&self) -> Gid {
        Gid::from_uuid(Uuid::now_v7())
    }

    /// An order as the API would publish it; nothing is reserved.
    #[expect(
        clippy::unused_self,
        reason = "everything of a test is asked of its shop"
    )]
    pub fn order(&self, sale: SaleId, user: UserId, units: u32) -> OrderMessage {
        let order_id = OrderId::mint(sale);
        OrderMessage {
            version: VERSION,
            order_id,
            gid: order_id.first_gid(),
            generation: 0,
            sale_id: sale,
            user_id: user,
            quantity: Quantity::try_from(units).unwrap(),
            price: 100,
            remark: None,
            idempotency: None,
            created_at: Utc::now(),
        }
    }

    pub fn order_with_key(&self, sale: SaleId, user: UserId, key: &str) -> OrderMessage {
        let idempotency = Some(Idempotency {
            key: key.to_owned(),
            body_hash: "0".repeat(64),
        });
        OrderMessage {
            idempotency,
            ..self.order(sale, user, 1)
        }
    }

    /// An order with its reservation.
    pub async fn reserve(&self, sale: SaleId, user: UserId, units: u32) -> OrderMessage {
        let message = self.order(sale, user, units);
        let reserved = self.try_reserve(&message).await.unwrap();
        assert_eq!(reserved, Reserved::New);
        message
    }

    pub async fn try_reserve(
        &self,
        message: &OrderMessage,
    ) -> Result<Reserved, ordering::stock::ReserveError> {
        let ask = Reserve {
            sale: message.sale_id,
            gid: message.gid,
            order: message.order_id,
            user: message.user_id,
            units: message.quantity,
            idempotency: message.idempotency.as_ref(),
            message: &message.to_bytes(),
            window: Window::Checked,
        };
        self.stock.reserve(&ask).await
    }

    /// To the shop's own engine, as [`settle`] does.
    pub async fn submit(&self, message: OrderMessage) -> Result<OrderOutcome, SubmitError> {
        settle(&self.engine, message).await
    }

    /// Completes what engines left, as if its time had come.
    pub async fn recover(&self) {
        self.execute("update transactions set due_at = utc_timestamp(3) where state in ('committing', 'rolling_back')").await;
        let recovery = Recovery::new(
            self.schema.pool.clone(),
            self.stock.clone(),
            &Foreign::default(),
            Pace::default(),
        );
        while recovery.run_batch().await.unwrap().finished > 0 {}
    }

    pub async fn execute(&self, sql: &str) {
        self.schema.execute(sql).await;
    }

    pub async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    pub async fn unfinished(&self) -> i64 {
        self.count(
            "select count(*) from transactions where state not in ('committed', 'rolled_back')",
        )
        .await
    }

    /// Available and sold, in MySQL.
    pub async fn inventory(&self, sale: SaleId) -> (i32, i32) {
        sqlx::query_as("select available, sold from sale_inventory where sale_id = ?")
            .bind(sale)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    /// Available, held and sold, in Redis.
    pub async fn levels(&self, sale: SaleId) -> (i64, i64, i64) {
        let levels = self
            .stock
            .levels(sale)
            .await
            .unwrap()
            .expect("Redis has the sale");
        assert_eq!(
            levels.total,
            levels.available + levels.held + levels.sold - levels.owed,
            "conserved"
        );
        (levels.available, levels.held, levels.sold)
    }

    /// After a restart: the first calls may still meet the old connection.
    pub async fn reconnected(&self) {
        testkit::eventually("Redis answers again", Duration::from_mins(1), || async {
            self.stock.levels(SaleId::fresh()).await.ok()
        })
        .await;
    }

    /// Nothing is left to do: an engine does what it can at once and leaves the rest, a call to Redis that went unanswered on a busy
    /// machine, say, to recovery.
    pub async fn until_finished(&self) {
        let within = Duration::from_mins(1);
        testkit::eventually("every transaction is finished", within, || async {
            self.recover().await;
            (self.unfinished().await == 0).then_some(())
        })
        .await;
    }

    /// Section 7 of the protocol: nothing is unfinished, and MySQL and Redis say the same, of the sale and of every buyer.
    pub async fn at_rest(&self, sale: SaleId) {
        self.until_finished().await;
        let levels = self.stock.levels(sale).await.unwrap().unwrap();
        let (available, sold) = self.inventory(sale).await;
        assert_eq!(
            (levels.available, levels.held, levels.sold, levels.owed),
            (available.into(), 0, sold.into(), 0),
            "available, held, sold, owed"
        );
        let names = Names {
            sale,
            epoch: levels.epoch,
        };
        let in_redis: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(names.buyers())
            .query_async(&mut self.patient().await)
            .await
            .unwrap();
        let in_mysql: Vec<(UserId, i32, OrderId)> = sqlx::query_as(
            "select user_id, units, last_order_id from sale_buyers where sale_id = ? and units > 0",
        )
        .bind(sale)
        .fetch_all(&self.schema.pool)
        .await
        .unwrap();
        let in_mysql = in_mysql
            .into_iter()
            .map(|(user, units, order)| (user.to_string(), format!("{units}|{order}")));
        assert_eq!(in_redis, in_mysql.collect(), "buyers");
    }

    /// A connection for answers that are long.
    pub async fn patient(&self) -> redis::aio::MultiplexedConnection {
        let config =
            redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
        redis::Client::open(self.redis.url())
            .unwrap()
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    pub async fn units_of(&self, sale: SaleId, user: UserId) -> i32 {
        sqlx::query_scalar("select units from sale_buyers where sale_id = ? and user_id = ?")
            .bind(sale)
            .bind(user)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    pub async fn orders_with(&self, sale: SaleId, status: OrderStatus) -> i64 {
        sqlx::query_scalar("select count(*) from orders where sale_id = ? and status = ?")
            .bind(sale)
            .bind(status.as_str())
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }
}
