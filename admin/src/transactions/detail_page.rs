//! `/transactions/{gid}`: one transaction, every branch with its calls, and what may be done to it.

use super::{
    acts::page_of,
    detail::Detail,
    list_query::TransactionQuery,
    shown::{answer_tone, branch_chip, direction, meaning, refusal, state_chip},
};
use crate::{
    App,
    access::{Caller, Look, May, Permission, Resume, RollBack, Stop},
    address,
    alerts::page::Row as AlertRow,
    archives::Chip,
    audit::page::Row as AuditRow,
    failure::{ErrorPage, Failure},
    frame,
    incidents::Row as IncidentRow,
    view::{self, Fact, Layout, Moment, Notice, Page, milliseconds},
    web::{Path, Query},
};
use axum::{extract::State, response::Html};
use coordinator::{
    Gid, TxState,
    control::{BranchAttempt, BranchDetails},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Seconds after which a browser looks again while it goes on by itself.
const LOOK_AGAIN_S: u32 = 3;

#[derive(Debug, Serialize)]
struct DetailPage {
    layout: Layout,
    back: String,
    gid: String,
    state: Chip,
    meaning: &'static str,
    last_error: Option<String>,
    branches: Vec<Branch>,
    payload: String,
    acts: Vec<Act>,
    facts: Vec<Fact>,
    /// The page of its dead letter.
    dead_letter: Option<String>,
    alerts: Vec<AlertRow>,
    incidents: Vec<IncidentRow>,
    audit: Vec<AuditRow>,
}

/// A participant's part.
#[derive(Debug, Serialize)]
struct Branch {
    participant: String,
    is_foreign: bool,
    state: Chip,
    attempts: u32,
    last_error: Option<String>,
    changed_at: Moment,
    calls: Vec<Call>,
}

#[derive(Debug, Serialize)]
struct Call {
    op: String,
    at: Moment,
    took: String,
    answer: String,
    tone: &'static str,
}

/// A button; disabled with the sentence why, rather than hidden.
#[derive(Debug, Serialize)]
struct Act {
    title: &'static str,
    hint: &'static str,
    action: String,
    disabled: Option<String>,
    wants_reason: bool,
    /// Whether it is what most people come for.
    main: bool,
}

impl Page for DetailPage {
    const TEMPLATE: &'static str = "transaction.html";
}

/// Where one came from.
#[derive(Debug, Deserialize)]
pub(crate) struct CameFrom {
    back: Option<String>,
}

/// The page.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(gid): Path<Uuid>,
    Query(from): Query<CameFrom>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, Gid::from_uuid(gid), from.back, None).await
}

/// The page, with what the last act did.
///
/// # Errors
/// [`Failure`]; 404 when there is no such transaction.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    gid: Gid,
    back: Option<String>,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let detail = Detail::find(app, gid, caller.sight())
        .await?
        .ok_or_else(|| ErrorPage::not_found("transaction"))?;
    let mut layout = frame::layout(app, caller, "transactions", format!("Transaction {gid}"))
        .await?
        .notice(notice);
    let state = detail.known.transaction.state;
    if matches!(state, TxState::Committing | TxState::RollingBack) {
        layout = layout.refresh(LOOK_AGAIN_S);
    }
    Ok(view::render(&DetailPage::of(detail, caller, layout, back))?)
}

impl DetailPage {
    fn of(detail: Detail, caller: &Caller, layout: Layout, back: Option<String>) -> Self {
        let listed = &detail.known.transaction;
        Self {
            layout,
            // Only to the list: the address is written by whoever made the link.
            back: back
                .filter(|back| back.starts_with("/transactions?") && address::local(back).is_some())
                .unwrap_or_else(|| "/transactions".to_owned()),
            gid: listed.gid.to_string(),
            state: state_chip(listed.state),
            meaning: meaning(listed.state),
            last_error: listed.last_error.clone(),
            acts: acts(&detail, caller),
            facts: facts(&detail),
            payload: detail.payload(),
            dead_letter: detail.dead_letter.map(|id| format!("/archives/{id}")),
            branches: detail.known.branches.iter().map(Branch::of).collect(),
            alerts: detail.alerts.into_iter().map(AlertRow::of).collect(),
            incidents: detail.incidents.into_iter().map(IncidentRow::of).collect(),
            audit: detail.audit.into_iter().map(AuditRow::from).collect(),
        }
    }
}

