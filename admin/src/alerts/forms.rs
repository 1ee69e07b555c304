//! `POST /alerts/{id}/redeliver`, `/alerts/channels/{name}/test` and `…/on`: the buttons.

use super::{
    acts::{self, ActError},
    channels_page, notice_page,
};
use crate::{
    App,
    access::{May, Redeliver, SwitchChannelOn, TestChannel},
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

/// Where it is to be sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Redelivery {
    channel: String,
}

/// Has a notice sent once more.
pub(crate) async fn redeliver(
    State(app): State<App>,
    caller: May<Redeliver>,
    Path(id): Path<Uuid>,
    Form(asked): Form<Redelivery>,
) -> Result<Response, Failure> {
    match acts::redeliver(&app, &caller, id, &asked.channel).await {
        Ok(()) => Ok(Redirect::to(&notice_page::page_of(id)).into_response()),
        Err(refused) => {
            let notice = Notice::bad(not_done(refused)?);
            let page = notice_page::with_notice(&app, &caller, id, Some(notice)).await?;
            Ok((StatusCode::CONFLICT, page).into_response())
        }
    }
}

/// Has a test sent, whose page shows what became of it.
pub(crate) async fn test(
    State(app): State<App>,
    caller: May<TestChannel>,
    Path(channel): Path<String>,
) -> Result<Response, Failure> {
    match acts::send_test(&app, &caller, &channel).await {
        Ok(id) => Ok(Redirect::to(&notice_page::page_of(id)).into_response()),
        Err(refused) => {
            let notice = Notice::bad(not_done(refused)?);
            let page = channels_page::with_notice(&app, &caller, Some(notice)).await?;
            Ok((StatusCode::CONFLICT, page).into_response())
        }
    }
}

/// Switches a channel on.
pub(crate) async fn switch_on(
    State(app): State<App>,
    caller: May<SwitchChannelOn>,
    Path(channel): Path<String>,
) -> Result<Response, Failure> {
    match acts::switch_on(&app, &caller, &channel).await {
        Ok(()) => Ok(Redirect::to("/alerts/channels").into_response()),
        Err(refused) => {
            let notice = Notice::bad(not_done(refused)?);
            let page = channels_page::with_notice(&app, &caller, Some(notice)).await?;
            Ok((StatusCode::CONFLICT, page).into_response())
        }
    }
}

/// What to say above the page, where there is one to say it on.
fn not_done(refused: ActError) -> Result<String, Failure> {
    match refused {
        ActError::Refused(code) => Ok(format!("Nothing was done. {}", acts::refusal(code))),
        ActError::NotFound => Err(ErrorPage::not_found("notice").into()),
        ActError::Database(cause) => Err(cause.into()),
    }
}
