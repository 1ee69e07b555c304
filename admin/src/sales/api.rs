//! `/api/v1/sales`.

use super::{
    acts::{self, ActError, Asked},
    list_query::{BadQuery, SaleQuery},
    redis_side::{self, RedisSide},
};
use crate::{
    App,
    access::{ChangeSale, Look, May},
    cursor::CursorPage,
    failure,
    replay::reason,
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use ordering::{
    SaleId,
    drift::{self, Drift},
    sales::{self, Change, SaleState, Standing},
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use uuid::Uuid;

/// A sale as MySQL has it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    id: Uuid,
    product_id: Uuid,
    product: String,
    price: i64,
    per_user_limit: u32,
    total: u32,
    available: u32,
    sold: u32,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    paused: bool,
    revision: i64,
    epoch: i64,
    /// Whether Redis was found to say something else, and not to agree since.
    drifts: bool,
    created_at: DateTime<Utc>,
}

/// The same, with Redis' side and what was found before.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    row: Row,
    redis: InRedis,
    /// The newest first, at most a hundred.
    drifts_found: Vec<Difference>,
}

/// What Redis says.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum InRedis {
    /// Its numbers.
    Known {
        epoch: i64,
        total: i64,
        available: i64,
        held: i64,
        sold: i64,
        owed: i64,
    },
    /// No order is taken until it is.
    BeingRebuilt,
    Missing,
    Away,
}

/// One time that the two differed.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    id: Uuid,
    units: i64,
    fenced: bool,
    found_at: DateTime<Utc>,
    over_at: Option<DateTime<Utc>>,
}

/// A change. What is left out stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaleChange {
    /// Units of the whole sale, those sold included: 1 to 2147483647.
    total: Option<u32>,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    paused: Option<bool>,
    /// Nothing is changed where the sale has another one by now.
    revision: Option<i64>,
    reason: String,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    revision: i64,
    /// Whether Redis has it; if not, the compensator brings it there.
    in_redis: bool,
}

/// The newest first.
pub(crate) async fn list(
    State(app): State<App>,
    _: May<Look>,
    Query(query): Query<SaleQuery>,
) -> Result<Json<CursorPage<Row>>, Problem> {
    let invalid = |cause: BadQuery| failure::invalid(cause.to_string());
    let filter = query.filter().map_err(invalid)?;
    let before = query.before().map_err(invalid)?;
    let limit = query.limit().map_err(invalid)?;
    let found = sales::page(&app.db, filter, before, limit + 1)
        .await
        .map_err(failure::database)?;
    let page = CursorPage::of(found, limit, |row| row.sale.id.to_string());
    Ok(Json(page.map(Row::from)))
}

/// One of them.
pub(crate) async fn get(
    State(app): State<App>,
    _: May<Look>,
    Path(sale): Path<SaleId>,
) -> Result<Json<Whole>, Problem> {
    let standing = sales::one(&app.db, sale)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("sale"))?;
    let drifts = drift::of_sale(&app.db, sale)
        .await
        .map_err(failure::database)?;
    Ok(Json(Whole {
        row: Row::from(standing),
        redis: redis_side::look(&app, sale).await.into(),
        drifts_found: drifts.into_iter().map(Difference::from).collect(),
    }))
}

/// Changes one.
pub(crate) async fn change(
    State(app): State<App>,
    caller: May<ChangeSale>,
    Path(sale): Path<SaleId>,
    Json(asked): Json<SaleChange>,
) -> Result<Json<Changed>, Problem> {
    let why = reason(Some(&asked.reason))
        .and_then(|why| why.ok_or("a reason is needed"))
        .map_err(failure::invalid)?;
    if asked
        .total
        .is_some_and(|it| !(1..=i32::MAX.unsigned_abs()).contains(&it))
    {
        return Err(failure::invalid("total is 1 to 2147483647"));
    }
    let change = Change {
        total: asked.total,
        starts_at: asked.starts_at,
        ends_at: asked.ends_at,
        state: asked.paused.map(|paused| {
            if paused {
                SaleState::Paused
            } else {
                SaleState::Open
            }
        }),
    };
    if change == Change::default() {
        return Err(failure::invalid(
            "at least one of total, starts_at, ends_at and paused must be there",
        ));
    }
    let asked = Asked {
        change,
        made_from: asked.revision,
        reason: why,
    };
    let done = acts::change(&app, &caller, sale, asked)
        .await
        .map_err(|cause| match cause {
            ActError::NotFound => failure::not_found("sale"),
            ActError::Refused(code, sentence) => Problem::new(StatusCode::CONFLICT, code, sentence),
            ActError::Database(cause) => failure::database(cause),
        })?;
    Ok(Json(Changed {
        revision: done.sale.revision,
        in_redis: done.in_redis,
    }))
}

impl From<Standing> for Row {
    fn from(standing: Standing) -> Self {
        let sale = standing.sale;
        Self {
            id: sale.id.as_uuid(),
            product_id: sale.product_id.as_uuid(),
            product: standing.product,
            price: sale.price,
            per_user_limit: sale.per_user_limit,
            total: sale.total,
            available: standing.available,
            sold: standing.sold,
            starts_at: sale.starts_at,
            ends_at: sale.ends_at,
            paused: sale.state == SaleState::Paused,
            revision: sale.revision,
            epoch: standing.epoch,
            drifts: standing.drifts,
            created_at: sale.created_at,
        }
    }
}

impl From<RedisSide> for InRedis {
    fn from(side: RedisSide) -> Self {
        match side {
            RedisSide::Levels(levels) => Self::Known {
                epoch: levels.epoch,
                total: levels.total,
                available: levels.available,
                held: levels.held,
                sold: levels.sold,
                owed: levels.owed,
            },
            RedisSide::BeingRebuilt => Self::BeingRebuilt,
            RedisSide::Missing => Self::Missing,
            RedisSide::Away => Self::Away,
        }
    }
}

impl From<Drift> for Difference {
    fn from(drift: Drift) -> Self {
        Self {
            id: drift.id,
            units: drift.units,
            fenced: drift.fenced,
            found_at: drift.found_at,
            over_at: drift.over_at,
        }
    }
}
