//! `/audit`.

use super::{Line, Search, lines, list::PER_PAGE};
use crate::{
    App,
    access::{Look, May},
    address::with_query,
    archives::outcome_tone,
    cursor::CursorPage,
    failure::Failure,
    frame, incidents, transactions,
    view::{self, Layout, Moment, Page},
    web::Query,
};
use axum::{extract::State, response::Html};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct AuditPage {
    layout: Layout,
    subject: String,
    rows: Vec<Row>,
    next: Option<String>,
}

/// A line as it is shown, here and on the page of what it is about.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    at: Moment,
    operator: String,
    role: String,
    act: String,
    subject: String,
    /// The page of what it is about, when there is one.
    link: Option<String>,
    outcome: String,
    tone: &'static str,
    detail: String,
    address: String,
}

impl Page for AuditPage {
    const TEMPLATE: &'static str = "audit.html";
}

/// The audit, newest first.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(search): Query<Search>,
) -> Result<Html<String>, Failure> {
    let found = lines(&app.db, &search, PER_PAGE + 1).await?;
    let CursorPage { items, next } = CursorPage::of(found, PER_PAGE, |line| line.id.to_string());
    let subject = search.subject().map(str::to_owned);
    let page = AuditPage {
        layout: frame::layout(&app, &caller, "audit", "Audit").await?,
        rows: items.into_iter().map(Row::from).collect(),
        next: next.map(|next| {
            with_query(
                "/audit",
                &[("subject", subject.clone()), ("before", Some(next))],
            )
        }),
        subject: subject.unwrap_or_default(),
    };
    Ok(view::render(&page)?)
}

impl From<Line> for Row {
    fn from(line: Line) -> Self {
        let is_id = uuid::Uuid::parse_str(&line.subject).is_ok();
        Self {
            at: Moment::of(line.at),
            operator: line.operator,
            role: line.role,
            link: is_id.then(|| page_of(&line.act, &line.subject)),
            act: line.act,
            subject: line.subject,
            tone: outcome_tone(&line.outcome),
            outcome: line.outcome,
            detail: line.detail,
            address: line.address,
        }
    }
}

/// The page of what an act was done to: a transaction, an operation, an incident, or what is archived.
fn page_of(act: &str, subject: &str) -> String {
    if act.starts_with("transaction.") {
        transactions::page_of(subject)
    } else if act.starts_with("operation.") {
        format!("/operations/{subject}")
    } else if act.starts_with("incident.") {
        incidents::page_of(subject)
    } else {
        format!("/archives/{subject}")
    }
}
