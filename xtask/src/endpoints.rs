//! `endpoints.json`: where everything of a running stack is. It exists only while everything is ready.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    config::ADMIN_USER, files, folder::Folder, processes::Listen, secrets::Secrets,
    servers::Addresses, terminal,
};

/// What the file says.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoints {
    pub api: String,
    pub admin: String,
    order_consumer: String,
    compensator: String,
    mysql: String,
    redis_stock: String,
    redis_lock: Vec<String>,
    kafka: String,
    pub admin_user: String,
    pub admin_password: String,
}

impl Endpoints {
    pub fn new(servers: &Addresses, listen: &Listen, secrets: &Secrets) -> Self {
        Self {
            api: format!("http://{}", listen.seckill_api),
            admin: format!("http://{}", listen.admin),
            order_consumer: format!("http://{}", listen.order_consumer),
            compensator: format!("http://{}", listen.compensator),
            mysql: servers.mysql.to_string(),
            redis_stock: servers.redis_stock.clone(),
            redis_lock: servers.redis_lock.clone(),
            kafka: servers.kafka.clone(),
            admin_user: ADMIN_USER.to_owned(),
            admin_password: secrets.admin_password.clone(),
        }
    }

    /// Shows the addresses a person may want to open.
    pub fn show(&self, file: &EndpointsFile) {
        terminal::heading("Addresses");
        for (name, address) in [
            ("API", &self.api),
            ("API docs", &format!("{}/api-docs", self.api)),
            ("operators' web", &self.admin),
            ("order-consumer", &self.order_consumer),
            ("compensator", &self.compensator),
            ("all, with users", &file.0.display().to_string()),
        ] {
            terminal::line(&format!("  {name:18} {address}"));
        }
    }
}

/// The file, removed when this is dropped.
#[derive(Debug)]
pub struct EndpointsFile(PathBuf);

impl EndpointsFile {
    /// The file's path in `folder`; one left by a killed run is removed.
    ///
    /// # Errors
    /// When that one cannot be removed.
    pub fn absent(folder: &Folder) -> anyhow::Result<Self> {
        let file = Self(folder.join("endpoints.json"));
        files::remove(&file.0)?;
        Ok(file)
    }

    /// Makes it appear, complete.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, endpoints: &Endpoints) -> anyhow::Result<()> {
        files::write_private(&self.0, &serde_json::to_string_pretty(endpoints)?)
    }

    pub fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for EndpointsFile {
    fn drop(&mut self) {
        if let Err(error) = files::remove(&self.0) {
            terminal::complain(&format!("cannot remove {}: {error}", self.path()));
        }
    }
}
