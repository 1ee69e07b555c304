//! The servers Redress stands on: one MariaDB, one Redis for stock, three for locks, one Kafka broker. An address given in
//! the environment wins; the others run as our own children on free ports, listening on the loopback address only.

mod kafka;
mod mysql;
mod redis;

use std::env;

use anyhow::Context as _;

use crate::{
    folder::Folder, kafka_jars, mysql_url::MysqlUrl, packages, ports::Ports, secrets::Secrets,
    service::Services, stop::Stop, workspace::Workspace,
};

/// The stock node among [`Services`].
pub const REDIS_STOCK: &str = "redis-stock";

const LOCK_NODES: usize = 3;

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub mysql: MysqlUrl,
    pub redis_stock: String,
    pub redis_lock: Vec<String>,
    /// `host:port`.
    pub kafka: String,
}

/// Addresses of servers somebody else runs.
#[derive(Debug, Default)]
pub struct Given {
    mysql: Option<MysqlUrl>,
    redis_stock: Option<String>,
    redis_lock: Option<Vec<String>>,
    kafka: Option<String>,
}

impl Given {
    /// `REDRESS_MYSQL_URL`, `REDRESS_REDIS_STOCK`, `REDRESS_REDIS_LOCK` (one or three, comma-separated), `REDRESS_KAFKA`.
    ///
    /// # Errors
    /// When the MySQL address is none.
    pub fn in_environment() -> anyhow::Result<Self> {
        let given = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            mysql: given("REDRESS_MYSQL_URL")
                .map(|url| url.parse().context("REDRESS_MYSQL_URL"))
                .transpose()?,
            redis_stock: given("REDRESS_REDIS_STOCK"),
            redis_lock: given("REDRESS_REDIS_LOCK")
                .map(|list| list.split(',').map(|url| url.trim().to_owned()).collect()),
            kafka: given("REDRESS_KAFKA"),
        })
    }

    /// Whether every server will be our own.
    pub fn is_nothing(&self) -> bool {
        self.mysql.is_none()
            && self.redis_stock.is_none()
            && self.redis_lock.is_none()
            && self.kafka.is_none()
    }

    /// Installs what our own servers need.
    ///
    /// # Errors
    /// When something is missing and cannot be installed.
    pub fn ensure_programs(&self, workspace: &Workspace, stop: &Stop) -> anyhow::Result<()> {
        if self.mysql.is_none() {
            packages::ensure(packages::MYSQL, stop)?;
        }
        if self.redis_stock.is_none() || self.redis_lock.is_none() {
            packages::ensure(&[packages::REDIS], stop)?;
        }
        if self.kafka.is_none() {
            kafka_jars::ensure_programs(workspace, stop)?;
        }
        Ok(())
    }
}

/// What starting servers takes.
pub struct Starting<'a> {
    pub workspace: &'a Workspace,
    /// Where settings and logs go.
    pub folder: &'a Folder,
    /// The subfolder the servers keep their data in.
    pub data: &'a str,
    pub secrets: &'a Secrets,
    pub ports: &'a mut Ports,
    pub stop: &'a Stop,
}

impl Starting<'_> {
    /// Starts every server that was not given and waits until all answer.
    ///
    /// # Errors
    /// When one does not come up, or a signal asks to stop.
    pub fn all(&mut self, given: Given, services: &mut Services) -> anyhow::Result<Addresses> {
        let mysql = match given.mysql {
            Some(url) => url,
            None => self.mysql(services)?,
        };
        let redis_stock = match given.redis_stock {
            Some(url) => url,
            None => self.redis(REDIS_STOCK, services)?,
        };
        let redis_lock = match given.redis_lock {
            Some(urls) => urls,
            None => (1..=LOCK_NODES)
                .map(|node| self.redis(&format!("redis-lock-{node}"), services))
                .collect::<Result<_, _>>()?,
        };
        let kafka = match given.kafka {
            Some(address) => address,
            None => self.kafka(services)?,
        };
        services.wait_shown(self.stop)?;
        Ok(Addresses {
            mysql,
            redis_stock,
            redis_lock,
            kafka,
        })
    }

    /// Starts what the tests share; each test starts its own Redis.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn for_tests(&mut self, services: &mut Services) -> anyhow::Result<(MysqlUrl, String)> {
        let mysql = self.mysql(services)?;
        let kafka = self.kafka(services)?;
        services.wait_shown(self.stop)?;
        Ok((mysql, kafka))
    }

    /// Starts only the database.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn only_mysql(&mut self, services: &mut Services) -> anyhow::Result<MysqlUrl> {
        let mysql = self.mysql(services)?;
        services.wait_shown(self.stop)?;
        Ok(mysql)
    }

    fn mysql(&mut self, services: &mut Services) -> anyhow::Result<MysqlUrl> {
        let (service, url) = mysql::start(self)?;
        services.add(service);
        Ok(url)
    }

    fn redis(&mut self, name: &str, services: &mut Services) -> anyhow::Result<String> {
        let service = redis::start(self, name)?;
        let url = format!("redis://{}", service.address);
        services.add(service);
        Ok(url)
    }

    fn kafka(&mut self, services: &mut Services) -> anyhow::Result<String> {
        let service = kafka::start(self)?;
        let address = service.address.to_string();
        services.add(service);
        Ok(address)
    }

    fn data_dir(&self, name: &str) -> std::path::PathBuf {
        self.folder.join(self.data).join(name)
    }
}
