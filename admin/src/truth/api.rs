//! `GET /api/v1/archives/{id}/truth` and `POST /api/v1/archives/{id}/reconcile`.

use super::{Seen, asking::ask, words};
use crate::{
    App,
    access::{Look, May, Reconcile},
    failure,
    hiding::Hide as _,
    replay::{
        ReplayError,
        api::{Accepted, taken},
        reason,
    },
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, SecondsFormat, Utc};
use compensation::{
    archive,
    personal::{self, Sight},
};
use coordinator::Gid;
use ordering::truth::{Known, Mend, Truth, Unknown, Wrong};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// What each place says, and what that means.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    /// `consistent`, `on_its_way`, `unknown`, or the code of what is wrong first.
    verdict: &'static str,
    sentences: Vec<String>,
    wrong: Vec<WrongRow>,
    /// Why Redis' part is null: `away`, `being_rebuilt`, `not_asked`.
    unknown: Option<&'static str>,
    /// Whether decisions of the sale are on their way, so that its numbers cannot be compared now.
    sale_is_busy: bool,
    order: Option<OrderRow>,
    transactions: Vec<Transaction>,
    sale: Sale,
    buyer: Buyer,
    /// Why a reconcile would be refused now; null when it may be asked for.
    reconcile_refusal: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct WrongRow {
    code: &'static str,
    sentence: String,
    /// What a reconcile does about it; null where only a person can.
    mend: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct OrderRow {
    gid: Gid,
    generation: u32,
    status: &'static str,
    reason: Option<String>,
    quantity: u32,
    decided_at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
struct Transaction {
    gid: Gid,
    /// Null: it was never decided, or retention removed it.
    state: Option<&'static str>,
    attempts: Option<u32>,
    last_error: Option<String>,
    branches: Vec<Branch>,
    /// Null where there is none, or it is not known.
    reservation: Option<Reservation>,
}

#[derive(Debug, Serialize)]
struct Branch {
    participant: String,
    state: String,
    attempts: u32,
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Reservation {
    state: &'static str,
    units: u32,
}

#[derive(Debug, Serialize)]
struct Sale {
    id: Uuid,
    mysql: Option<Inventory>,
    redis: Option<Stock>,
}

#[derive(Debug, Serialize)]
struct Inventory {
    total: i64,
    available: i64,
    sold: i64,
    epoch: i64,
}

#[derive(Debug, Serialize)]
struct Stock {
    total: i64,
    available: i64,
    held: i64,
    sold: i64,
    owed: i64,
    epoch: i64,
}

#[derive(Debug, Serialize)]
struct Buyer {
    /// Its end only, for whom nothing personal is shown.
    id: String,
    /// Units the buyer is counted as having.
    mysql: i64,
    /// Units of the buyer's orders that stand.
    ordered: i64,
    /// With those that are only held; null where that is not known.
    redis: Option<i64>,
}

/// The body of a request for a reconcile.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    reason: Option<String>,
}

/// What is true of an archived order.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let archived = archive::find(&app.db, id)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("archived order"))?;
    let seen = Seen::of(&app, &archived)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("archived order"))?;
    Ok(Json(Whole::of(&seen, caller.sight())))
}

/// Asks for a reconcile.
pub(crate) async fn reconcile(
    State(app): State<App>,
    caller: May<Reconcile>,
    Path(order): Path<Uuid>,
    Json(asked): Json<Asked>,
) -> Result<Accepted, Problem> {
    let why = reason(asked.reason.as_deref()).map_err(failure::invalid)?;
    let operation = ask(&app, &caller, order, why).await.map_err(problem)?;
    Ok(taken(operation))
}

fn problem(refused: ReplayError) -> Problem {
    let (code, detail) = (refused.code(), refused.to_string());
    match refused {
        ReplayError::NotFound => failure::not_found("archived order"),
        ReplayError::InHand {
            operation_id,
            by,
            since,
            ..
        } => Problem::new(StatusCode::CONFLICT, code, detail)
            .with("operation_id", operation_id.to_string())
            .with("by", by)
            .with("since", since.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ReplayError::Refused(_) => Problem::new(StatusCode::CONFLICT, code, words::refusal(code)),
        ReplayError::Database(cause) => failure::database(cause),
    }
}

impl Whole {
    fn of(seen: &Seen, sight: Sight) -> Self {
        let (truth, verdict) = (&seen.truth, &seen.verdict);
        let redis = truth.redis.as_ref().ok();
        Self {
            verdict: verdict.as_str(),
            sentences: words::sentences(verdict),
            wrong: verdict.wrong.iter().map(WrongRow::of).collect(),
            unknown: verdict.unknown.map(Unknown::as_str),
            sale_is_busy: verdict.sale_is_busy,
            order: truth.order.as_ref().map(|order| OrderRow {
                gid: order.gid,
                generation: order.generation,
                status: order.status.as_str(),
                reason: order.reason.clone(),
                quantity: order.units,
                decided_at: order.decided_at,
            }),
            transactions: truth
                .transactions
                .iter()
                .map(|known| Transaction::of(known, truth, sight))
                .collect(),
            sale: Sale {
                id: truth.asked.sale.as_uuid(),
                mysql: truth.sale.map(|row| Inventory {
                    total: row.total,
                    available: row.available,
                    sold: row.sold,
                    epoch: row.epoch,
                }),
                redis: redis.map(|redis| Stock {
                    total: redis.numbers.total,
                    available: redis.numbers.available,
                    held: redis.numbers.held,
                    sold: redis.numbers.sold,
                    owed: redis.numbers.owed,
                    epoch: redis.epoch,
                }),
            },
            buyer: Buyer {
                id: personal::user(truth.asked.user.as_uuid(), sight),
                mysql: truth.buyer.units,
                ordered: truth.buyer.ordered,
                redis: redis.map(|redis| redis.units),
            },
            reconcile_refusal: seen.refusal(),
        }
    }
}

impl WrongRow {
    fn of(wrong: &Wrong) -> Self {
        Self {
            code: wrong.as_str(),
            sentence: words::wrong(wrong),
            mend: wrong.mend().map(Mend::as_str),
        }
    }
}

impl Transaction {
    fn of(known: &Known, truth: &Truth, sight: Sight) -> Self {
        let listed = known.details.as_ref().map(|details| &details.transaction);
        let reservations = truth.redis.as_ref().ok().map(|redis| &redis.reservations);
        Self {
            gid: known.gid,
            state: known.state().map(coordinator::TxState::as_str),
            attempts: listed.map(|listed| listed.attempts),
            last_error: listed
                .and_then(|listed| listed.last_error.clone())
                .hidden(sight),
            branches: known
                .details
                .iter()
                .flat_map(|details| &details.branches)
                .map(|branch| Branch {
                    participant: branch.participant.clone(),
                    state: branch.state.to_string(),
                    attempts: branch.attempts,
                    last_error: branch.last_error.clone().hidden(sight),
                })
                .collect(),
            reservation: reservations
                .and_then(|known_ones| known_ones.get(&known.gid))
                .map(|found| Reservation {
                    state: found.state.as_str(),
                    units: found.units,
                }),
        }
    }
}
