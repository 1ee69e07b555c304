//! `/sales/{sale}/stock`: the live numbers, one uncached read of the sale's hash.

use crate::{App, api_docs::ProblemBody, problems};
use axum::extract::State;
use ordering::SaleId;
use serde::Serialize;
use service_kit::problem::{Json, Path, Problem};
use utoipa::ToSchema;

/// Units of a sale at one instant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StockView {
    total: i64,
    /// Can be ordered now.
    available: i64,
    /// Ordered and not settled.
    held: i64,
    /// Confirmed.
    sold: i64,
}

/// The live stock of a sale.
#[utoipa::path(
    get, path = "/sales/{sale}/stock", tag = "sales",
    params(("sale" = uuid::Uuid, Path, description = "The sale")),
    responses(
        (status = 200, description = "Its stock", body = StockView),
        (status = 404, description = "`sale_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`not_ready`: it is being rebuilt", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_stock(
    State(app): State<App>,
    Path(sale): Path<SaleId>,
) -> Result<Json<StockView>, Problem> {
    app.sales.get(sale).await?;
    match app.admission.stock.levels(sale).await {
        Ok(Some(levels)) => {
            let (total, available, held, sold) =
                (levels.total, levels.available, levels.held, levels.sold);
            Ok(Json(StockView {
                total,
                available,
                held,
                sold,
            }))
        }
        // A sale that MySQL has and Redis has not waits for its rebuild.
        Ok(None) | Err(_) => Err(problems::not_ready()),
    }
}
