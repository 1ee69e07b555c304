//! `GET /api/v1/reports/weekly`.

use super::{Found, WeekQuery, find};
use crate::{
    App,
    access::{Look, May},
    failure,
    hiding::Hide as _,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use compensation::report::{Figures, Stored};
use serde::Serialize;
use service_kit::problem::{Json, Problem, Query};

/// A week, and what it is compared with.
#[derive(Debug, Serialize)]
pub(crate) struct WeeklyReport {
    #[serde(flatten)]
    week: OneWeek,
    /// The week before; null where it was not stored.
    before: Option<OneWeek>,
    /// Weeks that are stored, the newest first, 26 at most.
    weeks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct OneWeek {
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    /// When it was counted; what was open is of then.
    made_at: DateTime<Utc>,
    #[serde(flatten)]
    figures: Figures,
}

/// The report of `?week=`, or the last one.
pub(crate) async fn weekly(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<WeekQuery>,
) -> Result<Json<WeeklyReport>, Problem> {
    let week = query.week().map_err(failure::invalid)?;
    let found = find(&app.db, week)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    let Found {
        stored,
        before,
        weeks,
    } = found.ok_or_else(|| failure::not_found("weekly report"))?;
    Ok(Json(WeeklyReport {
        week: OneWeek::from(stored),
        before: before.map(OneWeek::from),
        weeks: weeks.iter().map(ToString::to_string).collect(),
    }))
}

impl From<Stored> for OneWeek {
    fn from(Stored { figures, made_at }: Stored) -> Self {
        Self {
            starts_at: figures.week.starts_at(),
            ends_at: figures.week.ends_at(),
            made_at,
            figures,
        }
    }
}
