//! The servers as a scenario finds them: sales of its own, and orders that hold their reservation already.

use super::scripts::Scripts;
use anyhow::{Context, bail, ensure};
use chrono::{TimeDelta, Utc};
use coordinator::Limits;
use identity::UserId;
use ordering::{
    OrderId, ProductId, Quantity, SaleId, engine,
    keys::{self, Names},
    message::{OrderMessage, VERSION},
    products::{self, NewProduct},
    rebuild::Rebuilder,
    sales::{self, NewSale},
    stock::{Create, Stock},
};
use redis::{AsyncConnectionConfig, InfoDict, aio::MultiplexedConnection};
use service_kit::{mysql, settings::Settings};
use sqlx::{Executor, MySqlConnection, MySqlPool, mysql::MySqlConnectOptions};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

/// What the bench's product is called: a database that sells anything else is not the bench's to empty.
const PRODUCT: &str = "Bench";
/// Units of each sale, and how many of them may be held.
const UNITS: u32 = 100_000_000;
/// Reservations made in one round trip.
const PIPELINE: usize = 500;
/// Longer than any pipeline takes on a machine that is busy with other things.
const REDIS_ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Redis writes out once a second what it was told.
const ONE_WRITE_OUT: Duration = Duration::from_millis(1_100);
/// Longer than any backlog of it takes.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// What says, above 0, that it still writes.
const BUSY: [&str; 4] = [
    "aof_rewrite_in_progress",
    "aof_rewrite_scheduled",
    "aof_pending_bio_fsync",
    "aof_buffer_length",
];
/// The epoch of a sale that was just made.
pub const EPOCH: i64 = 1;

/// Servers that belong to the bench: it empties them as it likes.
pub struct Stage {
    /// What the processes would run with.
    pub settings: Settings,
    /// For what is not measured.
    pub db: MySqlPool,
    /// The product's way to the stock node.
    pub stock: Stock,
    /// The bare way to it.
    pub redis: MultiplexedConnection,
    /// Digests for the bare way.
    pub scripts: Scripts,
    product: ProductId,
}

