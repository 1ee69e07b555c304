//! The page.

use crate::{
    App,
    access::{Caller, ManageOperators, May},
    failure::Failure,
    frame,
    view::{self, Layout, Moment, Notice, Page},
};
use axum::{extract::State, response::Html};
use identity::{OperatorRole, lock_outs, operators};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct OperatorsPage {
    layout: Layout,
    rows: Vec<Row>,
    roles: [&'static str; 3],
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    username: String,
    role: &'static str,
    oneself: bool,
    must_change: bool,
    /// How long log-ins wait after wrong passwords.
    waits_until: Option<Moment>,
    created_at: Moment,
}

impl Page for OperatorsPage {
    const TEMPLATE: &'static str = "operators.html";
}

/// All operators.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<ManageOperators>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, None).await
}

/// The page, with what the last act did.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let operators = operators::list(&app.db).await?;
    let waiting = lock_outs::waiting(&mut *app.db.acquire().await?).await?;
    let layout = frame::layout(app, caller, "operators", "Operators").await?;
    let page = OperatorsPage {
        layout: layout.notice(notice),
        rows: operators
            .into_iter()
            .map(|operator| Row {
                oneself: operator.id == caller.id,
                waits_until: waiting.get(&operator.id).copied().map(Moment::of),
                id: operator.id.to_string(),
                username: operator.username,
                role: operator.role.as_str(),
                must_change: operator.must_change,
                created_at: Moment::of(operator.created_at),
            })
            .collect(),
        roles: OperatorRole::ALL.map(OperatorRole::as_str),
    };
    Ok(view::render(&page)?)
}
