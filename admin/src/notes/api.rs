//! `/api/v1/archives/{id}/notes`.

use super::{text, write};
use crate::{
    App,
    access::{Look, May, WriteNote},
    failure,
    hiding::Hide as _,
};
use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use chrono::{DateTime, Utc};
use compensation::archive::{
    self,
    notes::{self, NotWritten, Note},
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// All notes of a row.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    /// Newest first.
    items: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: Uuid,
    written_by: String,
    written_at: DateTime<Utc>,
    text: String,
}

/// One that is to be written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNote {
    /// Of the note: a request that is sent again is the same one.
    id: Option<Uuid>,
    text: String,
}

/// It is there.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    id: Uuid,
}

/// All of them.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    archive::find(&app.db, id)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("archived order"))?;
    let found = notes::of(&app.db, id)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    let items = found.into_iter().map(Row::from).collect();
    Ok(Json(Whole { items }))
}

/// Writes one.
pub(crate) async fn create(
    State(app): State<App>,
    caller: May<WriteNote>,
    Path(archive_id): Path<Uuid>,
    Json(asked): Json<NewNote>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Written>), Problem> {
    let text = text(&asked.text).map_err(failure::invalid)?;
    let id = asked.id.unwrap_or_else(Uuid::now_v7);
    write(&app, &caller, archive_id, id, &text)
        .await
        .map_err(problem)?;
    let location = format!("/api/v1/archives/{archive_id}/notes");
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(Written { id }),
    ))
}

fn problem(refused: NotWritten) -> Problem {
    let detail = refused.to_string();
    match refused {
        NotWritten::NotFound => failure::not_found("archived order"),
        NotWritten::TooMany => Problem::new(StatusCode::CONFLICT, "too_many", detail),
        NotWritten::IdTaken => Problem::new(StatusCode::CONFLICT, "id_taken", detail),
        NotWritten::Database(cause) => failure::database(cause),
    }
}

impl From<Note> for Row {
    fn from(note: Note) -> Self {
        Self {
            id: note.id,
            written_by: note.written_by,
            written_at: note.written_at,
            text: note.text,
        }
    }
}
