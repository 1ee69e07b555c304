//! `POST /archives/{id}/replay`: the button.

use super::{ReplayError, ask, reason};
use crate::{
    App,
    access::{May, Replay},
    archives::detail_page,
    failure::{ErrorPage, Failure},
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use uuid::Uuid;

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    reason: Option<String>,
    /// Where there are versions.
    version: Option<u32>,
}

/// Asks for the replay and leads to the operation; a refusal is shown where the button is.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<Replay>,
    Path(order): Path<Uuid>,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let why = match reason(asked.reason.as_deref()) {
        Ok(why) => why,
        Err(complaint) => {
            let notice = Notice::bad(format!("Nothing was done: {complaint}."));
            let page = detail_page::with_notice(&app, &caller, order, None, Some(notice)).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let notice = match ask(&app, &caller, order, asked.version, why).await {
        Ok(operation) => {
            return Ok(Redirect::to(&format!("/operations/{operation}")).into_response());
        }
        Err(ReplayError::NotFound) => return Err(ErrorPage::not_found("archived order").into()),
        Err(ReplayError::Database(cause)) => return Err(cause.into()),
        Err(refused) => Notice::bad(format!("Nothing was done: {}", refused.sentence())),
    };
    let page = detail_page::with_notice(&app, &caller, order, None, Some(notice)).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}
