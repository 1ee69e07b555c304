//! The refusals of this API that more than one route gives. Every 503 asks to come back.

use axum::http::StatusCode;
use ordering::{OrderId, OrderStatus, SaleId};
use service_kit::problem::Problem;
use tracing::error;

/// 404 for a thing with an id.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is no such {what}"),
    )
}

/// 404 for a sale.
pub(crate) fn sale_not_found(sale: SaleId) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "sale_not_found",
        format!("there is no sale {sale}"),
    )
}

/// 422 for what can be read and is not what was asked for.
pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail.into())
}

/// 503: nothing was done, and a server this one needs is away.
pub(crate) fn unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "a server behind this one does not answer; nothing was done",
    )
}

/// 503: nothing was done, and the sale's stock is being rebuilt.
pub(crate) fn not_ready() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "the sale's stock is being rebuilt; it is open again in a moment",
    )
}

/// 503: nothing was done, and too much is under way.
pub(crate) fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "too many orders are under way",
    )
}

/// 503: the order may be confirmed yet; asking for it, or repeating the request with its key, tells.
pub(crate) fn outcome_unknown(order: OrderId) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "outcome_unknown",
        "what became of it is not known; look at the order before asking again",
    )
    .with("order_id", order.to_string())
    .with("status_url", crate::orders::status_url(order))
}

/// 409: the order is being settled; a moment later it can be said.
pub(crate) fn not_settled() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "not_settled",
        "the order is still being settled; ask again in a moment",
    )
}

/// 409: an order in this status is not given back.
pub(crate) fn not_cancellable(status: OrderStatus) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "not_cancellable",
        format!("an order that is {status} cannot be cancelled"),
    )
    .with("order_status", status.as_str())
}

/// 503 for a database that failed, its cause in the log.
pub(crate) fn database(cause: sqlx::Error) -> Problem {
    error!("MySQL failed: {:#}", anyhow::Error::new(cause));
    unavailable()
}
