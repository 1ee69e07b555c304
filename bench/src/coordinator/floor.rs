//! The floor: what the coordinator does for a batch of one sale's orders, issued bare. The same statements, the same commands, the
//! same rows, in the same order and on the same settings; no code of the product, no queue, no answers, nobody who could ask again.

use super::{
    scripts::{GIDS_A_CALL, Scripts},
    stage::{EPOCH, Stage},
};
use anyhow::ensure;
use chrono::{DateTime, Utc};
use ordering::message::OrderMessage;
use redis::{Pipeline, aio::MultiplexedConnection};
use sqlx::{Executor, MySql, MySqlConnection, QueryBuilder, Row};
use uuid::Uuid;

/// One order, plain.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its transaction.
    pub gid: Uuid,
    /// Its name.
    pub id: Uuid,
    /// Its sale.
    pub sale: Uuid,
    /// Its buyer.
    pub user: Uuid,
    /// Units.
    pub units: i32,
    /// Of one unit.
    pub price: i64,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
}

impl From<&OrderMessage> for Order {
    fn from(message: &OrderMessage) -> Self {
        Self {
            gid: message.gid.as_uuid(),
            id: message.order_id.as_uuid(),
            sale: message.sale_id.as_uuid(),
            user: message.user_id.as_uuid(),
            units: message.quantity.get().cast_signed(),
            price: message.price,
            created_at: message.created_at,
        }
    }
}

/// One session, one connection: what is in flight once.
pub struct Floor {
    db: MySqlConnection,
    redis: MultiplexedConnection,
    scripts: Scripts,
}