impl Stage {
    /// Connects, and opens the stock node as the compensator would.
    ///
    /// # Errors
    /// A server does not answer, or holds what is not the bench's.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let db = mysql::connect(&settings.database.mysql)
            .await
            .context("connecting to MySQL")?;
        let others: i64 = sqlx::query_scalar("select count(*) from products where name <> ?")
            .bind(PRODUCT)
            .fetch_one(&db)
            .await?;
        ensure!(
            others == 0,
            "this database sells things: the bench empties the one it is given"
        );
        let url = settings.redis.stock.urls.first().context("no stock node")?;
        let client = redis::Client::open(url.as_str())?;
        Rebuilder::new(db.clone(), client.clone(), UNITS)
            .node()
            .await
            .context("opening the stock node")?;
        let stock = Stock::new(service_kit::redis::connect(url).await?);
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(REDIS_ANSWERS_WITHIN));
        let mut redis = client
            .get_multiplexed_async_connection_with_config(&patient)
            .await?;
        let scripts = Scripts::load(&mut redis).await?;
        let product = products::create(
            &db,
            NewProduct {
                name: PRODUCT.to_owned(),
                description: String::new(),
                price: 999,
            },
        )
        .await?
        .id;
        Ok(Self {
            settings,
            db,
            stock,
            redis,
            scripts,
            product,
        })
    }

    /// How the engine reaches MySQL.
    #[must_use]
    pub fn mysql(&self) -> MySqlConnectOptions {
        mysql::options(&self.settings.database.mysql)
    }

    /// The engine's bounds as the settings say.
    #[must_use]
    pub fn limits(&self) -> Limits {
        engine::limits(&self.settings)
    }

    /// A session like the engine's own, with nothing of the product around it.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn session(&self) -> sqlx::Result<MySqlConnection> {
        let mut session =
            <MySqlConnection as sqlx::Connection>::connect_with(&self.mysql()).await?;
        session
            .execute(
                "set session transaction isolation level read committed; set session innodb_lock_wait_timeout = 2",
            )
            .await?;
        Ok(session)
    }

    /// Forgets everything earlier scenarios wrote.
    ///
    /// # Errors
    /// What the servers say.
    pub async fn clear(&self) -> anyhow::Result<()> {
        for table in [
            "orders",
            "sale_buyers",
            "transactions",
            "transaction_branches",
        ] {
            sqlx::query(sqlx::AssertSqlSafe(format!("truncate table {table}")))
                .execute(&self.db)
                .await?;
        }
        self.clear_redis().await
    }

    async fn clear_redis(&self) -> anyhow::Result<()> {
        // The scripts stay: only the data goes.
        redis::cmd("FLUSHDB")
            .exec_async(&mut self.redis.clone())
            .await?;
        Ok(())
    }

    /// Fresh sales and `orders` orders spread evenly over them, each reserved in Redis; one list a sale. What earlier rounds left in
    /// Redis is gone.
    ///
    /// # Errors
    /// What the servers say, or a refused reservation.
    pub async fn reserved(
        &self,
        sales: usize,
        orders: usize,
    ) -> anyhow::Result<Vec<Vec<OrderMessage>>> {
        self.clear_redis().await?;
        let mut lists = Vec::with_capacity(sales);
        for _ in 0..sales {
            let sale = self.sale().await?;
            let list: Vec<OrderMessage> =
                (0..orders.div_ceil(sales)).map(|_| order(sale)).collect();
            for page in list.chunks(PIPELINE) {
                self.reserve(page).await?;
            }
            lists.push(list);
        }
        self.redis_settled().await?;
        Ok(lists)
    }

    /// Waits until Redis has put on disk what was prepared: it shares the disk with what is measured.
    async fn redis_settled(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLES_WITHIN {
            sleep(ONE_WRITE_OUT).await;
            let mut redis = self.redis.clone();
            let info: InfoDict = redis::cmd("INFO")
                .arg("persistence")
                .query_async(&mut redis)
                .await?;
            let busy = BUSY.iter().any(|key| info.get::<u64>(key) != Some(0));
            if !busy {
                return Ok(());
            }
        }
        bail!(
            "Redis does not put on disk what was prepared within {} s",
            SETTLES_WITHIN.as_secs()
        )
    }

    /// A fresh sale that is open.
    ///
    /// # Errors
    /// What the servers say.
    pub async fn sale(&self) -> anyhow::Result<SaleId> {
        let now = Utc::now();
        let sale = sales::create(
            &self.db,
            NewSale {
                product_id: self.product,
                price: 499,
                total: UNITS,
                per_user_limit: 100,
                starts_at: now - TimeDelta::hours(1),
                ends_at: now + TimeDelta::days(1),
            },
        )
        .await?;
        self.stock.set(&sale.terms(UNITS), Create::Yes).await?;
        Ok(sale.id)
    }

    async fn reserve(&self, orders: &[OrderMessage]) -> anyhow::Result<()> {
        let mut pipeline = redis::pipe();
        for order in orders {
            let names = Names {
                sale: order.sale_id,
                epoch: EPOCH,
            };
            let mut call = self.scripts.reserve(&[
                keys::stock(order.sale_id),
                names.buyers(),
                names.pending(),
                names.reservation(order.gid),
            ]);
            call.arg(names.epoch)
                .arg(order.gid.to_string())
                .arg(order.order_id.to_string())
                .arg(order.user_id.to_string())
                .arg(order.quantity.get())
                .arg(1)
                .arg(names.reservations())
                .arg(order.to_bytes());
            pipeline.add_command(call);
        }
        let replies: Vec<Vec<String>> = pipeline.query_async(&mut self.redis.clone()).await?;
        let refused = replies.iter().find(|reply| reply[0] != "reserved");
        ensure!(
            refused.is_none(),
            "a reservation was refused: {:?}",
            refused.unwrap_or(&Vec::new())
        );
        Ok(())
    }
}

/// An order of one unit, of a buyer nobody knows yet, as the API would publish it.
fn order(sale: SaleId) -> OrderMessage {
    let order_id = OrderId::mint(sale);
    OrderMessage {
        version: VERSION,
        order_id,
        gid: order_id.first_gid(),
        generation: 0,
        sale_id: sale,
        user_id: UserId::from_uuid(Uuid::new_v4()),
        quantity: Quantity::try_from(1).unwrap_or_else(|_| unreachable!("1 is a quantity")),
        price: 499,
        remark: None,
        idempotency: None,
        created_at: Utc::now(),
    }
}
