//! `/api/v1/settings/retry-policy`.

use super::{ChangeError, change};
use crate::{
    App,
    access::{ChangePolicy, Look, May},
    failure,
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use compensation::policy::{
    BadTerms, Policy, Schedule, Terms,
    stored::{self, ReadError, Stored, Version},
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Problem};

/// Versions that come with the newest.
const HISTORY: u32 = 50;

/// What rules, and what ruled before.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    version: u32,
    policy: Terms,
    changed_by: String,
    reason: String,
    changed_at: DateTime<Utc>,
    /// What comes of it.
    schedule: Schedule,
    /// Newest first, at most 50.
    history: Vec<Past>,
}

/// One version.
#[derive(Debug, Serialize)]
pub(crate) struct Past {
    version: u32,
    /// As it is stored, also where this build could not go by it.
    policy: serde_json::Value,
    changed_by: String,
    reason: String,
    changed_at: DateTime<Utc>,
}

/// A policy that is to rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPolicy {
    /// The version it was made from.
    version: u32,
    policy: Terms,
    reason: String,
}

/// A policy that is to be looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnPaper {
    policy: Terms,
}

/// What would come of it.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    schedule: Schedule,
}

/// What rules now.
pub(crate) async fn get(State(app): State<App>, _: May<Look>) -> Result<Json<Whole>, Problem> {
    let current = stored::current(&app.db).await.map_err(unreadable)?;
    whole(&app, current).await
}

/// Changes it.
pub(crate) async fn put(
    State(app): State<App>,
    caller: May<ChangePolicy>,
    Json(asked): Json<NewPolicy>,
) -> Result<Json<Whole>, Problem> {
    let NewPolicy {
        version,
        policy,
        reason,
    } = asked;
    let current = change(&app, &caller, version, policy, &reason)
        .await
        .map_err(problem)?;
    whole(&app, current).await
}

/// Changes nothing.
pub(crate) async fn preview(
    _: May<Look>,
    Json(asked): Json<OnPaper>,
) -> Result<Json<Preview>, Problem> {
    let policy = Policy::try_from(asked.policy).map_err(|bad| outside(&bad))?;
    Ok(Json(Preview {
        schedule: policy.schedule(),
    }))
}

async fn whole(app: &App, current: Version) -> Result<Json<Whole>, Problem> {
    let history = stored::page(&app.db, u32::MAX, HISTORY)
        .await
        .map_err(failure::database)?;
    Ok(Json(Whole {
        version: current.version,
        policy: current.policy.terms().clone(),
        changed_by: current.changed_by,
        reason: current.reason,
        changed_at: current.changed_at,
        schedule: current.policy.schedule(),
        history: history.into_iter().map(Past::from).collect(),
    }))
}

impl From<Stored> for Past {
    fn from(stored: Stored) -> Self {
        Self {
            version: stored.version,
            policy: serde_json::from_str(&stored.value)
                .unwrap_or(serde_json::Value::String(stored.value)),
            changed_by: stored.changed_by,
            reason: stored.reason,
            changed_at: stored.changed_at,
        }
    }
}

fn problem(refused: ChangeError) -> Problem {
    let detail = refused.to_string();
    match refused {
        ChangeError::Bad(bad) => outside(&bad),
        ChangeError::Reason(_) => failure::invalid(detail).with("field", "reason"),
        ChangeError::Meanwhile { current, by } => {
            Problem::new(StatusCode::CONFLICT, "changed_meanwhile", detail)
                .with("version", current)
                .with("by", by)
        }
        ChangeError::Read(cause) => unreadable(cause),
    }
}

fn outside(bad: &BadTerms) -> Problem {
    failure::invalid(bad.to_string()).with("field", bad.field)
}

fn unreadable(cause: ReadError) -> Problem {
    match cause {
        ReadError::Database(cause) => failure::database(cause),
        ReadError::Missing => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            cause.to_string(),
        ),
        ReadError::Unreadable(..) | ReadError::Bad(..) => Problem::internal(&cause.into()),
    }
}
