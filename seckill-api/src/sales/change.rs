//! `PATCH /sales/{sale}`: restock, other times, pause.

use super::{SaleView, no_window, time, units};
use crate::{App, api_docs::ProblemBody, buyer::Staff, problems};
use axum::{
    extract::{FromRequest as _, Request, State},
    http::StatusCode,
};
use chrono::{DateTime, Utc};
use ordering::{
    SaleId,
    sales::{self, Change, ChangeError, Sale, SaleState},
    stock::Create,
};
use serde::{Deserialize, Deserializer};
use service_kit::problem::{Json, Path, Problem};
use tracing::warn;
use utoipa::ToSchema;

/// What is to be changed, at least one of it; the rest stays as it is.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SaleChange {
    /// Units of the whole sale, those sold included. More of them can be bought at once.
    #[schema(nullable = false, minimum = 1, maximum = 2_147_483_647_u32)]
    #[serde(deserialize_with = "present")]
    total: Option<u32>,
    /// May lie in the past.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "present")]
    starts_at: Option<DateTime<Utc>>,
    /// After `starts_at`; may lie in the past.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "present")]
    ends_at: Option<DateTime<Utc>>,
    /// Whether it takes no orders for now.
    #[schema(nullable = false)]
    #[serde(deserialize_with = "present")]
    paused: Option<bool>,
}

/// A member that is there has a value: `null` would be no change, and is refused.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl SaleChange {
    fn checked(self) -> Result<Change, Problem> {
        if self == Self::default() {
            return Err(problems::invalid(
                "at least one of total, starts_at, ends_at and paused must be there",
            ));
        }
        Ok(Change {
            total: self.total.map(|total| units("total", total)).transpose()?,
            starts_at: self.starts_at.map(time).transpose()?,
            ends_at: self.ends_at.map(time).transpose()?,
            state: self.paused.map(|paused| {
                if paused {
                    SaleState::Paused
                } else {
                    SaleState::Open
                }
            }),
        })
    }
}

/// Changes a sale. Units more can be bought at once; a pause holds everywhere at once, its end within a second.
#[utoipa::path(
    patch, path = "/sales/{sale}", tag = "sales", security(("token" = [])),
    params(("sale" = uuid::Uuid, Path, description = "The sale")),
    request_body = SaleChange,
    responses(
        (status = 200, description = "The sale as it is now", body = SaleView),
        (status = 401, description = "`unauthorized`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`sale_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`below_sold` (`sold`): more units are sold than it would have", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, with Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn change_sale(
    State(app): State<App>,
    _: Staff,
    Path(sale): Path<SaleId>,
    request: Request,
) -> Result<Json<SaleView>, Problem> {
    app.sales.get(sale).await?;
    let Json(change) = Json::<SaleChange>::from_request(request, &app).await?;
    let (changed, epoch) = sales::change(&app.db, sale, &change.checked()?)
        .await
        .map_err(|refusal| refused(sale, refusal))?;
    tell_redis(&app, &changed, epoch).await;
    let view = SaleView::from(&changed);
    app.sales.changed(changed);
    Ok(Json(view))
}

/// What Redis does not take now the compensator brings there: the change stands.
async fn tell_redis(app: &App, sale: &Sale, epoch: i64) {
    let terms = sale.terms_at(epoch, app.held_max);
    if let Err(cause) = app.admission.stock.set(&terms, Create::No).await {
        warn!(sale.id = %sale.id, "The change of sale {} is not in Redis yet: {:#}", sale.id, anyhow::Error::new(cause));
    }
}

fn refused(sale: SaleId, refusal: ChangeError) -> Problem {
    match refusal {
        ChangeError::NotFound => problems::sale_not_found(sale),
        ChangeError::NoWindow => no_window(),
        ChangeError::BelowSold { sold } => Problem::new(
            StatusCode::CONFLICT,
            "below_sold",
            format!("{sold} units are sold; total cannot be less"),
        )
        .with("sold", sold),
        ChangeError::Mysql(cause) => problems::database(cause),
    }
}
