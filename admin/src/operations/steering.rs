//! `POST /operations/{id}/{pause|resume|cancel|undo}`, and the same under `/api/v1`. Each has one line in the audit, also when
//! somebody else was faster.

use super::{api::Whole, page};
use crate::{
    App,
    access::{Caller, May, Steer},
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
    failure::{self, ErrorPage, Failure},
    view::Notice,
    web,
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use chrono::SecondsFormat;
use compensation::operations::{self, Act, Done, NotDone};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// For programs: answers how it stands now.
pub(crate) async fn api(
    State(app): State<App>,
    caller: May<Steer>,
    Path((id, act)): Path<(Uuid, String)>,
) -> Result<Json<Whole>, Problem> {
    let act: Act = act.parse().map_err(|_| failure::not_found("act"))?;
    steer(&app, &caller, id, act).await.map_err(problem)?;
    let found = operations::find(&app.db, id)
        .await
        .map_err(|_| failure::database(Doubt::WasDone.error()))?;
    found
        .map(|operation| Json(operation.into()))
        .ok_or_else(|| failure::not_found("operation"))
}

/// The buttons: back to the page, which shows what became of it.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<Steer>,
    web::Path((id, act)): web::Path<(Uuid, String)>,
) -> Result<Response, Failure> {
    let act: Act = act.parse().map_err(|_| ErrorPage::not_found("act"))?;
    let refused = match steer(&app, &caller, id, act).await {
        Ok(_) => return Ok(Redirect::to(&format!("/operations/{id}")).into_response()),
        Err(NotDone::NotFound) => return Err(ErrorPage::not_found("operation").into()),
        Err(NotDone::Database(cause)) => return Err(cause.into()),
        Err(refused) => refused,
    };
    let notice = Notice::bad(format!("Nothing was done: {}.", sentence(&refused)));
    let page =
        page::with_notice(&app, &caller, id, page::ItemsQuery::default(), Some(notice)).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

async fn steer(app: &App, caller: &Caller, id: Uuid, act: Act) -> Result<Done, NotDone> {
    let subject = id.to_string();
    let name = format!("operation.{}", act.as_str());
    let mut tx = app.db.begin().await?;
    let acted = operations::act(&mut tx, id, act, &caller.who.name).await;
    let (outcome, detail) = match &acted {
        // A second click is no second act.
        Ok(Done::Before(_)) | Err(NotDone::NotFound | NotDone::Database(_)) => return acted,
        Ok(Done::Now(state)) => (Outcome::Done, format!("it is {state}")),
        Err(refused) => (Outcome::Refused, sentence(refused)),
    };
    let entry = Entry {
        act: &name,
        subject: &subject,
        outcome,
        detail: &detail,
    };
    audit::record_of(&mut tx, id, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    acted
}

/// Why not, with who and when.
fn sentence(refused: &NotDone) -> String {
    match refused {
        NotDone::NotNow { state, by, since } => {
            let who = by.as_deref().map_or_else(
                || "by itself".to_owned(),
                |by| format!("{by} brought it there"),
            );
            format!(
                "it is {state} since {} UTC, {who}",
                since.format("%Y-%m-%d %H:%M:%S")
            )
        }
        other => other.to_string(),
    }
}

fn problem(refused: NotDone) -> Problem {
    let detail = sentence(&refused);
    match refused {
        NotDone::NotFound => failure::not_found("operation"),
        NotDone::Database(cause) => failure::database(cause),
        NotDone::Single => Problem::new(StatusCode::CONFLICT, "single", detail),
        NotDone::NotNow { state, by, since } => {
            Problem::new(StatusCode::CONFLICT, "not_now", detail)
                .with("state", state.as_str())
                .with("by", by)
                .with("since", since.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
    }
}
