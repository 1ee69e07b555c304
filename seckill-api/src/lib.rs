//! The buyers' API: accounts, catalogue, sales, and orders taken in. It reserves and queues; it does not know how an order is
//! written.

mod admission;
mod api_docs;
mod buyer;
mod created;
mod every_second;
pub mod metrics;
mod new_order;
mod orders;
mod paging;
mod problems;
mod products;
mod sale_cache;
mod sales;
mod sessions;
mod sold_out;
mod start;
mod stock;
mod users;

use admission::Admission;
use anyhow::Context as _;
use axum::Router;
use identity::{log_ins::LogIns, tokens::Tokens};
use ordering::{engine::OrderEngine, foreign::Foreign, sale_lock::SaleLock, stock::Stock};
use sale_cache::SaleCache;
use service_kit::{
    health::{self, Health},
    kafka::Producer,
    problem,
    settings::Settings,
    telemetry::Metrics,
};
use sqlx::MySqlPool;
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::warn;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What a probe of Kafka may take; it blocks a thread.
const PROBE_WITHIN: Duration = Duration::from_millis(250);
/// What orders under way may take at the end: the longest is Kafka's 3 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(8);

/// Everything a request may need. Cloning shares it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] shares.
pub struct Parts {
    pub(crate) db: MySqlPool,
    pub(crate) tokens: Tokens,
    pub(crate) token_ttl_s: u64,
    pub(crate) log_ins: LogIns,
    pub(crate) sales: SaleCache,
    pub(crate) admission: Admission,
    pub(crate) held_max: u32,
    /// Decides cancellations. It opens nothing before the first one.
    pub(crate) engine: OrderEngine,
    node: redis::aio::ConnectionManager,
    producer: Producer,
    orders_topic: String,
    locks: SaleLock,
    lock_required: bool,
    tasks: TaskTracker,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Reaches every server, waiting for those that are not up yet, and makes the topic and the staff account that are missing.
    ///
    /// # Errors
    /// When a setting makes no client.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let producer =
            Producer::new(&settings.kafka.brokers).context("kafka.brokers make no client")?;
        let (db, node, ()) = tokio::join!(
            start::mysql(settings),
            start::stock_node(settings),
            start::kafka(settings)
        );
        let locks = SaleLock::start(&settings.redis.lock.urls, settings.sale_lock.ttl())?;
        let tasks = TaskTracker::new();
        Ok(Self(Arc::new(Parts {
            tokens: Tokens::new(
                settings.auth.token_secret.expose(),
                Duration::from_secs(settings.auth.token_ttl_s),
            ),
            token_ttl_s: settings.auth.token_ttl_s,
            log_ins: LogIns::default(),
            sales: SaleCache::new(db.clone()),
            admission: Admission::new(
                Stock::new(node.clone()),
                locks.clone(),
                producer.clone(),
                tasks.clone(),
                settings,
            ),
            held_max: settings.admission.held_max,
            engine: OrderEngine::of_process(settings, Stock::new(node.clone()), Foreign::default()),
            orders_topic: settings.kafka.orders_topic.clone(),
            db,
            node,
            producer,
            locks,
            lock_required: settings.sale_lock.required,
            tasks,
        })))
    }

    /// Waits until every order that is being admitted has its outcome, at most 8 s.
    pub async fn drain(&self) {
        self.tasks.close();
        if timeout(DRAIN_WITHIN, self.tasks.wait()).await.is_err() {
            warn!(
                "{} orders were still being admitted: whoever asks again is told what became of them",
                self.tasks.len()
            );
        }
        self.db.close().await;
    }

    fn health(&self) -> Health {
        let (mysql, redis, kafka) = (self.clone(), self.clone(), self.clone());
        let health = Health::new()
            .with("mysql", move || {
                let app = mysql.clone();
                async move { service_kit::mysql::ping(&app.db).await }
            })
            .with("redis_stock", move || {
                let mut node = redis.node.clone();
                async move { service_kit::redis::ping(&mut node).await }
            })
            .with("kafka", move || {
                let app = kafka.clone();
                async move { app.probe_kafka().await }
            });
        if !self.lock_required {
            return health;
        }
        let locks = self.clone();
        health.with("redis_lock", move || {
            let (answering, of) = locks.locks.answering();
            async move {
                if answering * 2 > of {
                    Ok(())
                } else {
                    Err(format!("{answering} of {of} lock nodes answer"))
                }
            }
        })
    }

    async fn probe_kafka(&self) -> anyhow::Result<()> {
        let app = self.clone();
        tokio::task::spawn_blocking(move || app.producer.probe(&app.orders_topic, PROBE_WITHIN))
            .await??;
        Ok(())
    }
}

/// Every route: the API, its description, health and metrics. What is not there is refused with a problem, too.
pub fn router(app: App, metrics: Metrics) -> Router {
    let api = OpenApiRouter::new()
        .routes(routes!(users::register))
        .routes(routes!(users::me))
        .routes(routes!(sessions::log_in))
        .routes(routes!(products::create_product, products::list_products))
        .routes(routes!(products::get_product))
        .routes(routes!(sales::create_sale, sales::list_sales))
        .routes(routes!(sales::get_sale, sales::change::change_sale))
        .routes(routes!(stock::get_stock))
        .routes(routes!(orders::place_order))
        .routes(routes!(orders::list_orders))
        .routes(routes!(orders::get_order))
        .routes(routes!(orders::cancel_order));
    let (api, description) = OpenApiRouter::with_openapi(api_docs::base())
        .nest("/api/v1", api)
        .split_for_parts();
    let health = health::routes(app.health(), metrics);
    problem::fallbacks(
        api.with_state(app)
            .merge(api_docs::router(description))
            .merge(health),
    )
}