fn acts(detail: &Detail, caller: &Caller) -> Vec<Act> {
    let page = page_of(detail.known.transaction.gid);
    let [roll_back, resume, stop] = detail.refusals();
    vec![
        Act {
            title: "Resume",
            hint: "It goes on the way it was decided, at once, with all its attempts before it.",
            action: format!("{page}/resume"),
            disabled: disabled::<Resume>(resume, caller),
            wants_reason: false,
            main: true,
        },
        Act {
            title: "Roll back",
            hint: "The order is given up: it fails, its units are given back, and its archive can be replayed.",
            action: format!("{page}/rollback"),
            disabled: disabled::<RollBack>(roll_back, caller),
            wants_reason: false,
            main: false,
        },
        Act {
            title: "Stop",
            hint: "Nobody tries to complete it any more. It gets a dead letter that lists what is not done, until somebody resumes it.",
            action: format!("{page}/stop"),
            disabled: disabled::<Stop>(stop, caller),
            wants_reason: true,
            main: false,
        },
    ]
}

fn disabled<P: Permission>(refused: Option<&str>, caller: &Caller) -> Option<String> {
    match refused {
        Some(code) => Some(refusal(code)),
        None if caller.may::<P>() => None,
        None => Some(format!(
            "Your role is {}: this needs {}.",
            caller.role(),
            P::ROLE
        )),
    }
}

fn facts(detail: &Detail) -> Vec<Fact> {
    let listed = &detail.known.transaction;
    let of_label = TransactionQuery {
        label: Some(listed.label.to_string()),
        ..TransactionQuery::default()
    };
    let is_on_its_way = matches!(listed.state, TxState::Committing | TxState::RollingBack);
    let took = milliseconds(listed.age_ms.unsigned_abs());
    [
        Some(Fact::text("Kind", listed.kind.clone())),
        Some(Fact::id(
            "Label",
            listed.label.as_uuid(),
            Some(of_label.link(None, None)),
        )),
        direction(listed).map(|way| Fact::text("Decided to", way.replace('_', " "))),
        listed
            .direction
            .map(|_| Fact::text("Epoch", listed.epoch.to_string())),
        listed
            .reason
            .clone()
            .map(|reason| Fact::text("Reason", reason)),
        Some(Fact::text(
            "Attempts that failed",
            listed.attempts.to_string(),
        )),
        Some(Fact::at("First written", listed.created_at)),
        is_on_its_way.then(|| Fact::at("Looked at next", listed.due_at)),
        listed.finished_at.map(|at| Fact::at("Finished", at)),
        Some(Fact::text(
            if listed.finished_at.is_some() {
                "Took"
            } else {
                "Age"
            },
            took,
        )),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Branch {
    fn of(branch: &BranchDetails) -> Self {
        Self {
            participant: branch.participant.clone(),
            is_foreign: branch.is_foreign,
            state: branch_chip(branch.state),
            attempts: branch.attempts,
            last_error: branch.last_error.clone(),
            changed_at: Moment::of(branch.changed_at),
            calls: branch.history.iter().map(Call::of).collect(),
        }
    }
}

impl Call {
    fn of(call: &BranchAttempt) -> Self {
        Self {
            op: call.op.clone(),
            at: Moment::of(call.at),
            took: milliseconds(call.took_ms),
            tone: answer_tone(&call.answer),
            answer: call.answer.clone(),
        }
    }
}
