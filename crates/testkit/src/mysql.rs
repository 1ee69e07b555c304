//! A schema of a test's own, with every migration applied.

use service_kit::settings::{Mysql, Secret};
use sqlx::{
    Connection, Executor, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlDatabaseError},
};
use std::net::SocketAddr;
use uuid::Uuid;

/// Dropped with its schema.
pub struct Schema {
    /// A pool as processes have it.
    pub pool: MySqlPool,
    /// How a process reaches it.
    pub settings: Mysql,
}

/// Makes a fresh schema on the shared server.
pub async fn schema() -> Schema {
    schema_on(&super::shared_server("REDRESS_TEST_MYSQL")).await
}

/// Makes a fresh schema on the server at `address`, which is `mysql://user:password@host:port`.
pub(crate) async fn schema_on(address: &str) -> Schema {
    let name = format!("test_{}", Uuid::new_v4().simple());
    let server: MySqlConnectOptions = address
        .parse()
        .expect("the address is mysql://user:password@host:port");
    let mut connection = MySqlConnection::connect_with(&server)
        .await
        .expect("the test MySQL answers");
    connection
        .execute(sqlx::AssertSqlSafe(format!("create database {name}")))
        .await
        .expect("a schema can be made");
    let settings = settings_of(address, &name);
    let pool = service_kit::mysql::connect(&settings)
        .await
        .expect("the schema can be used");
    migrations::run(&pool).await.expect("the migrations apply");
    Schema { pool, settings }
}

fn settings_of(address: &str, name: &str) -> Mysql {
    let (account, server) = address
        .trim_start_matches("mysql://")
        .split_once('@')
        .expect("user:password@host:port");
    let (user, password) = account.split_once(':').expect("user:password");
    let (host, port) = server
        .trim_end_matches('/')
        .split_once(':')
        .expect("host:port");
    Mysql {
        host: host.to_owned(),
        port: port.parse().expect("a port"),
        user: user.to_owned(),
        password: Secret::new(password),
        name: name.to_owned(),
        max_connections: 8,
    }
}

impl Schema {
    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        format!("{}:{}", self.settings.host, self.settings.port)
            .parse()
            .expect("the test MySQL listens on an address")
    }

    /// `mysql://…` with the schema.
    #[must_use]
    pub fn url(&self) -> String {
        let Mysql {
            host,
            port,
            user,
            password,
            name,
            ..
        } = &self.settings;
        format!("mysql://{user}:{}@{host}:{port}/{name}", password.expose())
    }

    /// Runs a statement as it is; again where it was chosen to break a deadlock with the processes under test.
    pub async fn execute(&self, sql: &str) {
        loop {
            match self.pool.execute(sqlx::AssertSqlSafe(sql.to_owned())).await {
                Err(cause) if is_deadlock(&cause) => {}
                ran => {
                    ran.expect("the statement runs");
                    return;
                }
            }
        }
    }
}

fn is_deadlock(cause: &sqlx::Error) -> bool {
    let error = cause
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    error.is_some_and(|error| error.number() == 1213)
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, name) = (self.url(), self.settings.name.clone());
        // The test's runtime may be ending: the schema is dropped on a thread of its own.
        let dropped = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            else {
                return;
            };
            runtime.block_on(async {
                if let Ok(mut connection) = MySqlConnection::connect(&url).await {
                    let _ = connection
                        .execute("set session lock_wait_timeout = 5")
                        .await;
                    let _ = connection
                        .execute(sqlx::AssertSqlSafe(format!("drop database {name}")))
                        .await;
                }
            });
        });
        let _ = dropped.join();
    }
}
