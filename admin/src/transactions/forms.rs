//! `POST /transactions/{gid}/rollback`, `…/resume` and `…/stop`: the buttons.

use super::{
    acts::{self, ActError, page_of},
    detail_page, shown,
};
use crate::{
    App,
    access::{Caller, May, Resume, RollBack, Stop},
    failure::{ErrorPage, Failure},
    replay::reason,
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use coordinator::Gid;
use serde::Deserialize;
use uuid::Uuid;

/// The form of a stop.
#[derive(Debug, Deserialize)]
pub(crate) struct Stopping {
    reason: Option<String>,
}

/// Has an undecided order given up.
pub(crate) async fn roll_back(
    State(app): State<App>,
    caller: May<RollBack>,
    Path(gid): Path<Uuid>,
) -> Result<Response, Failure> {
    let gid = Gid::from_uuid(gid);
    let acted = acts::roll_back(&app, &caller, gid).await;
    answer(&app, &caller, gid, acted).await
}

/// Lets a stuck one go on.
pub(crate) async fn resume(
    State(app): State<App>,
    caller: May<Resume>,
    Path(gid): Path<Uuid>,
) -> Result<Response, Failure> {
    let gid = Gid::from_uuid(gid);
    let acted = acts::resume(&app, &caller, gid).await.map(drop);
    answer(&app, &caller, gid, acted).await
}

/// Has nobody try any more to complete one that is decided.
pub(crate) async fn stop(
    State(app): State<App>,
    caller: May<Stop>,
    Path(gid): Path<Uuid>,
    Form(stopping): Form<Stopping>,
) -> Result<Response, Failure> {
    let gid = Gid::from_uuid(gid);
    let why = match reason(stopping.reason.as_deref()) {
        Ok(Some(why)) => why,
        Ok(None) => return complaint(&app, &caller, gid, "a reason is needed").await,
        Err(cause) => return complaint(&app, &caller, gid, cause).await,
    };
    let acted = acts::stop(&app, &caller, gid, why).await.map(drop);
    answer(&app, &caller, gid, acted).await
}

/// Back to the page, which shows what became of it; a refusal is shown where the button is.
async fn answer(
    app: &App,
    caller: &Caller,
    gid: Gid,
    acted: Result<(), ActError>,
) -> Result<Response, Failure> {
    let code = match acted {
        Ok(()) => return Ok(Redirect::to(&page_of(gid)).into_response()),
        Err(ActError::NotFound) => return Err(ErrorPage::not_found("transaction").into()),
        Err(ActError::Database(cause)) => return Err(cause.into()),
        Err(ActError::Refused(code)) => code,
    };
    let notice = Notice::bad(format!("Nothing was done. {}", shown::refusal(code)));
    let page = detail_page::with_notice(app, caller, gid, None, Some(notice)).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

async fn complaint(app: &App, caller: &Caller, gid: Gid, text: &str) -> Result<Response, Failure> {
    let notice = Notice::bad(format!("Nothing was done: {text}."));
    let page = detail_page::with_notice(app, caller, gid, None, Some(notice)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}
