//! `/sales/{sale}/orders` and `/orders`: asking for an order, and seeing what became of it.

mod processing;

use crate::{
    App, admission,
    admission::Wanted,
    api_docs::ProblemBody,
    buyer::Buyer,
    metrics,
    new_order::{self, NewOrder},
    paging::{Page, Paging},
    problems,
};
use axum::{
    extract::{FromRequest as _, Request, State},
    http::StatusCode,
};
use chrono::{DateTime, SecondsFormat, Utc};
use ordering::{
    OrderId, SaleId,
    cancel::{self, CancelError},
    orders,
};
use serde::{Serialize, Serializer};
use service_kit::problem::{Json, Path, Problem, Query};
use std::time::Instant;
use tracing::warn;
use utoipa::ToSchema;

/// Where an order can be looked at.
pub(crate) fn status_url(order: OrderId) -> String {
    format!("/api/v1/orders/{order}")
}

/// The answer to an order that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    #[schema(value_type = uuid::Uuid)]
    order_id: OrderId,
    /// Always `processing`: it is queued, not written.
    status: &'static str,
    status_url: String,
}

/// Reserves stock and queues the order. 202 means that it will be settled, not that it is confirmed.
#[utoipa::path(
    post, path = "/sales/{sale}/orders", tag = "orders", security(("token" = [])),
    params(
        ("sale" = uuid::Uuid, Path, description = "The sale"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters; a repeat with it gives the first answer for 24 h"),
    ),
    request_body = NewOrder,
    responses(
        (status = 202, description = "Accepted", body = Accepted),
        (status = 401, description = "`unauthorized`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`sale_not_open`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`sale_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`sold_out`, `insufficient_stock` (`available`), `already_ordered` (`order_id`), `limit_exceeded`, `in_progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`, `idempotency_conflict`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`not_ready`, `busy`, `outcome_unknown` (`order_id`), `unavailable`, all with Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn place_order(
    State(app): State<App>,
    buyer: Result<Buyer, Problem>,
    sale: Result<Path<SaleId>, Problem>,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let since = Instant::now();
    let answer = async { place(&app, buyer?, sale?.0, request).await }.await;
    metrics::answered(since, &answer);
    let order_id = answer?;
    Ok((
        StatusCode::ACCEPTED,
        Json(Accepted {
            order_id,
            status: "processing",
            status_url: status_url(order_id),
        }),
    ))
}

async fn place(
    app: &App,
    buyer: Buyer,
    sale: SaleId,
    request: Request,
) -> Result<OrderId, Problem> {
    let cached = app.sales.get(sale).await?;
    let headers = request.headers().clone();
    let Json(order) = Json::<NewOrder>::from_request(request, app).await?;
    let idempotency = new_order::idempotency(&headers, &order)?;
    let sale = cached.sale();
    // With a key the order may exist already, whatever became of the sale: Redis looks for it first.
    if idempotency.is_none() {
        if !sale.is_open_at(Utc::now()) {
            return Err(admission::sale_not_open());
        }
        if cached.sold_out.is_known() {
            return Err(admission::sold_out());
        }
    }
    let wanted = Wanted {
        user: buyer.id,
        sale,
        cached,
        quantity: order.quantity,
        remark: order.remark.map(new_order::Remark::into_text),
        idempotency,
        trace: new_order::trace(&headers),
    };
    app.admission.admit(wanted).await
}

/// An order as its buyer sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderView {
    #[schema(value_type = uuid::Uuid)]
    id: OrderId,
    #[schema(value_type = uuid::Uuid)]
    sale_id: SaleId,
    quantity: u32,
    /// `processing` until it is settled; then `confirmed`, `rejected`, `failed` and what follows.
    status: &'static str,
    /// Why it was rejected; `unpaid` where it was cancelled because nobody paid in time.
    reason: Option<String>,
    #[schema(value_type = DateTime<Utc>)]
    #[serde(serialize_with = "milliseconds")]
    created_at: DateTime<Utc>,
}

impl From<orders::Order> for OrderView {
    fn from(order: orders::Order) -> Self {
        let orders::Order {
            id,
            sale_id,
            quantity,
            status,
            reason,
            created_at,
            ..
        } = order;
        Self {
            id,
            sale_id,
            quantity,
            status: status.as_str(),
            reason,
            created_at,
        }
    }
}

/// RFC 3339 in UTC, as precise as it is stored.
pub(crate) fn milliseconds<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// One order of one's own; before it is written, from its reservation.
#[utoipa::path(
    get, path = "/orders/{order}", tag = "orders", security(("token" = [])),
    params(("order" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 404, description = "`not_found`, also for the orders of others", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`not_ready`: its sale is being rebuilt, it may exist", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_order(
    State(app): State<App>,
    buyer: Buyer,
    Path(order): Path<OrderId>,
) -> Result<Json<OrderView>, Problem> {
    if let Some(written) = written(&app, buyer, order).await? {
        return Ok(Json(written));
    }
    if let Some(processing) = processing::find(&app, buyer, order).await? {
        return Ok(Json(processing));
    }
    // It may have been written, and its reservation settled, between the two looks.
    written(&app, buyer, order)
        .await?
        .map(Json)
        .ok_or_else(|| problems::not_found("order"))
}

async fn written(app: &App, buyer: Buyer, order: OrderId) -> Result<Option<OrderView>, Problem> {
    let found = orders::find(&app.db, buyer.id, order)
        .await
        .map_err(problems::database)?;
    Ok(found.map(OrderView::from))
}

/// One's own orders that are written, newest first.
#[utoipa::path(
    get, path = "/orders", tag = "orders", security(("token" = [])), params(Paging),
    responses((status = 200, description = "One page", body = Page<OrderView>)),
)]
pub(crate) async fn list_orders(
    State(app): State<App>,
    buyer: Buyer,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<OrderView>>, Problem> {
    let page = paging.checked()?;
    let (orders, total) = orders::list_of_user(&app.db, buyer.id, page)
        .await
        .map_err(problems::database)?;
    Ok(Json(Page::of(page, orders, total)))
}

/// Gives a confirmed order back before it is paid for; its units can be bought again. Asked again, the same answer.
#[utoipa::path(
    post, path = "/orders/{order}/cancel", tag = "orders", security(("token" = [])),
    params(("order" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The order, cancelled", body = OrderView),
        (status = 404, description = "`not_found`, also for the orders of others", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_settled`: ask again in a moment; `not_cancellable` (`order_status`)", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`outcome_unknown`, `unavailable`, `not_ready`, with Retry-After: asking again gives the one answer", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn cancel_order(
    State(app): State<App>,
    buyer: Buyer,
    Path(order): Path<OrderId>,
) -> Result<Json<OrderView>, Problem> {
    match cancel::cancel(&app.db, &app.engine, buyer.id, order).await {
        Ok(cancelled) => Ok(Json(cancelled.into())),
        Err(CancelError::NotSettled) => Err(problems::not_settled()),
        Err(CancelError::NotCancellable(status)) => Err(problems::not_cancellable(status)),
        Err(CancelError::Unavailable(cause)) => {
            warn!(order.id = %order, "Order {order} could not be cancelled now: {cause}");
            Err(problems::outcome_unknown(order))
        }
        Err(CancelError::Database(cause)) => Err(problems::database(cause)),
        // Accepted, and not written yet?
        Err(CancelError::NotFound) => match processing::find(&app, buyer, order).await? {
            Some(_) => Err(problems::not_settled()),
            None => Err(problems::not_found("order")),
        },
    }
}
