//! The page: every permission there is, and whether one has it.

use crate::{
    App,
    access::{CATALOGUE, LoggedIn},
    failure::Failure,
    frame,
    view::{self, Layout, Page},
};
use axum::{extract::State, response::Html};
use identity::OperatorRole;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct PermissionsPage {
    layout: Layout,
    roles: [&'static str; 3],
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    what: &'static str,
    yours: bool,
    /// Of each role, in their order.
    of_roles: [bool; 3],
}

impl Page for PermissionsPage {
    const TEMPLATE: &'static str = "permissions.html";
}

/// What the caller may do, and what others may.
pub(crate) async fn show(
    State(app): State<App>,
    LoggedIn(caller): LoggedIn,
) -> Result<Html<String>, Failure> {
    let page = PermissionsPage {
        layout: frame::layout(&app, &caller, "permissions", "Your permissions").await?,
        roles: OperatorRole::ALL.map(OperatorRole::as_str),
        rows: CATALOGUE
            .iter()
            .map(|entry| Row {
                name: entry.name,
                what: entry.what,
                yours: caller.may_by_name(entry.name, entry.role),
                of_roles: OperatorRole::ALL.map(|role| role >= entry.role),
            })
            .collect(),
    };
    Ok(view::render(&page)?)
}
