//! `/audit`.

use super::{
    Line, Outcome, PER_PAGE, newest,
    query::{AuditQuery, BadQuery},
};
use crate::{
    App,
    access::{Look, May, SeePersonal},
    archives::outcome_tone,
    cursor::CursorPage,
    failure::Failure,
    frame, groups,
    hiding::Hide as _,
    incidents, transactions,
    view::{self, Layout, Moment, Page, ShortId},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use compensation::fingerprint::Fingerprint;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct AuditPage {
    layout: Layout,
    /// As it was typed.
    operator: String,
    act: String,
    outcome: String,
    subject: String,
    operation: String,
    from: String,
    to: String,
    outcomes: [&'static str; 4],
    filtered: bool,
    rows: Vec<Row>,
    next: Option<String>,
    csv: String,
    lines: String,
    /// Why they cannot be taken away.
    lines_disabled: Option<String>,
}

/// A line as it is shown, here and on the page of what it is about.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    id: i64,
    /// Its hash, whole and shortened; none where it was never chained.
    hash: Option<String>,
    short: Option<String>,
    at: Moment,
    operator: String,
    role: String,
    act: String,
    subject: String,
    /// The page of what it is about, when there is one.
    link: Option<String>,
    /// The operation it belongs to, and all lines of that.
    operation: Option<ShortId>,
    operation_link: Option<String>,
    operation_lines: Option<String>,
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
    Query(query): Query<AuditQuery>,
) -> Result<Html<String>, Failure> {
    let filter = query.filter().map_err(bad_query)?;
    let found = newest(&app.db, &filter, query.before, PER_PAGE + 1)
        .await?
        .hidden(caller.sight());
    let CursorPage { items, next } = CursorPage::of(found, PER_PAGE, |line| line.id.to_string());
    let page = AuditPage {
        layout: frame::layout(&app, &caller, "audit", "Audit").await?,
        filtered: !filter.is_empty(),
        rows: items.into_iter().map(Row::from).collect(),
        next: next.map(|next| query.link("/audit", Some(next))),
        csv: query.link("/audit.csv", None),
        lines: query.link("/audit.jsonl", None),
        lines_disabled: caller.why_not::<SeePersonal>(),
        outcomes: Outcome::ALL.map(Outcome::as_str),
        operator: query.operator.unwrap_or_default(),
        act: query.act.unwrap_or_default(),
        outcome: query.outcome.unwrap_or_default(),
        subject: query.subject.unwrap_or_default(),
        operation: query.operation.unwrap_or_default(),
        from: query.from.unwrap_or_default(),
        to: query.to.unwrap_or_default(),
    };
    Ok(view::render(&page)?)
}

pub(super) fn bad_query(cause: BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

/// All lines of an operation: what was asked for, how it was steered, and what became of each item.
pub(crate) fn of_operation(id: impl std::fmt::Display) -> String {
    format!("/audit?operation={id}")
}

impl From<Line> for Row {
    fn from(line: Line) -> Self {
        let has_page = uuid::Uuid::parse_str(&line.subject).is_ok()
            || (line.act.starts_with("group.") && line.subject.parse::<Fingerprint>().is_ok());
        Self {
            id: line.id,
            hash: line.hash.map(|hash| hash.to_string()),
            short: line.hash.map(|hash| hash.short()),
            at: Moment::of(line.at),
            operator: line.operator,
            role: line.role,
            link: has_page.then(|| page_of(&line.act, &line.subject)),
            act: line.act,
            subject: line.subject,
            operation: line.operation_id.map(ShortId::of),
            operation_link: line.operation_id.map(|id| format!("/operations/{id}")),
            operation_lines: line.operation_id.map(of_operation),
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
    } else if act.starts_with("group.") {
        groups::detail_page::page_of(subject)
    } else if act.starts_with("incident.") {
        incidents::page_of(subject)
    } else if act.starts_with("sale.") {
        format!("/sales/{subject}")
    } else {
        format!("/archives/{subject}")
    }
}
