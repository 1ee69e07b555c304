//! Whether a process lives and whether it can work, and its metrics: the three routes every process serves.

use crate::{problem, telemetry::Metrics};
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Display, future::Future, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A dependency that does not answer a probe within this is not ready.
const PROBE_WITHIN: Duration = Duration::from_millis(300);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The dependencies of a process, each with its name and a probe.
#[derive(Clone, Default)]
pub struct Health {
    probes: Vec<(&'static str, Probe)>,
}

/// What `/health/ready` answers.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// `ready` or `not_ready`.
    pub status: &'static str,
    /// Each dependency: `ok`, or what is wrong.
    pub checks: BTreeMap<&'static str, String>,
}

impl Health {
    /// Nothing to probe yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dependency. The probe is asked anew for every request and given 300 ms.
    #[must_use]
    pub fn with<P, F, E>(mut self, name: &'static str, probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let probe: Probe = Arc::new(move || {
            let asked = probe();
            Box::pin(async move { asked.await.map_err(|cause| cause.to_string()) })
        });
        self.probes.push((name, probe));
        self
    }

    /// Asks all dependencies at once.
    pub async fn check(&self) -> Readiness {
        let answers = join_all(self.probes.iter().map(|(name, probe)| async move {
            let state = match timeout(PROBE_WITHIN, probe()).await {
                Ok(Ok(())) => "ok".to_owned(),
                Ok(Err(cause)) => cause,
                Err(_) => format!("no answer within {} ms", PROBE_WITHIN.as_millis()),
            };
            (*name, state)
        }));
        let checks: BTreeMap<_, _> = answers.await.into_iter().collect();
        let ready = checks.values().all(|state| state == "ok");
        Readiness {
            status: if ready { "ready" } else { "not_ready" },
            checks,
        }
    }
}

/// `/health/live`, `/health/ready` and `/metrics`, with problem+json for everything else.
pub fn router(health: Health, metrics: Metrics) -> Router {
    problem::fallbacks(routes(health, metrics))
}

/// The same without the answers for what is not there, to be merged into a larger router.
pub fn routes(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route(
            "/health/live",
            get(|| async { Json(serde_json::json!({ "status": "live" })) }),
        )
        .route("/health/ready", get(ready))
        .with_state(health)
        .route(
            "/metrics",
            get(move || async move {
                (
                    [("content-type", "text/plain; version=0.0.4")],
                    metrics.render(),
                )
            }),
        )
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let readiness = health.check().await;
    let status = if readiness.status == "ready" {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}
