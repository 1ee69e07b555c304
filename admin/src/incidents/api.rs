//! `GET /api/v1/incidents`, `…/{id}`, `…/{id}/alerts`, and what may be done: `POST …/{id}/acknowledge` and others.

use super::{AlertsQuery, IncidentQuery, PER_PAGE, acts, query};
use crate::{
    App,
    access::{Acknowledge, Assign, Caller, CloseIncident, Look, May, Silence},
    cursor::CursorPage,
    doubt::Doubt,
    failure,
    hiding::Hide as _,
};
use axum::{extract::State, http::StatusCode};
use chrono::SecondsFormat;
use compensation::{
    alerts::incidents::{self, Act, Counted, Listed, NotDone, Sent},
    personal::Sight,
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use std::time::Duration;
use uuid::Uuid;

/// One incident, with its last notices.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    incident: Listed,
    deliveries: Vec<Sent>,
}

/// Who is to look after it; null: nobody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assigning {
    to: Option<String>,
}

/// For how long, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Silencing {
    minutes: u64,
    reason: String,
}

/// Why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closing {
    reason: String,
}

/// Those that stand, or those that are over; what happened last first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<IncidentQuery>,
) -> Result<Json<CursorPage<Listed>>, Problem> {
    let bad = |cause: query::BadQuery| failure::invalid(cause.to_string());
    let (show, before) = (query.show().map_err(bad)?, query.before().map_err(bad)?);
    let found = incidents::list(&app.db, show, PER_PAGE + 1, before)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    Ok(Json(CursorPage::of(found, PER_PAGE, |incident| {
        query::written(incident.position())
    })))
}

/// One of them.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    whole(&app, id, caller.sight())
        .await
        .map_err(failure::database)?
}

/// Its alerts, the newest first.
pub(crate) async fn alerts(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
    Query(query): Query<AlertsQuery>,
) -> Result<Json<CursorPage<Counted>>, Problem> {
    let before = query
        .before()
        .map_err(|cause| failure::invalid(cause.to_string()))?;
    incidents::find(&app.db, id)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("incident"))?;
    let found = incidents::alerts_of(&app.db, id, PER_PAGE + 1, before)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    Ok(Json(CursorPage::of(found, PER_PAGE, |alert| {
        query::written(alert.position())
    })))
}

/// Looks after it.
pub(crate) async fn acknowledge(
    State(app): State<App>,
    caller: May<Acknowledge>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    done(&app, &caller, id, Act::Acknowledge).await
}

/// Has somebody look after it.
pub(crate) async fn assign(
    State(app): State<App>,
    caller: May<Assign>,
    Path(id): Path<Uuid>,
    Json(asked): Json<Assigning>,
) -> Result<Json<Whole>, Problem> {
    done(&app, &caller, id, Act::Assign(asked.to)).await
}

/// Sends nothing for a while.
pub(crate) async fn silence(
    State(app): State<App>,
    caller: May<Silence>,
    Path(id): Path<Uuid>,
    Json(asked): Json<Silencing>,
) -> Result<Json<Whole>, Problem> {
    let act = Act::Silence {
        during: Duration::from_secs(asked.minutes.saturating_mul(60)),
        reason: asked.reason,
    };
    done(&app, &caller, id, act).await
}

/// Sends again.
pub(crate) async fn unsilence(
    State(app): State<App>,
    caller: May<Silence>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    done(&app, &caller, id, Act::Unsilence).await
}

/// Ends what nothing else will.
pub(crate) async fn close(
    State(app): State<App>,
    caller: May<CloseIncident>,
    Path(id): Path<Uuid>,
    Json(asked): Json<Closing>,
) -> Result<Json<Whole>, Problem> {
    let act = Act::Close {
        reason: asked.reason,
    };
    done(&app, &caller, id, act).await
}

async fn done(app: &App, caller: &Caller, id: Uuid, act: Act) -> Result<Json<Whole>, Problem> {
    acts::act(app, caller, id, &act).await.map_err(problem)?;
    whole(app, id, caller.sight())
        .await
        .map_err(|_| failure::database(Doubt::WasDone.error()))?
}

async fn whole(app: &App, id: Uuid, sight: Sight) -> sqlx::Result<Result<Json<Whole>, Problem>> {
    let Some(incident) = incidents::find(&app.db, id).await? else {
        return Ok(Err(failure::not_found("incident")));
    };
    let deliveries = incidents::deliveries_of(&app.db, id).await?;
    Ok(Ok(Json(Whole {
        incident: incident.hidden(sight),
        deliveries: deliveries.hidden(sight),
    })))
}

fn problem(refused: NotDone) -> Problem {
    let detail = acts::sentence(&refused);
    match refused {
        NotDone::NotFound => failure::not_found("incident"),
        NotDone::Database(cause) => failure::database(cause),
        NotDone::Bad(_) => failure::invalid(detail),
        NotDone::NotNow { state, by, since } => {
            let since = since.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
            Problem::new(StatusCode::CONFLICT, "not_now", detail)
                .with("state", state.as_str())
                .with("by", by)
                .with("since", since)
        }
    }
}
