//! Leases: one row a name, one holder at a time, by the database's clock. They keep two processes from doing one job twice; what
//! must not be done twice at all is guarded where it is done, for a holder that sleeps does not know that it lost.

use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// Takes leases in the name of one process.
#[derive(Clone)]
pub struct Leases {
    db: MySqlPool,
    prefix: String,
    holder: String,
}

/// What came of work that needed a lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Held<T> {
    /// It was done under the lease.
    Done(T),
    /// Another holds the lease; nothing was begun.
    Busy,
    /// The lease went to another while it was done; it was abandoned where it stood.
    Lost,
}

impl Leases {
    /// A new holder. The rows' names begin with `prefix`.
    #[must_use]
    pub fn new(db: MySqlPool, prefix: &str) -> Self {
        Self {
            db,
            prefix: prefix.to_owned(),
            holder: Uuid::now_v7().to_string(),
        }
    }

    /// Does `work` while holding `name`, renewed three times in each `ttl`; the lease is given back at the end.
    ///
    /// # Errors
    /// What the database says of the lease. Losing the database means losing the lease: the work is abandoned.
    pub async fn under<T>(
        &self,
        name: &str,
        ttl: Duration,
        work: impl Future<Output = T>,
    ) -> sqlx::Result<Held<T>> {
        if !self.acquire(name, ttl).await? {
            return Ok(Held::Busy);
        }
        let done = tokio::select! {
            done = work => Held::Done(done),
            lost = self.renew_until_lost(name, ttl) => { lost?; Held::Lost }
        };
        if matches!(done, Held::Done(_)) {
            self.release(name).await?;
        }
        Ok(done)
    }

    /// Takes a lease that is free, expired, or this holder's already.
    ///
    /// # Errors
    /// What the database says.
    pub async fn acquire(&self, name: &str, ttl: Duration) -> sqlx::Result<bool> {
        if self.take(name, ttl).await? {
            return Ok(true);
        }
        // Only the first holder ever meets a missing row; of several at once, one takes it.
        sqlx::query!(
            "insert into leases (name, holder, expires_at) values (?, '', '2000-01-01') on duplicate key update name = name",
            self.full(name)
        )
        .execute(&self.db)
        .await?;
        self.take(name, ttl).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// What the database says; the lease then ends by itself.
    pub async fn release(&self, name: &str) -> sqlx::Result<()> {
        sqlx::query!(
            "update leases set expires_at = utc_timestamp(3) where name = ? and holder = ?",
            self.full(name),
            self.holder
        )
        .execute(&self.db)
        .await?;
        Ok(())
    }

    async fn take(&self, name: &str, ttl: Duration) -> sqlx::Result<bool> {
        let taken = sqlx::query!(
            "update leases set holder = ?, expires_at = utc_timestamp(3) + interval ? microsecond
             where name = ? and (holder = ? or expires_at <= utc_timestamp(3))",
            self.holder,
            micros(ttl),
            self.full(name),
            self.holder
        )
        .execute(&self.db)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    async fn renew_until_lost(&self, name: &str, ttl: Duration) -> sqlx::Result<()> {
        let mut ticks = interval(ttl / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let renewed = sqlx::query!(
                "update leases set expires_at = utc_timestamp(3) + interval ? microsecond
                 where name = ? and holder = ? and expires_at > utc_timestamp(3)",
                micros(ttl),
                self.full(name),
                self.holder
            )
            .execute(&self.db)
            .await?;
            if renewed.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }
}

fn micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)
}
