//! `/api/v1/alerts`: deliveries, one notice with its tries, and channels.

use super::{
    AlertQuery, PER_PAGE,
    acts::{self, ActError},
    place,
};
use crate::{
    App,
    access::{Look, May, Redeliver, SwitchChannelOn, TestChannel},
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
};
use axum::{extract::State, http::StatusCode};
use compensation::alerts::{
    Notice,
    outbox::{self, Attempt, Delivery, Standing},
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use uuid::Uuid;

/// A notice on all its channels.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    deliveries: Vec<Delivery>,
    /// Null where nobody can read what it says.
    notice: Option<Notice>,
    /// Newest first.
    attempts: Vec<Attempt>,
    /// Of a digest: what it tells of, newest first.
    digested: Vec<Delivery>,
}

/// Where it is to be sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redelivery {
    channel: String,
}

/// What was asked for; the courier does it.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    id: Uuid,
    channel: String,
}

/// A channel that is on.
#[derive(Debug, Serialize)]
pub(crate) struct Switched {
    channel: String,
}

/// Alerts by channel, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<AlertQuery>,
) -> Result<Json<CursorPage<Delivery>>, Problem> {
    let bad = |cause: place::BadQuery| failure::invalid(cause.to_string());
    let (show, before) = (query.show().map_err(bad)?, query.before().map_err(bad)?);
    let found = outbox::list(&app.db, show, PER_PAGE + 1, before.as_ref())
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    Ok(Json(CursorPage::of(found, PER_PAGE, |alert| {
        place::written(&alert.position())
    })))
}

/// One notice, with every try.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let sight = caller.sight();
    let whole = async {
        Ok(Whole {
            deliveries: outbox::of_notice(&app.db, id).await?.hidden(sight),
            notice: outbox::notice(&app.db, id).await?.hidden(sight),
            attempts: outbox::attempts(&app.db, id).await?.hidden(sight),
            digested: outbox::digested(&app.db, id).await?.hidden(sight),
        })
    };
    let whole = whole.await.map_err(failure::database)?;
    if whole.deliveries.is_empty() {
        return Err(failure::not_found("notice"));
    }
    Ok(Json(whole))
}

/// Has a notice sent once more.
pub(crate) async fn redeliver(
    State(app): State<App>,
    caller: May<Redeliver>,
    Path(id): Path<Uuid>,
    Json(asked): Json<Redelivery>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let channel = asked.channel;
    acts::redeliver(&app, &caller, id, &channel)
        .await
        .map_err(problem)?;
    Ok((StatusCode::ACCEPTED, Json(Asked { id, channel })))
}

/// How the channels are.
pub(crate) async fn channels(
    State(app): State<App>,
    caller: May<Look>,
) -> Result<Json<CursorPage<Standing>>, Problem> {
    let items = outbox::standings(&app.db)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    Ok(Json(CursorPage { items, next: None }))
}

/// Has a test sent.
pub(crate) async fn test(
    State(app): State<App>,
    caller: May<TestChannel>,
    Path(channel): Path<String>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let id = acts::send_test(&app, &caller, &channel)
        .await
        .map_err(problem)?;
    Ok((StatusCode::ACCEPTED, Json(Asked { id, channel })))
}

/// Switches a channel on.
pub(crate) async fn switch_on(
    State(app): State<App>,
    caller: May<SwitchChannelOn>,
    Path(channel): Path<String>,
) -> Result<Json<Switched>, Problem> {
    acts::switch_on(&app, &caller, &channel)
        .await
        .map_err(problem)?;
    Ok(Json(Switched { channel }))
}

fn problem(refused: ActError) -> Problem {
    match refused {
        ActError::NotFound => failure::not_found("notice"),
        ActError::Refused(code) => Problem::new(StatusCode::CONFLICT, code, acts::refusal(code)),
        ActError::Database(cause) => failure::database(cause),
    }
}
