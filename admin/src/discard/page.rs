//! `POST /archives/{id}/discard`: the button.

use super::{ask, reason};
use crate::{
    App,
    access::{Discard, May},
    archives::detail_page,
    failure::{ErrorPage, Failure},
    replay::ReplayError,
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
    caller: May<Discard>,
    Path(id): Path<Uuid>,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let (status, why) = match reason(asked.reason.as_deref()) {
        Err(complaint) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{complaint}.")),
        Ok(why) => match ask(&app, &caller, id, why).await {
            Ok(operation) => {
                return Ok(Redirect::to(&format!("/operations/{operation}")).into_response());
            }
            Err(ReplayError::NotFound) => {
                return Err(ErrorPage::not_found("archived order").into());
            }
            Err(ReplayError::Database(cause)) => return Err(cause.into()),
            Err(refused) => (StatusCode::CONFLICT, refused.sentence()),
        },
    };
    let notice = Notice::bad(format!("Nothing was done: {why}"));
    let page = detail_page::with_notice(&app, &caller, id, None, Some(notice)).await?;
    Ok((status, page).into_response())
}
