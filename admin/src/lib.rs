//! The operators' web and its JSON: what was given up, with all that happened to it; replay; alerts; audit; operators.
//!
//! It shows and asks. What an operator asks for is a row in `operations`, which the compensator carries out; what is true comes from
//! the crates that own it. It knows nothing of Kafka's partitions or Redis' keys.

mod access;
mod address;
mod alerts;
mod api_docs;
mod archives;
mod assets;
mod audit;
mod compensation_log;
mod compensator_watch;
mod cookie;
mod cursor;
mod discard;
mod doubt;
mod failure;
mod frame;
mod groups;
mod headers;
mod hiding;
mod incidents;
mod log_in;
pub mod metrics;
mod missing;
mod notes;
mod operations;
mod operators;
mod overview;
mod password;
mod permissions;
mod policy;
mod replay;
mod reports;
mod routes;
mod sales;
mod start;
mod tokens;
mod transactions;
mod truth;
mod versions;
mod view;
mod web;

pub use compensator_watch::CompensatorWatch;
pub use routes::router;

use anyhow::Context as _;
use compensation::{
    archive::Store,
    policy::{Policy, Terms},
};
use cookie::Over;
use identity::{lock_outs::UnknownNames, log_ins::LogIns};
use ordering::stock::Stock;
use service_kit::{
    health::Health,
    mysql,
    settings::{Environment, Settings},
};
use sqlx::MySqlPool;
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::warn;

/// Everything a request may need. Cloning shares it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] shares.
pub struct Parts {
    pub(crate) db: MySqlPool,
    pub(crate) archive: Store,
    /// Where stock is counted. It may be away: what it says is then not known.
    pub(crate) stock: Option<Stock>,
    /// Units a sale may hold undecided, as Redis is told.
    pub(crate) held_max: u32,
    /// Tries to log in under names that nobody has.
    pub(crate) unknown_names: UnknownNames,
    /// Tries of those who are not logged in, by address.
    pub(crate) strangers: LogIns,
    pub(crate) session_idle: Duration,
    pub(crate) session_ttl: Duration,
    pub(crate) cookies: Over,
    /// Whether tries are written into the table.
    pub(crate) tries_in_table: bool,
    /// The settings' alert channels.
    pub(crate) channels: Vec<String>,
    /// What happened in the last hours, as far as it was counted.
    pub(crate) hours: overview::Hours,
    /// Discards of more orders than this are confirmed by a second operator.
    pub(crate) second_person_above: u32,
    prepared: AtomicBool,
}

/// The node where stock is counted, connected to at the first call.
fn stock(settings: &Settings) -> Option<Stock> {
    let url = settings.redis.stock.urls.first()?;
    match service_kit::redis::connect_lazily(url) {
        Ok(redis) => Some(Stock::new(redis)),
        Err(cause) => {
            warn!("What Redis has is not shown: {cause:#}");
            None
        }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// The app, connected to nothing yet: it answers at once, with 503 until MySQL does.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let options = mysql::options(&settings.database.mysql);
        let secure =
            settings.admin.secure_cookies || settings.environment == Environment::Production;
        let db = mysql::pool(options, settings.database.mysql.max_connections).lazy();
        let archive = Store::new(&settings.dlq, db.clone()).unwrap_or_else(|cause| {
            let why = anyhow::Error::new(cause);
            warn!("Only messages kept in the table and in files can be read: {why:#}");
            Store::of_rows(db.clone())
        });
        Self(Arc::new(Parts {
            db,
            archive,
            stock: stock(settings),
            held_max: settings.admission.held_max,
            unknown_names: UnknownNames::default(),
            strangers: LogIns::default(),
            session_idle: settings.admin.session_idle(),
            session_ttl: settings.admin.session_ttl(),
            cookies: if secure { Over::Https } else { Over::Any },
            tries_in_table: settings.compensation.log_storage.in_db(),
            channels: alerts::configured(settings),
            hours: overview::Hours::default(),
            second_person_above: settings.admin.second_person_above,
            prepared: AtomicBool::new(false),
        }))
    }

    /// Waits until MySQL keeps what it commits, and makes the first admin where there is no operator.
    ///
    /// # Errors
    /// When the first admin's name or password, or the retry policy, are not fit.
    pub async fn prepare(&self, settings: &Settings) -> anyhow::Result<()> {
        let policy = Policy::try_from(Terms::of_settings(settings))
            .context("the retry policy (compensation, dlq) cannot rule")?;
        start::prepare(self, &settings.admin.first_admin, &policy)
            .await
            .context("starting")?;
        self.prepared.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What notices that no compensator runs.
    ///
    /// # Errors
    /// When a channel of the settings cannot be used.
    pub fn compensator_watch(&self, settings: &Settings) -> anyhow::Result<CompensatorWatch> {
        CompensatorWatch::new(self.db.clone(), settings)
    }

    /// Closes the connections, once all requests are answered.
    pub async fn close(&self) {
        self.db.close().await;
    }

    fn health(&self) -> Health {
        let (mysql, operators) = (self.clone(), self.clone());
        Health::new()
            .with("mysql", move || {
                let app = mysql.clone();
                async move { service_kit::mysql::ping(&app.db).await }
            })
            .with("operators", move || {
                let prepared = operators.prepared.load(Ordering::Relaxed);
                async move { prepared.then_some(()).ok_or("still starting") }
            })
    }
}
