//! `POST /archives/{id}/notes`: the form under the notes.

use super::{text, write};
use crate::{
    App,
    access::{May, WriteNote},
    archives::detail_page,
    failure::{ErrorPage, Failure},
    view::{Moment, Notice},
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use compensation::archive::notes::{NotWritten, Note};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct Typed {
    id: Uuid,
    #[serde(default)]
    text: String,
}

/// A note on the page.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    by: String,
    at: Moment,
    text: String,
}

/// Writes it and leads back to the order.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<WriteNote>,
    Path(archive_id): Path<Uuid>,
    Form(typed): Form<Typed>,
) -> Result<Response, Failure> {
    let (status, why) = match text(&typed.text) {
        Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
        Ok(text) => match write(&app, &caller, archive_id, typed.id, &text).await {
            Ok(()) => {
                let order = format!("/archives/{archive_id}#notes");
                return Ok(Redirect::to(&order).into_response());
            }
            Err(NotWritten::NotFound) => {
                return Err(ErrorPage::not_found("archived order").into());
            }
            Err(NotWritten::Database(cause)) => return Err(cause.into()),
            Err(refused) => (StatusCode::CONFLICT, refused.to_string()),
        },
    };
    let notice = Notice::bad(format!("Nothing was written: {why}."));
    let page = detail_page::with_notice(&app, &caller, archive_id, None, Some(notice)).await?;
    Ok((status, page).into_response())
}

impl From<Note> for Row {
    fn from(note: Note) -> Self {
        Self {
            by: note.written_by,
            at: Moment::of(note.written_at),
            text: note.text,
        }
    }
}
