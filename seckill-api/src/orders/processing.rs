//! Finds an order that has no row yet by its reservation. The order's id carries its sale's tag; the few sales with that tag are
//! asked, and what belongs to someone else is not there.

use super::OrderView;
use crate::{App, buyer::Buyer, problems};
use ordering::{
    OrderId, SaleId,
    message::OrderMessage,
    sales,
    stock::{Reservation, ReservationState},
};
use service_kit::problem::Problem;

/// The order while it is reserved and not settled.
///
/// # Errors
/// 503 `not_ready` when it is not found and a sale it may belong to cannot tell.
pub(super) async fn find(
    app: &App,
    buyer: Buyer,
    order: OrderId,
) -> Result<Option<OrderView>, Problem> {
    let mut silent = false;
    for sale in sales::by_tag(&app.db, order.sale_tag())
        .await
        .map_err(problems::database)?
    {
        match app
            .admission
            .stock
            .reservation(sale, order.first_gid())
            .await
        {
            Ok(Some(reservation)) if reservation.user == buyer.id => {
                return Ok(view(order, sale, &reservation));
            }
            Ok(_) => {}
            Err(_) => silent = true,
        }
    }
    if silent {
        Err(problems::not_ready())
    } else {
        Ok(None)
    }
}

/// Nothing when it is settled: then it is written, or was withdrawn and never accepted.
fn view(order: OrderId, sale: SaleId, reservation: &Reservation) -> Option<OrderView> {
    if !matches!(
        reservation.state,
        ReservationState::Reserved | ReservationState::Prepared
    ) {
        return None;
    }
    let message = OrderMessage::parse(reservation.message.as_deref()?).ok()?;
    Some(OrderView {
        id: order,
        sale_id: sale,
        quantity: reservation.units,
        status: "processing",
        reason: None,
        created_at: message.created_at,
    })
}
