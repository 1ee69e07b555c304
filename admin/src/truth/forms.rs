//! `POST /archives/{id}/reconcile`: the button under the verdict.

use super::{asking::ask, words};
use crate::{
    App,
    access::{May, Reconcile},
    archives::detail_page,
    failure::{ErrorPage, Failure},
    replay::{ReplayError, reason},
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
}

/// Asks for it and leads to the operation; a refusal is shown where the button is.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<Reconcile>,
    Path(order): Path<Uuid>,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let (status, why) = match reason(asked.reason.as_deref()) {
        Err(complaint) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{complaint}.")),
        Ok(why) => match ask(&app, &caller, order, why).await {
            Ok(operation) => {
                return Ok(Redirect::to(&format!("/operations/{operation}")).into_response());
            }
            Err(ReplayError::NotFound) => {
                return Err(ErrorPage::not_found("archived order").into());
            }
            Err(ReplayError::Database(cause)) => return Err(cause.into()),
            Err(ReplayError::InHand {
                operation_id,
                kind,
                by,
                since,
            }) => {
                let (doing, since) = (kind.doing(), since.format("%H:%M:%S"));
                let why =
                    format!("{by} is {doing} it since {since} UTC (operation {operation_id}).");
                (StatusCode::CONFLICT, why)
            }
            Err(ReplayError::Refused(code)) => (StatusCode::CONFLICT, words::refusal(code)),
        },
    };
    let notice = Notice::bad(format!("Nothing was done: {why}"));
    let page = detail_page::with_notice(&app, &caller, order, None, Some(notice)).await?;
    Ok((status, page).into_response())
}
