//! `POST /operations/{id}/{pause|resume|cancel|undo|confirm}`, and the same under `/api/v1`. Each has one line in the audit, also when
//! somebody else was faster.

use super::{api::Whole, page};
use crate::{
    App,
    access::{Caller, Discard, May, Steer},
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
    failure::{self, ErrorPage, Failure},
    hiding::Hide as _,
    view::Notice,
    web,
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use chrono::SecondsFormat;
use compensation::{
    operations::{self, Act, Done, NotDone},
    personal::Sight,
};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// For programs: answers how it stands now.
pub(crate) async fn api(
    State(app): State<App>,
    caller: May<Steer>,
    Path((id, act)): Path<(Uuid, String)>,
) -> Result<Json<Whole>, Problem> {
    let act: Act = act.parse().map_err(|_| failure::not_found("act"))?;
    steer(&app, &caller, id, Steering::Act(act))
        .await
        .map_err(problem)?;
    whole(&app, id, caller.sight()).await
}

/// How it stands now.
async fn whole(app: &App, id: Uuid, sight: Sight) -> Result<Json<Whole>, Problem> {
    let found = operations::find(&app.db, id)
        .await
        .map_err(|_| failure::database(Doubt::WasDone.error()))?;
    found
        .map(|operation| Json(operation.hidden(sight).into()))
        .ok_or_else(|| failure::not_found("operation"))
}

/// A second operator confirms it, for programs.
pub(crate) async fn confirm_api(
    State(app): State<App>,
    caller: May<Discard>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    steer(&app, &caller, id, Steering::Confirm)
        .await
        .map_err(problem)?;
    whole(&app, id, caller.sight()).await
}

/// The same by a button.
pub(crate) async fn confirm(
    State(app): State<App>,
    caller: May<Discard>,
    web::Path(id): web::Path<Uuid>,
) -> Result<Response, Failure> {
    let steered = steer(&app, &caller, id, Steering::Confirm).await;
    answer(&app, &caller, id, steered).await
}

/// The buttons: back to the page, which shows what became of it.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<Steer>,
    web::Path((id, act)): web::Path<(Uuid, String)>,
) -> Result<Response, Failure> {
    let act: Act = act.parse().map_err(|_| ErrorPage::not_found("act"))?;
    let steered = steer(&app, &caller, id, Steering::Act(act)).await;
    answer(&app, &caller, id, steered).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    id: Uuid,
    steered: Result<Done, NotDone>,
) -> Result<Response, Failure> {
    let refused = match steered {
        Ok(_) => return Ok(Redirect::to(&format!("/operations/{id}")).into_response()),
        Err(NotDone::NotFound) => return Err(ErrorPage::not_found("operation").into()),
        Err(NotDone::Database(cause)) => return Err(cause.into()),
        Err(refused) => refused,
    };
    let notice = Notice::bad(format!("Nothing was done: {}.", sentence(&refused)));
    let page =
        page::with_notice(app, caller, id, page::ItemsQuery::default(), Some(notice)).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

/// What is done to it.
#[derive(Debug, Clone, Copy)]
enum Steering {
    Act(Act),
    Confirm,
}

async fn steer(app: &App, caller: &Caller, id: Uuid, what: Steering) -> Result<Done, NotDone> {
    let (subject, by) = (id.to_string(), &caller.who.name);
    let mut tx = app.db.begin().await?;
    let (name, acted) = match what {
        Steering::Act(act) => {
            let name = format!("operation.{}", act.as_str());
            (name, operations::act(&mut tx, id, act, by).await)
        }
        Steering::Confirm => {
            let name = "operation.confirm".to_owned();
            (name, operations::confirm(&mut tx, id, by).await)
        }
    };
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
        NotDone::SamePerson => Problem::new(StatusCode::CONFLICT, "same_person", detail),
        NotDone::Single => Problem::new(StatusCode::CONFLICT, "single", detail),
        NotDone::NotNow { state, by, since } => {
            Problem::new(StatusCode::CONFLICT, "not_now", detail)
                .with("state", state.as_str())
                .with("by", by)
                .with("since", since.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
    }
}
