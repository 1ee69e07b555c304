//! The frame every page of a logged-in operator has.

use crate::{App, access::Caller, view::Layout};
use compensation::alerts::outbox;

/// The frame, with the number of alerts nobody got.
///
/// # Errors
/// What the database says.
pub(crate) async fn layout(
    app: &App,
    caller: &Caller,
    room: &'static str,
    title: impl Into<String>,
) -> sqlx::Result<Layout> {
    let alerts = outbox::counts(&app.db).await?;
    Ok(Layout::new(caller, room, title).undelivered(alerts.undelivered))
}
