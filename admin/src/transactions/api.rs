//! `GET /api/v1/transactions`, `GET /api/v1/transactions/{gid}` and `POST …/rollback`, `…/resume`, `…/stop`.

use super::{
    acts::{self, ActError},
    detail::Detail,
    list_query::{BadQuery, TransactionQuery},
    shown,
};
use crate::{
    App,
    access::{Look, May, Resume, RollBack, Stop},
    audit::Line,
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
    replay::reason,
};
use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use chrono::{DateTime, Utc};
use compensation::alerts::{incidents, outbox::Delivery};
use coordinator::{
    Gid,
    control::{self, BranchAttempt, BranchDetails, Listed},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_kit::problem::{Json, Path, Problem, Query};
use uuid::Uuid;

/// One row of the list.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    gid: Gid,
    kind: String,
    label: coordinator::Label,
    state: &'static str,
    /// `commit` or `roll_back`; null before the decision.
    direction: Option<&'static str>,
    epoch: i64,
    reason: Option<String>,
    attempts: u32,
    /// When recovery looks at it next; means nothing once it is stuck or finished.
    due_at: DateTime<Utc>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    age_ms: i64,
}

/// One of it, whole.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    row: Row,
    branches: Vec<Branch>,
    /// What its participants are told.
    payload: Box<RawValue>,
    /// The archive's row about it; null if it was never stuck.
    dead_letter: Option<Uuid>,
    refusals: Refusals,
    alerts: Vec<Delivery>,
    incidents: Vec<incidents::Listed>,
    audit: Vec<Line>,
}

/// A participant's part.
#[derive(Debug, Serialize)]
struct Branch {
    participant: String,
    /// Whether it is spoken to over HTTP.
    is_foreign: bool,
    state: &'static str,
    attempts: u32,
    last_error: Option<String>,
    changed_at: DateTime<Utc>,
    /// The latest calls, oldest first.
    calls: Vec<Call>,
}

#[derive(Debug, Serialize)]
struct Call {
    at: DateTime<Utc>,
    op: String,
    took_ms: u64,
    answer: String,
}

/// Why each act would be refused now; null where it may be done.
#[derive(Debug, Serialize)]
struct Refusals {
    rollback: Option<&'static str>,
    resume: Option<&'static str>,
    stop: Option<&'static str>,
}

/// What an act led to.
#[derive(Debug, Serialize)]
pub(crate) struct Acted {
    gid: Gid,
    state: &'static str,
}

/// Why a transaction is stopped.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stopping {
    reason: String,
}

/// The list: what needs a person first, then what is under way, then what has finished.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<TransactionQuery>,
) -> Result<Json<CursorPage<Row>>, Problem> {
    let bad = |cause: BadQuery| failure::invalid(cause.to_string());
    let filter = query.filter().map_err(bad)?;
    let (cursor, limit) = (query.cursor().map_err(bad)?, query.limit().map_err(bad)?);
    let page = control::list(&app.db, &filter, cursor.as_ref(), limit)
        .await
        .map_err(failure::database)?;
    Ok(Json(CursorPage {
        items: page
            .items
            .hidden(caller.sight())
            .into_iter()
            .map(Row::from)
            .collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// One of it.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(gid): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let detail = Detail::find(&app, Gid::from_uuid(gid), caller.sight())
        .await
        .map_err(failure::database)?
        .ok_or_else(not_found)?;
    let [rollback, resume, stop] = detail.refusals();
    Ok(Json(Whole {
        payload: detail.payload_json(),
        row: Row::from(detail.known.transaction),
        branches: detail
            .known
            .branches
            .into_iter()
            .map(Branch::from)
            .collect(),
        dead_letter: detail.dead_letter,
        refusals: Refusals {
            rollback,
            resume,
            stop,
        },
        alerts: detail.alerts,
        incidents: detail.incidents,
        audit: detail.audit,
    }))
}

type Accepted = (StatusCode, [(HeaderName, String); 1], Json<Acted>);

/// Has an undecided order given up. 202: the compensator does it, and the transaction tells how far it is.
pub(crate) async fn roll_back(
    State(app): State<App>,
    caller: May<RollBack>,
    Path(gid): Path<Uuid>,
) -> Result<Accepted, Problem> {
    let gid = Gid::from_uuid(gid);
    acts::roll_back(&app, &caller, gid).await.map_err(problem)?;
    let location = format!("/api/v1/transactions/{gid}");
    let acted = Acted {
        gid,
        state: "archiving",
    };
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(acted),
    ))
}

/// Lets a stuck one go on.
pub(crate) async fn resume(
    State(app): State<App>,
    caller: May<Resume>,
    Path(gid): Path<Uuid>,
) -> Result<Json<Acted>, Problem> {
    let gid = Gid::from_uuid(gid);
    let state = acts::resume(&app, &caller, gid).await.map_err(problem)?;
    Ok(Json(Acted {
        gid,
        state: state.as_str(),
    }))
}

/// Has nobody try any more to complete one that is decided.
pub(crate) async fn stop(
    State(app): State<App>,
    caller: May<Stop>,
    Path(gid): Path<Uuid>,
    Json(stopping): Json<Stopping>,
) -> Result<Json<Acted>, Problem> {
    let why = reason(Some(&stopping.reason))
        .map_err(failure::invalid)?
        .ok_or_else(|| failure::invalid("a reason is needed"))?;
    let gid = Gid::from_uuid(gid);
    let state = acts::stop(&app, &caller, gid, why).await.map_err(problem)?;
    Ok(Json(Acted {
        gid,
        state: state.as_str(),
    }))
}

fn not_found() -> Problem {
    failure::not_found("transaction")
}

fn problem(refused: ActError) -> Problem {
    match refused {
        ActError::NotFound => not_found(),
        ActError::Refused(code) => Problem::new(StatusCode::CONFLICT, code, shown::refusal(code)),
        ActError::Database(cause) => failure::database(cause),
    }
}

impl From<Listed> for Row {
    fn from(listed: Listed) -> Self {
        Self {
            direction: shown::direction(&listed),
            gid: listed.gid,
            kind: listed.kind,
            label: listed.label,
            state: listed.state.as_str(),
            epoch: listed.epoch,
            reason: listed.reason,
            attempts: listed.attempts,
            due_at: listed.due_at,
            last_error: listed.last_error,
            created_at: listed.created_at,
            finished_at: listed.finished_at,
            age_ms: listed.age_ms,
        }
    }
}

impl From<BranchDetails> for Branch {
    fn from(branch: BranchDetails) -> Self {
        Self {
            participant: branch.participant,
            is_foreign: branch.is_foreign,
            state: branch.state.as_str(),
            attempts: branch.attempts,
            last_error: branch.last_error,
            changed_at: branch.changed_at,
            calls: branch.history.into_iter().map(Call::from).collect(),
        }
    }
}

impl From<BranchAttempt> for Call {
    fn from(call: BranchAttempt) -> Self {
        Self {
            at: call.at,
            op: call.op,
            took_ms: call.took_ms,
            answer: call.answer,
        }
    }
}
