//! The page.

use crate::{
    App,
    access::{Caller, ManageTokens, May, grantable},
    failure::Failure,
    frame,
    view::{self, Layout, Moment, Notice, Page},
};
use axum::{extract::State, response::Html};
use chrono::Utc;
use identity::operator_tokens::{self, Listed};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct TokensPage {
    layout: Layout,
    rows: Vec<Row>,
    choices: Vec<Choice>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    name: String,
    scope: Vec<String>,
    created_at: Moment,
    seen_at: Option<Moment>,
    ends_at: Moment,
    ended: bool,
}

/// A permission a new token may have.
#[derive(Debug, Serialize)]
struct Choice {
    name: &'static str,
    what: &'static str,
}

impl Page for TokensPage {
    const TEMPLATE: &'static str = "tokens.html";
}

/// The caller's tokens.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<ManageTokens>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, None).await
}

/// The page, with what the last act did.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let tokens = operator_tokens::list(&app.db, caller.id).await?;
    let layout = frame::layout(app, caller, "tokens", "Personal tokens").await?;
    let page = TokensPage {
        layout: layout.notice(notice),
        rows: tokens.into_iter().map(Row::from).collect(),
        choices: grantable()
            .filter(|entry| caller.may_by_name(entry.name, entry.role))
            .map(|entry| Choice {
                name: entry.name,
                what: entry.what,
            })
            .collect(),
    };
    Ok(view::render(&page)?)
}

impl From<Listed> for Row {
    fn from(token: Listed) -> Self {
        Self {
            id: token.id.to_string(),
            scope: token.scope.names().map(str::to_owned).collect(),
            name: token.name,
            created_at: Moment::of(token.created_at),
            seen_at: token.seen_at.map(Moment::of),
            ended: token.ends_at <= Utc::now(),
            ends_at: Moment::of(token.ends_at),
        }
    }
}
