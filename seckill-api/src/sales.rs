//! `/sales`: flash sales. Everyone reads them, staff makes and changes them.

pub(crate) mod change;

use crate::{
    App,
    api_docs::ProblemBody,
    buyer::Staff,
    created::Created,
    orders::milliseconds,
    paging::{Page, Paging},
    problems,
};
use axum::extract::State;
use chrono::{DateTime, SubsecRound as _, Utc};
use ordering::{
    ProductId, SaleId, products,
    sales::{self, Filter, Sale},
    stock::Create,
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};

/// A sale to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSale {
    #[schema(value_type = uuid::Uuid)]
    product_id: ProductId,
    /// Of one unit, in minor units.
    #[schema(minimum = 0)]
    price: i64,
    /// Units sold at most.
    #[schema(minimum = 1, maximum = 2_147_483_647_u32)]
    total: u32,
    /// Units one buyer may have.
    #[schema(minimum = 1, maximum = 2_147_483_647_u32)]
    per_user_limit: u32,
    /// May lie in the past.
    starts_at: DateTime<Utc>,
    /// After `starts_at`; may lie in the past.
    ends_at: DateTime<Utc>,
}

impl NewSale {
    fn checked(self) -> Result<sales::NewSale, Problem> {
        let Self {
            product_id,
            price,
            total,
            per_user_limit,
            starts_at,
            ends_at,
        } = self;
        if price < 0 {
            return Err(problems::invalid("price must not be negative"));
        }
        let (starts_at, ends_at) = (time(starts_at)?, time(ends_at)?);
        if starts_at >= ends_at {
            return Err(no_window());
        }
        let (total, per_user_limit) = (
            units("total", total)?,
            units("per_user_limit", per_user_limit)?,
        );
        Ok(sales::NewSale {
            product_id,
            price,
            total,
            per_user_limit,
            starts_at,
            ends_at,
        })
    }
}

/// What both servers store and Redis' clock can be compared with.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9998;

fn units(name: &str, units: u32) -> Result<u32, Problem> {
    match i32::try_from(units) {
        Ok(1..) => Ok(units),
        _ => Err(problems::invalid(format!(
            "{name} must be between 1 and {}",
            i32::MAX
        ))),
    }
}

/// Stored in milliseconds: cut here, for one server would round.
fn time(time: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    if YEARS.contains(&chrono::Datelike::year(&time)) {
        Ok(time.trunc_subsecs(3))
    } else {
        Err(problems::invalid(format!(
            "times must lie in the years {} to {}",
            YEARS.start(),
            YEARS.end()
        )))
    }
}

fn no_window() -> Problem {
    problems::invalid("ends_at must be after starts_at")
}

/// A sale.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SaleView {
    #[schema(value_type = uuid::Uuid)]
    id: SaleId,
    #[schema(value_type = uuid::Uuid)]
    product_id: ProductId,
    /// Of one unit, in minor units.
    price: i64,
    total: u32,
    per_user_limit: u32,
    #[schema(value_type = DateTime<Utc>)]
    #[serde(serialize_with = "milliseconds")]
    starts_at: DateTime<Utc>,
    #[schema(value_type = DateTime<Utc>)]
    #[serde(serialize_with = "milliseconds")]
    ends_at: DateTime<Utc>,
    /// `open` or `paused`.
    state: &'static str,
}

impl From<Sale> for SaleView {
    fn from(sale: Sale) -> Self {
        Self::from(&sale)
    }
}

impl From<&Sale> for SaleView {
    fn from(sale: &Sale) -> Self {
        Self {
            id: sale.id,
            product_id: sale.product_id,
            price: sale.price,
            total: sale.total,
            per_user_limit: sale.per_user_limit,
            starts_at: sale.starts_at,
            ends_at: sale.ends_at,
            state: sale.state.as_str(),
        }
    }
}

/// Makes a sale. It is in Redis before this answers: orders may follow at once, at every instance.
#[utoipa::path(
    post, path = "/sales", tag = "sales", security(("token" = [])), request_body = NewSale,
    responses(
        (status = 201, description = "Made", body = SaleView, headers(("Location" = String))),
        (status = 403, description = "`forbidden`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`not_ready` (`sale_id`): made, and open once Redis is back", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_sale(
    State(app): State<App>,
    _: Staff,
    Json(sale): Json<NewSale>,
) -> Result<Created<SaleView>, Problem> {
    let sale = sale.checked()?;
    if products::get(&app.db, sale.product_id)
        .await
        .map_err(problems::database)?
        .is_none()
    {
        return Err(problems::invalid(format!(
            "there is no product {}",
            sale.product_id
        )));
    }
    let sale = sales::create(&app.db, sale)
        .await
        .map_err(problems::database)?;
    let terms = sale.terms(app.held_max);
    if let Err(cause) = app.admission.stock.set(&terms, Create::Yes).await {
        warn!(sale.id = %sale.id, "Sale {} is not in Redis yet: {:#}", sale.id, anyhow::Error::new(cause));
        return Err(problems::not_ready().with("sale_id", sale.id.to_string()));
    }
    Ok(Created::at(
        format!("/api/v1/sales/{}", sale.id),
        sale.into(),
    ))
}

/// Which sales, and which page of them.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `live`, `upcoming` or `ended`; all without it.
    #[param(inline)]
    status: Option<Status>,
    /// From 1.
    #[param(minimum = 1, default = 1)]
    page: Option<u32>,
    /// 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    per_page: Option<u32>,
}

/// Where a sale stands in its window, by the database's clock.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Live,
    Upcoming,
    Ended,
}

/// Sales, newest first.
#[utoipa::path(
    get, path = "/sales", tag = "sales", params(Wanted),
    responses((status = 200, description = "One page", body = Page<SaleView>)),
)]
pub(crate) async fn list_sales(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<SaleView>>, Problem> {
    let page = Paging::new(wanted.page, wanted.per_page).checked()?;
    let filter = match wanted.status {
        None => Filter::All,
        Some(Status::Live) => Filter::Live,
        Some(Status::Upcoming) => Filter::Upcoming,
        Some(Status::Ended) => Filter::Ended,
    };
    let (sales, total) = sales::list(&app.db, filter, page)
        .await
        .map_err(problems::database)?;
    Ok(Json(Page::of(page, sales, total)))
}

/// One sale.
#[utoipa::path(
    get, path = "/sales/{sale}", tag = "sales",
    params(("sale" = uuid::Uuid, Path, description = "The sale")),
    responses(
        (status = 200, description = "The sale", body = SaleView),
        (status = 404, description = "`sale_not_found`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_sale(
    State(app): State<App>,
    Path(sale): Path<SaleId>,
) -> Result<Json<SaleView>, Problem> {
    let sale = app.sales.get(sale).await?.sale();
    Ok(Json(SaleView::from(&*sale)))
}
