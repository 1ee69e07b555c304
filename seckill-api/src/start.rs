//! The start: reaching each server, however long that takes, and making what must be there.

use anyhow::Context as _;
use identity::{
    Role,
    users::{self, CreateError, NewUser},
};
use service_kit::{
    kafka::{Topic, ensure_topics},
    mysql,
    redis::{self, Role as RedisRole},
    settings::{FirstStaff, Settings},
};
use sqlx::MySqlPool;
use std::{future::Future, time::Duration};
use tokio::time::sleep;
use tracing::{info, warn};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tries until it works, with pauses that double up to 5 s and one line a try.
async fn until_it_works<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    attempt: impl Fn() -> F,
) -> T {
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(cause) => warn!("Waiting for {what}: {cause:#}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A pool to a server that keeps what it commits, with the first staff account in it.
pub(crate) async fn mysql(settings: &Settings) -> MySqlPool {
    until_it_works("MySQL", || async {
        let db = mysql::connect(&settings.database.mysql)
            .await
            .context("connecting")?;
        mysql::check_durability(&db).await?;
        first_staff(&db, &settings.seckill_api.first_staff).await?;
        Ok(db)
    })
    .await
}

/// A connection to a stock node that keeps what it is told.
pub(crate) async fn stock_node(settings: &Settings) -> ::redis::aio::ConnectionManager {
    until_it_works("the stock Redis", || async {
        let url = settings
            .redis
            .stock
            .urls
            .first()
            .context("redis.stock.urls is empty")?;
        let mut node = redis::connect(url).await?;
        redis::check(&mut node, RedisRole::Stock).await?;
        Ok(node)
    })
    .await
}

/// Makes the topic of orders where it is missing.
pub(crate) async fn kafka(settings: &Settings) {
    let topic = Topic {
        name: &settings.kafka.orders_topic,
        partitions: settings.kafka.orders_partitions,
    };
    until_it_works("Kafka", || async {
        ensure_topics(&settings.kafka.brokers, &[topic]).await
    })
    .await;
}

async fn first_staff(db: &MySqlPool, staff: &FirstStaff) -> anyhow::Result<()> {
    if staff.username.is_empty() || users::find_by_login(db, &staff.username).await?.is_some() {
        return Ok(());
    }
    let email = format!("{}@staff.invalid", staff.username);
    let user = NewUser {
        username: &staff.username,
        email: &email,
        password: staff.password.expose(),
        role: Role::Staff,
    };
    match users::create(db, user).await {
        Ok(_) => info!("Made the staff account {:?}", staff.username),
        // Another instance was faster.
        Err(CreateError::Taken) => {}
        Err(cause) => {
            return Err(anyhow::Error::new(cause).context("making the first staff account"));
        }
    }
    Ok(())
}
