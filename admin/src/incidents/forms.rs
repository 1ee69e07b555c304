//! `POST /incidents/{id}/…`: the buttons. Back to the page, which shows what became of it; a refusal is shown where the button is.

use super::{AlertsQuery, acts, detail_page, page_of};
use crate::{
    App,
    access::{Acknowledge, Assign, Caller, CloseIncident, May, Silence},
    failure::{ErrorPage, Failure},
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use compensation::alerts::incidents::{Act, NotDone};
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// Who is to look after it; empty: nobody.
#[derive(Debug, Deserialize)]
pub(crate) struct Assigning {
    to: String,
}

/// For how long, and why.
#[derive(Debug, Deserialize)]
pub(crate) struct Silencing {
    minutes: u64,
    reason: String,
}

/// Why.
#[derive(Debug, Deserialize)]
pub(crate) struct Closing {
    reason: String,
}

/// Looks after it.
pub(crate) async fn acknowledge(
    State(app): State<App>,
    caller: May<Acknowledge>,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    done(&app, &caller, id, Act::Acknowledge).await
}

/// Has somebody look after it.
pub(crate) async fn assign(
    State(app): State<App>,
    caller: May<Assign>,
    Path(id): Path<Uuid>,
    Form(asked): Form<Assigning>,
) -> Result<Response, Failure> {
    let to = asked.to.trim();
    let to = (!to.is_empty()).then(|| to.to_owned());
    done(&app, &caller, id, Act::Assign(to)).await
}

/// Sends nothing for a while.
pub(crate) async fn silence(
    State(app): State<App>,
    caller: May<Silence>,
    Path(id): Path<Uuid>,
    Form(asked): Form<Silencing>,
) -> Result<Response, Failure> {
    let act = Act::Silence {
        during: Duration::from_secs(asked.minutes.saturating_mul(60)),
        reason: asked.reason,
    };
    done(&app, &caller, id, act).await
}

/// Sends again.
pub(crate) async fn unsilence(
    State(app): State<App>,
    caller: May<Silence>,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    done(&app, &caller, id, Act::Unsilence).await
}

/// Ends what nothing else will.
pub(crate) async fn close(
    State(app): State<App>,
    caller: May<CloseIncident>,
    Path(id): Path<Uuid>,
    Form(asked): Form<Closing>,
) -> Result<Response, Failure> {
    let act = Act::Close {
        reason: asked.reason,
    };
    done(&app, &caller, id, act).await
}

async fn done(app: &App, caller: &Caller, id: Uuid, act: Act) -> Result<Response, Failure> {
    let refused = match acts::act(app, caller, id, &act).await {
        Ok(_) => return Ok(Redirect::to(&page_of(id)).into_response()),
        Err(NotDone::NotFound) => return Err(ErrorPage::not_found("incident").into()),
        Err(NotDone::Database(cause)) => return Err(cause.into()),
        Err(refused) => refused,
    };
    let status = match refused {
        NotDone::Bad(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    };
    let notice = Notice::bad(format!("Nothing was done: {}.", acts::sentence(&refused)));
    let query = AlertsQuery::default();
    let page = detail_page::with_notice(app, caller, id, &query, Some(notice)).await?;
    Ok((status, page).into_response())
}
