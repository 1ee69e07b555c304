//! `/api/v1/archives/{id}/versions`.

use super::{EditError, NewEdit, edit, of, refusal, side_by_side::changes};
use crate::{
    App,
    access::{EditOrder, Look, May},
    archives::raw,
    discard, failure,
    hiding::Hide as _,
    replay::{Looked, api::problem},
};
use axum::{
    extract::{OriginalUri, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use compensation::{
    archive::{self, versions::Version},
    personal::Sight,
};
use ordering::edit::FIELDS;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// All versions of a message, and what may be changed.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    /// The number of the newest one: whoever edits says which one that was.
    revision: u32,
    /// Why nobody can edit it now; null where one may.
    edit_refusal: Option<&'static str>,
    fields: Vec<FieldRow>,
    versions: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct FieldRow {
    name: &'static str,
    /// `free`, `sensitive`, `locked`.
    rule: &'static str,
    about: &'static str,
}

#[derive(Debug, Serialize)]
struct Row {
    version: u32,
    made_from: Option<u32>,
    /// Null: it came so.
    made_by: Option<String>,
    made_at: DateTime<Utc>,
    reason: Option<String>,
    changed: Vec<&'static str>,
    payload: Box<RawValue>,
}

/// A version that is to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRow {
    revision: u32,
    /// The version it is made from; the newest one when it is not said.
    from: Option<u32>,
    reason: Option<String>,
    fields: Map<String, Value>,
}

/// It is there.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    version: u32,
}

/// All of them.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let archived = archive::find(&app.db, id)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("archived order"))?;
    let looked = Looked::at(&app, &archived, None)
        .await
        .map_err(failure::database)?;
    let versions = of(&app, &archived, &looked)
        .await
        .map_err(failure::database)?;
    Ok(Json(Whole {
        revision: archived.version,
        edit_refusal: refusal(&archived, &looked),
        fields: FIELDS
            .map(|field| FieldRow {
                name: field.name,
                rule: field.rule.as_str(),
                about: field.about,
            })
            .into(),
        versions: versions
            .iter()
            .map(|version| Row::of(&versions, version, archived.user_id, caller.sight()))
            .collect(),
    }))
}

/// Makes one.
pub(crate) async fn create(
    State(app): State<App>,
    caller: May<EditOrder>,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<Uuid>,
    Json(asked): Json<NewRow>,
) -> Response {
    let reason = match discard::reason(asked.reason.as_deref()) {
        Ok(reason) => reason,
        Err(why) => {
            return failure::invalid(why)
                .with("errors", one_error("reason", why))
                .into_response();
        }
    };
    let new = NewEdit {
        revision: asked.revision,
        from: asked.from.unwrap_or(asked.revision),
        changes: asked.fields,
        reason,
    };
    match edit(&app, &caller, &uri, id, &new).await {
        Ok(version) => created(id, version).into_response(),
        Err(EditError::Denied(refusal)) => refusal.into_response(),
        Err(EditError::NotNow(refused)) => problem(refused).into_response(),
        Err(EditError::Bad(bad)) => {
            let errors: Map<String, Value> = bad
                .into_iter()
                .map(|bad| (bad.field, Value::String(bad.why)))
                .collect();
            failure::invalid("some fields are not taken: errors says which, and why")
                .with("errors", errors)
                .into_response()
        }
        Err(EditError::Newer { number, by, at }) => {
            let detail = EditError::meanwhile(number, &by, at);
            Problem::new(StatusCode::CONFLICT, "edited_meanwhile", detail)
                .with("version", number)
                .with("by", by)
                .with("since", at.to_rfc3339_opts(SecondsFormat::Millis, true))
                .into_response()
        }
    }
}

fn one_error(field: &str, why: &str) -> Map<String, Value> {
    [(field.to_owned(), Value::String(why.to_owned()))]
        .into_iter()
        .collect()
}

fn created(id: Uuid, version: u32) -> (StatusCode, [(HeaderName, String); 1], Json<Made>) {
    let location = format!("/api/v1/archives/{id}/versions");
    (
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(Made { version }),
    )
}

impl Row {
    fn of(versions: &[Version], version: &Version, user: Option<Uuid>, sight: Sight) -> Self {
        Self {
            version: version.number,
            made_from: version.made_from,
            made_by: version.made_by.clone(),
            made_at: version.made_at,
            reason: version.reason.clone().hidden(sight),
            changed: changes(versions, version),
            payload: raw(&version.payload, user, sight),
        }
    }
}