impl Floor {
    /// Opens a session of its own.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn open(stage: &Stage) -> sqlx::Result<Self> {
        Ok(Self {
            db: stage.session().await?,
            redis: stage.redis.clone(),
            scripts: stage.scripts.clone(),
        })
    }

    /// All three phases of one batch, which is of one sale.
    ///
    /// # Errors
    /// What the servers say.
    pub async fn settle(&mut self, batch: &[Order]) -> anyhow::Result<()> {
        self.prepare(batch).await?;
        self.decide(batch).await?;
        self.complete(batch).await
    }

    /// Asks the reservations.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn prepare(&mut self, batch: &[Order]) -> anyhow::Result<()> {
        let mut pipeline = Pipeline::new();
        for orders in batch.chunks(GIDS_A_CALL) {
            let mut keys = vec![format!("{{{}}}:stock", orders[0].sale)];
            keys.extend(orders.iter().map(reservation));
            let mut call = self.scripts.prepare(&keys);
            call.arg(EPOCH);
            pipeline.add_command(call);
        }
        let votes: Vec<Vec<redis::Value>> = pipeline.query_async(&mut self.redis).await?;
        let count: usize = votes.iter().map(|votes| votes.len() - 1).sum();
        ensure!(count == batch.len(), "a vote is missing");
        Ok(())
    }

    /// One database transaction, in the order of the locks.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn decide(&mut self, batch: &[Order]) -> anyhow::Result<()> {
        let mut by_gid: Vec<&Order> = batch.iter().collect();
        by_gid.sort_unstable_by_key(|order| order.gid);
        let mut by_user = by_gid.clone();
        by_user.sort_unstable_by_key(|order| order.user);
        let sale = batch[0].sale;

        self.db.execute("start transaction").await?;
        self.log(&by_gid).await?;
        self.existing(&by_gid).await?;
        self.buyers(&by_user).await?;
        let row = sqlx::query(
            "select sale_id, available, epoch, \
             (select per_user_limit from sales where sales.id = sale_inventory.sale_id) as per_user_limit \
             from sale_inventory where sale_id in (?) order by sale_id for update",
        )
        .bind(sale)
        .fetch_one(&mut self.db)
        .await?;
        let (available, epoch): (i32, i64) = (row.try_get("available")?, row.try_get("epoch")?);
        let units: i32 = batch.iter().map(|order| order.units).sum();
        ensure!(available >= units, "the sale is sold out");
        sqlx::query(
            "update sale_inventory set available = available - ?, sold = sold + ? where sale_id = ?",
        )
        .bind(units)
        .bind(units)
        .bind(sale)
        .execute(&mut self.db)
        .await?;
        self.grant(&by_user).await?;
        self.insert(&by_gid).await?;
        ensure!(epoch == EPOCH, "the sale was rebuilt");
        self.db.execute("commit").await?;
        Ok(())
    }

    /// Tells the reservations, then writes that they were told.
    ///
    /// # Errors
    /// What the servers say.
    pub async fn complete(&mut self, batch: &[Order]) -> anyhow::Result<()> {
        self.confirm(batch).await?;
        self.mark(batch).await
    }

    /// Units held become sold.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn confirm(&mut self, batch: &[Order]) -> anyhow::Result<()> {
        let mut pipeline = Pipeline::new();
        for orders in batch.chunks(GIDS_A_CALL) {
            let sale = orders[0].sale;
            let mut keys = vec![
                format!("{{{sale}}}:stock"),
                format!("{{{sale}}}:{EPOCH}:buyers"),
                format!("{{{sale}}}:{EPOCH}:pending"),
            ];
            keys.extend(orders.iter().map(reservation));
            let mut call = self.scripts.confirm(&keys);
            call.arg(EPOCH);
            for order in orders {
                call.arg(order.gid.to_string())
                    .arg(order.id.to_string())
                    .arg(order.user.to_string())
                    .arg(order.units);
            }
            pipeline.add_command(call);
        }
        let replies: Vec<Vec<String>> = pipeline.query_async(&mut self.redis).await?;
        ensure!(
            replies.iter().all(|reply| reply[0] == "done"),
            "a completion was refused: {replies:?}"
        );
        Ok(())
    }

    /// Writes that all were told.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn mark(&mut self, batch: &[Order]) -> anyhow::Result<()> {
        let mut query = QueryBuilder::<MySql>::new(
            "update transactions set state = 'committed', finished_at = utc_timestamp(3), last_error = null \
             where state = 'committing' and (branches = 0 or not exists (select 1 from transaction_branches b \
             where b.gid = transactions.gid and b.is_foreign and b.state not in ('done', 'refused'))) and gid in ",
        );
        list(&mut query, batch.iter().map(|order| order.gid));
        query.build().execute(&mut self.db).await?;
        Ok(())
    }

    async fn log(&mut self, orders: &[&Order]) -> sqlx::Result<()> {
        let token = Uuid::now_v7();
        let mut query = QueryBuilder::<MySql>::new(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at) ",
        );
        query.push_values(orders, |mut row, order| {
            let Order {
                id,
                sale,
                user,
                units,
                ..
            } = order;
            row.push_bind(order.gid)
                .push_bind("order")
                .push_bind(sale)
                .push_bind("committing")
                .push_bind(token)
                .push_bind(EPOCH)
                .push_bind(format!(
                    r#"{{"act":"place","sale":"{sale}","order":"{id}","user":"{user}","units":{units}}}"#
                ))
                .push("0")
                .push("utc_timestamp(3) + interval 5000000 microsecond")
                .push("utc_timestamp(3)");
        });
        query.push(" on duplicate key update token = if(state in ('begun', 'prepared'), values(token), token)");
        query.build().execute(&mut self.db).await?;
        let mut query = QueryBuilder::<MySql>::new(
            "select gid, state, token, epoch, reason, branches from transactions where gid in ",
        );
        list(&mut query, orders.iter().map(|order| order.gid));
        query.build().fetch_all(&mut self.db).await.map(drop)
    }

    async fn existing(&mut self, orders: &[&Order]) -> sqlx::Result<()> {
        let mut query = QueryBuilder::<MySql>::new(
            "select id, gid, generation, status, reason from orders where id in ",
        );
        list(&mut query, orders.iter().map(|order| order.id));
        query.push(" order by id for update");
        query.build().fetch_all(&mut self.db).await.map(drop)
    }

    async fn buyers(&mut self, orders: &[&Order]) -> sqlx::Result<()> {
        let mut query =
            QueryBuilder::<MySql>::new("insert into sale_buyers (sale_id, user_id, units) ");
        query.push_values(orders, |mut row, order| {
            row.push_bind(order.sale).push_bind(order.user).push("0");
        });
        query.push(" on duplicate key update units = units + 0");
        query.build().execute(&mut self.db).await?;
        let mut query = QueryBuilder::<MySql>::new(
            "select sale_id, user_id, units from sale_buyers where (sale_id, user_id) in ",
        );
        query.push_tuples(orders, |mut row, order| {
            row.push_bind(order.sale).push_bind(order.user);
        });
        query.build().fetch_all(&mut self.db).await.map(drop)
    }

    async fn grant(&mut self, orders: &[&Order]) -> sqlx::Result<()> {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into sale_buyers (sale_id, user_id, units, last_order_id) ",
        );
        query.push_values(orders, |mut row, order| {
            row.push_bind(order.sale)
                .push_bind(order.user)
                .push_bind(order.units)
                .push_bind(order.id);
        });
        query.push(" on duplicate key update units = units + values(units), last_order_id = values(last_order_id)");
        query.build().execute(&mut self.db).await.map(drop)
    }

    async fn insert(&mut self, orders: &[&Order]) -> sqlx::Result<()> {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, remark, \
             idempotency_key, body_hash, created_at, decided_at) ",
        );
        query.push_values(orders, |mut row, order| {
            row.push_bind(order.id)
                .push_bind(order.gid)
                .push_bind(0)
                .push_bind(order.user)
                .push_bind(order.sale)
                .push_bind(order.units)
                .push_bind(order.price)
                .push_bind("confirmed")
                .push_bind(None::<&str>)
                .push_bind(None::<&str>)
                .push_bind(None::<&str>)
                .push_bind(None::<&str>)
                .push_bind(order.created_at)
                .push("utc_timestamp(3)");
        });
        query.build().execute(&mut self.db).await.map(drop)
    }

    /// The session, for statements that are a scenario's own.
    pub const fn db(&mut self) -> &mut MySqlConnection {
        &mut self.db
    }
}

fn reservation(order: &Order) -> String {
    format!("{{{}}}:{EPOCH}:res:{}", order.sale, order.gid)
}

/// A list of ids in parentheses.
pub fn list(query: &mut QueryBuilder<MySql>, ids: impl Iterator<Item = Uuid>) {
    query.push("(");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id);
    }
    query.push(")");
}
