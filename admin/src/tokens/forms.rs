//! The buttons.

use super::{
    acts::{self, ActError, Asked},
    page,
};
use crate::{
    App,
    access::{CATALOGUE, ManageTokens, May},
    failure::{ErrorPage, Failure},
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use std::collections::HashMap;
use uuid::Uuid;

/// A token to be made. What is ticked comes as fields of their own, each named like its permission.
#[derive(Debug, Deserialize)]
pub(crate) struct NewToken {
    name: String,
    /// A number; text, for fields that are told apart by name only are.
    days: String,
    #[serde(flatten)]
    ticked: HashMap<String, String>,
}

/// Makes one, and shows its secret once.
pub(crate) async fn create(
    State(app): State<App>,
    caller: May<ManageTokens>,
    Form(asked): Form<NewToken>,
) -> Result<Response, Failure> {
    let scope = CATALOGUE
        .iter()
        .filter(|entry| asked.ticked.contains_key(entry.name))
        .map(|entry| entry.name.to_owned())
        .collect();
    let new = Asked {
        name: &asked.name,
        scope,
        days: asked.days.parse().unwrap_or_default(),
    };
    match acts::create(&app, &caller, new).await {
        Ok(made) => {
            let notice = Notice::good(
                "Made. Send it as Authorization: Bearer …; it is not shown again:".to_owned(),
            );
            let page = page::with_notice(&app, &caller, Some(notice.with_secret(made.secret)));
            Ok(page.await?.into_response())
        }
        Err(ActError::Refused { sentence, conflict }) => {
            let status = if conflict {
                StatusCode::CONFLICT
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            };
            let notice = Notice::bad(format!("Nothing was done: {sentence}."));
            let page = page::with_notice(&app, &caller, Some(notice)).await?;
            Ok((status, page).into_response())
        }
        Err(ActError::Database(cause)) => Err(cause.into()),
    }
}

/// Ends one.
pub(crate) async fn end(
    State(app): State<App>,
    caller: May<ManageTokens>,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    let ended = acts::end(&app, &caller, id)
        .await
        .map_err(|cause| match cause {
            ActError::Database(cause) => Failure::Database(cause),
            ActError::Refused { sentence, .. } => Failure::Internal(anyhow::anyhow!(sentence)),
        })?;
    let name = ended.ok_or_else(|| ErrorPage::not_found("token"))?;
    let notice = Notice::good(format!("Ended {name}: it opens nothing any more."));
    let page = page::with_notice(&app, &caller, Some(notice)).await?;
    Ok(page.into_response())
}
