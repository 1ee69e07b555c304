//! Editing an archived order's message, and all that was made of it side by side.
//!
//! What may be changed is `ordering::edit`'s to say, for a page and for a program alike; who may is here. Every version is kept, so saving
//! overwrites nothing: what two people save at once is refused to the second, who is told who and when.

mod acts;
pub(crate) mod api;
pub(crate) mod edit_page;
pub(crate) mod forms;
mod side_by_side;

pub(crate) use acts::{EditError, NewEdit, edit};

use crate::{App, replay::Looked};
use compensation::archive::{
    Archived,
    versions::{self, Version},
};
use ordering::message::OrderMessage;

/// All versions of an order's message; where nobody has edited it, the one it came as. None where that is no order, or cannot be read.
///
/// # Errors
/// What MySQL says.
async fn of(app: &App, archived: &Archived, looked: &Looked) -> sqlx::Result<Vec<Version>> {
    let found = versions::all(&app.db, archived.id).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let message = looked.message.as_ref().ok();
    let message = message.filter(|message| OrderMessage::parse(&message.payload).is_ok());
    Ok(message
        .map(|message| Version {
            number: 0,
            made_from: None,
            payload: message.payload.clone(),
            made_by: None,
            made_at: archived.archived_at,
            reason: None,
        })
        .into_iter()
        .collect())
}

/// Why nobody can edit it now.
fn refusal(archived: &Archived, looked: &Looked) -> Option<&'static str> {
    if archived.order_id.is_none() {
        Some("not_an_order")
    } else if archived.operation_id.is_some() {
        Some("replaying")
    } else if archived.handled {
        Some("already_resolved")
    } else if archived.held {
        Some("held_as_it_is")
    } else if archived.version == 0 && looked.order().is_none() {
        Some("message_unreadable")
    } else {
        None
    }
}
