//! Orders with their reservations, as buyers make them, and whether MySQL and Redis say the same of them in the end.

use crate::world::{SOON, World};
use coordinator::Pace;
use futures::future::join_all;
use identity::UserId;
use ordering::{
    OrderId, OrderStatus, SaleId,
    engine::Recovery,
    foreign::Foreign,
    keys::Names,
    message::OrderMessage,
    stock::{Reserve, Reserved, Stock, Window},
};
use redis::aio::MultiplexedConnection;
use std::collections::{BTreeMap, BTreeSet};
use testkit::{eventually, process::Process};

/// Unfinished, in the words of a condition.
const UNFINISHED: &str = "state not in ('committed', 'rolled_back')";

impl World {
    pub async fn stock(&self) -> Stock {
        Stock::new(
            service_kit::redis::connect(&self.redis.url())
                .await
                .unwrap(),
        )
    }

    /// What the compensator runs.
    pub async fn recovery(&self) -> Recovery {
        Recovery::new(
            self.schema.pool.clone(),
            self.stock().await,
            &Foreign::default(),
            Pace::default(),
        )
    }

    /// New orders whose units are reserved and which are not published yet.
    pub async fn reserve_new(&self, sale: SaleId, count: usize) -> Vec<OrderMessage> {
        let stock = self.stock().await;
        let orders: Vec<_> = (0..count).map(|_| Self::order(sale)).collect();
        let reserved = orders.iter().map(async |order| {
            let ask = Reserve {
                sale,
                gid: order.gid,
                order: order.order_id,
                user: order.user_id,
                units: order.quantity,
                idempotency: None,
                message: &order.to_bytes(),
                window: Window::Checked,
            };
            stock.reserve(&ask).await.unwrap()
        });
        assert!(
            join_all(reserved)
                .await
                .iter()
                .all(|reserved| *reserved == Reserved::New)
        );
        orders
    }

    /// New orders as buyers make them: reserved, then published.
    pub async fn admit(&self, sale: SaleId, count: usize) -> Vec<OrderMessage> {
        let orders = self.reserve_new(sale, count).await;
        self.publish(&orders).await;
        orders
    }

    /// Ids of the orders that are stored as `status`.
    pub async fn orders_with(&self, status: OrderStatus) -> BTreeSet<OrderId> {
        let ids: Vec<OrderId> = sqlx::query_scalar("select id from orders where status = ?")
            .bind(status.as_str())
            .fetch_all(&self.schema.pool)
            .await
            .unwrap();
        ids.into_iter().collect()
    }

    /// Waits until nothing is unfinished, without helping.
    pub async fn until_finished(&self) {
        let unfinished = format!("select count(*) from transactions where {UNFINISHED}");
        eventually("every transaction is finished", SOON, async || {
            (self.count(&unfinished).await == 0).then_some(())
        })
        .await;
    }

    /// Waits until Redis was told of all that was sold, without helping.
    pub async fn until_redis_sold(&self, sale: SaleId, units: usize) {
        let (stock, units) = (self.stock().await, i64::try_from(units).unwrap());
        eventually("Redis is told what was sold", SOON, async || {
            let levels = stock.levels(sale).await.ok()??;
            ((levels.held, levels.sold) == (0, units)).then_some(())
        })
        .await;
    }

    /// Completes what a dead or sleeping process left, as the compensator does, and looks whether MySQL and Redis agree: of the
    /// sale, of every buyer, and on every unit.
    pub async fn assert_at_rest(&self, sale: SaleId) {
        let unfinished = format!("select count(*) from transactions where {UNFINISHED}");
        let recovery = self.recovery().await;
        eventually("every transaction is finished", SOON, async || {
            recovery.run_batch().await.unwrap();
            (self.count(&unfinished).await == 0).then_some(())
        })
        .await;
        let levels = self.stock().await.levels(sale).await.unwrap().unwrap();
        let (total, available, sold): (i32, i32, i32) =
            sqlx::query_as("select total, available, sold from sale_inventory where sale_id = ?")
                .bind(sale)
                .fetch_one(&self.schema.pool)
                .await
                .unwrap();
        assert_eq!(total, available + sold, "MySQL conserves");
        assert_eq!(
            (
                levels.total,
                levels.available,
                levels.held,
                levels.sold,
                levels.owed
            ),
            (total.into(), available.into(), 0, sold.into(), 0),
            "total, available, held, sold and owed in Redis"
        );
        let confirmed = self.orders_with(OrderStatus::Confirmed).await;
        assert_eq!(
            usize::try_from(sold).unwrap(),
            confirmed.len(),
            "units sold"
        );
        let in_mysql: Vec<(UserId, i32)> = sqlx::query_as(
            "select user_id, units from sale_buyers where sale_id = ? and units > 0",
        )
        .bind(sale)
        .fetch_all(&self.schema.pool)
        .await
        .unwrap();
        let names = Names {
            sale,
            epoch: levels.epoch,
        };
        let in_redis: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(names.buyers())
            .query_async(&mut self.redis.connection().await)
            .await
            .unwrap();
        let in_redis: BTreeMap<String, i32> = in_redis
            .into_iter()
            .map(|(user, held)| (user, held.split('|').next().unwrap().parse().unwrap()))
            .collect();
        let in_mysql = in_mysql
            .into_iter()
            .map(|(user, units)| (user.to_string(), units));
        assert_eq!(in_redis, in_mysql.collect(), "units of buyers");
    }

    /// The tokens of all transactions, by gid.
    pub async fn tokens(&self) -> BTreeMap<String, String> {
        self.tokens_at("read committed").await
    }

    /// The same, with what is not committed yet.
    pub async fn tokens_under_way(&self) -> BTreeMap<String, String> {
        self.tokens_at("read uncommitted").await
    }

    async fn tokens_at(&self, isolation: &str) -> BTreeMap<String, String> {
        let mut session = self.schema.pool.acquire().await.unwrap();
        let isolated = format!("set session transaction isolation level {isolation}");
        sqlx::query(sqlx::AssertSqlSafe(isolated))
            .execute(&mut *session)
            .await
            .unwrap();
        let rows: Vec<(String, String)> =
            sqlx::query_as("select hex(gid), hex(token) from transactions")
                .fetch_all(&mut *session)
                .await
                .unwrap();
        // Not given back: others want to read what is committed.
        session.close().await.unwrap();
        rows.into_iter().collect()
    }

    /// Every row that an order has in MySQL, as text.
    pub async fn rows(&self) -> BTreeSet<String> {
        let rows: Vec<String> = sqlx::query_scalar(
            "select concat_ws('|', 'transaction', hex(gid), state, hex(token), epoch, reason, attempts, created_at, finished_at)
             from transactions
             union all select concat_ws('|', 'order', hex(id), hex(gid), generation, status, reason, decided_at) from orders
             union all select concat_ws('|', 'buyer', hex(sale_id), hex(user_id), units, hex(last_order_id)) from sale_buyers
             union all select concat_ws('|', 'sale', hex(sale_id), total, available, sold, epoch) from sale_inventory",
        )
        .fetch_all(&self.schema.pool)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    /// Everything that Redis holds, as text.
    pub async fn everything_in_redis(&self) -> BTreeMap<String, String> {
        let mut redis = self.redis.connection().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut redis)
            .await
            .unwrap();
        let mut everything = BTreeMap::new();
        for key in keys {
            let value = value_of(&mut redis, &key).await;
            everything.insert(key, value);
        }
        everything
    }
}

async fn value_of(redis: &mut MultiplexedConnection, key: &str) -> String {
    let kind: String = redis::cmd("TYPE")
        .arg(key)
        .query_async(redis)
        .await
        .unwrap();
    match kind.as_str() {
        "hash" => {
            let fields: BTreeMap<String, String> = redis::cmd("HGETALL")
                .arg(key)
                .query_async(redis)
                .await
                .unwrap();
            format!("{fields:?}")
        }
        "zset" => {
            let members: Vec<String> = redis::cmd("ZRANGE")
                .arg(key)
                .arg(&["0", "-1", "WITHSCORES"])
                .query_async(redis)
                .await
                .unwrap();
            format!("{members:?}")
        }
        "string" => redis::cmd("GET").arg(key).query_async(redis).await.unwrap(),
        other => panic!("{key} is a {other}"),
    }
}

/// How many transactions a process has answered with this outcome.
pub async fn answered(process: &Process, outcome: &str) -> u64 {
    let metrics = eventually("the process tells its metrics", SOON, || {
        process.get("/metrics")
    })
    .await;
    let name = format!("tx_total{{outcome=\"{outcome}\"}} ");
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .map_or(0, |count| count.trim().parse().unwrap())
}
