//! `/archives/{id}`: one order that was given up, or one transaction that is stuck, with all that happened to it.

use super::{
    Detail, list_of,
    shown::{Chip, chips, lane, outcome_tone, refusal, shown_id},
};
use crate::{
    App,
    access::{Caller, Discard, Look, May, Permission as _, Replay, WriteNote},
    address,
    alerts::page::Row as AlertRow,
    audit::page::Row as AuditRow,
    failure::{ErrorPage, Failure},
    frame,
    incidents::Row as IncidentRow,
    notes::page::Row as NoteRow,
    operations::page::Row as OperationRow,
    replay::Check,
    transactions,
    truth::Panel,
    view::{self, Fact, Layout, Moment, Notice, Page, grouped, milliseconds},
    web::{Path, Query},
};
use axum::{extract::State, response::Html};
use compensation::{
    archive::{Archived, Kind, notes::TEXT_AT_MOST, transaction::Uncompensated},
    attempt::{Attempt, Lane},
    operations::{self, Item, Operation},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Serialize)]
struct DetailPage {
    layout: Layout,
    back: String,
    id: String,
    /// `Order`, `Transaction` or `Message`.
    what: &'static str,
    chips: Vec<Chip>,
    facts: Vec<Fact>,
    step: String,
    error: String,
    group: Alike,
    replay: ReplayButton,
    discard: DiscardButton,
    truth: Option<Panel>,
    transaction: Option<TransactionCard>,
    generations: Vec<Generation>,
    payload: Option<String>,
    /// Why the message cannot be shown.
    unreadable: Option<String>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    operations: Vec<OperationRow>,
    alerts: Vec<AlertRow>,
    incidents: Vec<IncidentRow>,
    notes: NotesCard,
    audit: Vec<AuditRow>,
}

/// What people wrote, and the form for one more.
#[derive(Debug, Serialize)]
struct NotesCard {
    rows: Vec<NoteRow>,
    action: String,
    /// Of the next one, so that a second click is the same.
    id: String,
    text_at_most: usize,
    disabled: Option<String>,
}

/// The button; disabled with the sentence why, rather than hidden.
#[derive(Debug, Serialize)]
struct ReplayButton {
    action: String,
    /// What it would do.
    hint: String,
    disabled: Option<String>,
    /// The operation under way.
    operation: Option<String>,
    checks: Vec<CheckRow>,
    /// The version that was looked at; none of what is held, which goes on as it is.
    version: Option<String>,
    versions: Vec<VersionLink>,
    edit: String,
}

/// A version a replay may take.
#[derive(Debug, Serialize)]
struct VersionLink {
    label: String,
    link: String,
    current: bool,
}

/// The same of a discard.
#[derive(Debug, Serialize)]
struct DiscardButton {
    action: String,
    hint: String,
    disabled: Option<String>,
}

/// One thing a replay depends on.
#[derive(Debug, Serialize)]
struct CheckRow {
    what: &'static str,
    chip: Chip,
    says: String,
}

/// Why it is in its group, and how many are.
#[derive(Debug, Serialize)]
struct Alike {
    /// Nothing where it was not compared yet.
    why: Option<String>,
    link: Option<String>,
    /// Nothing where they were not counted yet.
    counts: Option<String>,
}

/// Of a transaction: who had not done its part, and where one resumes it.
#[derive(Debug, Serialize)]
struct TransactionCard {
    link: String,
    finished: bool,
    uncompensated: Vec<Uncompensated>,
}

/// The tries under one gid after another, with what began them.
#[derive(Debug, Serialize)]
struct Generation {
    title: String,
    by: Option<String>,
    at: Option<Moment>,
    reason: Option<String>,
    tries: Vec<Try>,
}

#[derive(Debug, Serialize)]
struct Try {
    title: String,
    tone: &'static str,
    outcome: String,
    at: Moment,
    took: String,
    worker: String,
    error: Option<String>,
    next: Option<String>,
}

impl Page for DetailPage {
    const TEMPLATE: &'static str = "archive.html";
}

/// Where one came from.
#[derive(Debug, Deserialize)]
pub(crate) struct CameFrom {
    back: Option<String>,
    /// The version of the message a replay would take.
    version: Option<u32>,
}

/// The page.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
    Query(from): Query<CameFrom>,
) -> Result<Html<String>, Failure> {
    page(&app, &caller, id, from, None).await
}

/// The page, with what the last act did.
///
/// # Errors
/// [`Failure`]; 404 when there is nothing under the id.
pub(crate) async fn with_notice(
    app: &App,
    caller: &Caller,
    id: Uuid,
    back: Option<String>,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let version = None;
    page(app, caller, id, CameFrom { back, version }, notice).await
}

async fn page(
    app: &App,
    caller: &Caller,
    id: Uuid,
    from: CameFrom,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let detail = Detail::find(app, id, caller.sight(), from.version)
        .await?
        .ok_or_else(|| ErrorPage::not_found("archived order"))?;
    let archived = &detail.archived;
    let title = format!(
        "{} {}",
        what(archived.kind()),
        shown_id(archived.kind(), id, archived.gid)
    );
    let layout = frame::layout(app, caller, "archives", title).await?;
    let page = DetailPage::of(detail, caller, layout.notice(notice), from.back);
    Ok(view::render(&page)?)
}

impl DetailPage {
    fn of(detail: Detail, caller: &Caller, layout: Layout, back: Option<String>) -> Self {
        let (payload, unreadable) = match detail.payload() {
            Ok(payload) => (Some(payload), None),
            Err(why) => (None, Some(why.to_owned())),
        };
        let archived = &detail.archived;
        Self {
            layout,
            // Only to the list: the address is written by whoever made the link.
            back: back
                .filter(|back| back.starts_with("/archives?") && address::local(back).is_some())
                .unwrap_or_else(|| "/archives".to_owned()),
            id: shown_id(archived.kind(), archived.id, archived.gid).to_string(),
            what: what(archived.kind()),
            chips: chips(
                Some(detail.state()),
                archived.resolution.as_deref(),
                archived.held,
                archived.times_archived,
                archived.version > 0,
                archived.kind(),
            ),
            facts: facts(&detail),
            step: archived.step.clone(),
            error: archived.error.clone(),
            group: Alike::of(&detail),
            key: detail.key(),
            replay: ReplayButton::of(&detail, caller),
            discard: DiscardButton::of(&detail, caller),
            truth: detail
                .looked
                .seen
                .as_ref()
                .map(|seen| Panel::of(seen, caller, archived)),
            transaction: TransactionCard::of(&detail),
            generations: generations(archived, &detail.operations),
            payload,
            unreadable,
            headers: detail.headers(),
            operations: detail.operations.iter().map(OperationRow::of).collect(),
            alerts: detail.alerts.into_iter().map(AlertRow::of).collect(),
            incidents: detail.incidents.into_iter().map(IncidentRow::of).collect(),
            notes: NotesCard {
                action: format!("/archives/{}/notes", detail.archived.id),
                rows: detail.notes.into_iter().map(NoteRow::from).collect(),
                id: Uuid::now_v7().to_string(),
                text_at_most: TEXT_AT_MOST,
                disabled: caller.why_not::<WriteNote>(),
            },
            audit: detail.audit.into_iter().map(AuditRow::from).collect(),
        }
    }
}

const fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Order => "Order",
        Kind::Transaction => "Transaction",
        Kind::Message => "Message",
    }
}

impl Alike {
    fn of(detail: &Detail) -> Self {
        let fingerprint = detail.archived.fingerprint;
        Self {
            why: detail.why_grouped(),
            link: fingerprint.map(|fingerprint| list_of(fingerprint, None)),
            counts: detail
                .group
                .as_ref()
                .map(|group| format!("{} open of {}", grouped(group.open), grouped(group.total))),
        }
    }
}

impl TransactionCard {
    fn of(detail: &Detail) -> Option<Self> {
        let gid = detail.archived.gid?;
        (detail.archived.kind() == Kind::Transaction).then(|| Self {
            link: transactions::page_of(gid),
            finished: detail.archived.handled,
            uncompensated: detail
                .transaction()
                .map(|known| known.uncompensated)
                .unwrap_or_default(),
        })
    }
}

impl ReplayButton {
    fn of(detail: &Detail, caller: &Caller) -> Self {
        let disabled = match detail.replay.refusal {
            Some(code) => Some(refusal(code)),
            None if caller.may::<Replay>() => None,
            None => Some(format!(
                "Your role is {}: replaying an order needs {}.",
                caller.role(),
                Replay::ROLE
            )),
        };
        Self {
            action: format!("/archives/{}/replay", detail.archived.id),
            hint: detail.replay.sentence.clone(),
            disabled,
            checks: detail.replay.checks.iter().map(CheckRow::of).collect(),
            version: (!detail.archived.held)
                .then(|| detail.looked.version().unwrap_or(0).to_string()),
            versions: VersionLink::all(detail),
            edit: format!("/archives/{}/edit", detail.archived.id),
            operation: detail
                .archived
                .operation_id
                .map(|operation| format!("/operations/{operation}")),
        }
    }
}

impl VersionLink {
    /// The newest first; none where nobody has edited it, or it goes on as it is.
    fn all(detail: &Detail) -> Vec<Self> {
        let (archived, chosen) = (&detail.archived, detail.looked.version());
        let newest = if archived.held { 0 } else { archived.version };
        if newest == 0 {
            return Vec::new();
        }
        (0..=newest)
            .rev()
            .map(|number| Self {
                label: match number {
                    0 => "As it came".to_owned(),
                    number => format!("Version {number}"),
                },
                link: format!("/archives/{}?version={number}", archived.id),
                current: chosen == Some(number),
            })
            .collect()
    }
}

impl CheckRow {
    fn of(check: &Check) -> Self {
        Self {
            what: check.what,
            chip: Chip::new(check.stands.word(), check.stands.tone()),
            says: check.says.clone(),
        }
    }
}

impl DiscardButton {
    fn of(detail: &Detail, caller: &Caller) -> Self {
        Self {
            action: format!("/archives/{}/discard", detail.archived.id),
            hint: detail.discard.sentence.clone(),
            disabled: match detail.discard.refusal {
                Some(code) => Some(refusal(code)),
                None => caller.why_not::<Discard>(),
            },
        }
    }
}

fn facts(detail: &Detail) -> Vec<Fact> {
    let archived = &detail.archived;
    let is_transaction = archived.kind() == Kind::Transaction;
    let sale_link = |sale: Uuid| format!("/archives?state=all&sale={sale}");
    let user = detail.user().map(|shown| match archived.user_id {
        Some(id) if shown == id.to_string() => {
            Fact::id("Buyer", id, Some(format!("/archives?state=all&q={id}")))
        }
        _ => Fact::text("Buyer", shown),
    });
    let gid_link = |gid: Uuid| is_transaction.then(|| transactions::page_of(gid));
    let storage = match &archived.location {
        Some(location) => format!("file {location}"),
        None => archived.storage.clone(),
    };
    let known = detail.transaction();
    let of_transaction = known.iter().flat_map(|known| {
        [
            Some(Fact::text("Kind", known.kind.clone())),
            Some(Fact::text("Decided to", known.direction.replace('_', " "))),
            Some(Fact::text("Epoch", known.epoch.to_string())),
            known.reason.clone().map(|why| Fact::text("Reason", why)),
        ]
    });
    let label = if is_transaction { "Label" } else { "Sale" };
    let generation = Fact::text("Generation", generation_name(archived.generation));
    [
        archived.order_id.map(|id| Fact::id("Order", id, None)),
        archived
            .sale_id
            .map(|id| Fact::id(label, id, Some(sale_link(id)))),
        user,
        archived
            .quantity
            .map(|units| Fact::text("Quantity", counted(units, "unit"))),
        archived
            .gid
            .map(|id| Fact::id("Transaction", id, gid_link(id))),
        archived
            .fingerprint
            .map(|it| Fact::text("Group", it.to_string())),
    ]
    .into_iter()
    .chain(of_transaction)
    .chain([
        Some(generation).filter(|_| !is_transaction),
        Some(Fact::text("Tries", archived.attempts.to_string())),
        Some(Fact::text(
            "Given up",
            if archived.times_archived == 1 {
                "once".to_owned()
            } else {
                format!("{} times", archived.times_archived)
            },
        )),
        Some(Fact::at("First failed", archived.first_failed_at)),
        Some(Fact::at("Archived", archived.archived_at)),
        archived.handled_at.map(|at| Fact::at("Handled", at)),
        Some(Fact::text("Payload kept in", storage)),
    ])
    .flatten()
    .collect()
}

fn counted(number: u32, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn generation_name(generation: u32) -> String {
    match generation {
        0 => "0, the buyer's request".to_owned(),
        replay => format!("{replay}, a replay"),
    }
}

/// The tries in their order, a heading wherever another generation begins; of a transaction, wherever another participant is called.
fn generations(archived: &Archived, operations: &[Operation]) -> Vec<Generation> {
    let attempts = archived.history.attempts();
    if archived.kind() == Kind::Transaction {
        return attempts
            .chunk_by(|one, next| one.worker == next.worker)
            .map(Generation::of_participant)
            .collect();
    }
    attempts
        .chunk_by(|one, next| one.generation == next.generation)
        .map(|tries| Generation::of(tries, operations))
        .collect()
}

impl Generation {
    fn of(tries: &[Attempt], operations: &[Operation]) -> Self {
        let generation = tries.first().map_or(0, |attempt| attempt.generation);
        // The latest replay of which its item was begun: what was undone or refused began nothing.
        let went_on = |item: &Item| {
            item.generation == generation
                && matches!(
                    item.state.as_str(),
                    "processing" | "confirmed" | "rejected" | "archived"
                )
        };
        let begun = operations
            .iter()
            .find(|operation| {
                operation.kind == operations::Kind::Replay && operation.items.iter().any(went_on)
            })
            .filter(|_| generation > 0);
        Self {
            title: match generation {
                0 => "The buyer's request".to_owned(),
                replay => format!("Replay {replay}"),
            },
            by: begun.map(|operation| operation.asked_by.clone()),
            at: begun.map(|operation| Moment::of(operation.created_at)),
            reason: begun.and_then(|operation| operation.reason.clone()),
            tries: tries.iter().map(Try::of).collect(),
        }
    }

    fn of_participant(calls: &[Attempt]) -> Self {
        let name = calls.first().map_or("", |call| &call.worker);
        Self {
            title: format!("Calls to {name}"),
            by: None,
            at: None,
            reason: None,
            tries: calls.iter().map(Try::of).collect(),
        }
    }
}

impl Try {
    fn of(attempt: &Attempt) -> Self {
        let told = attempt.error.as_deref().unwrap_or_default();
        // Of a call, what it was for stands before its answer.
        let (title, error) = match (attempt.lane, told.split_once(": ")) {
            (Lane::Call, Some((op, answer))) => {
                (op, Some(answer).filter(|answer| *answer != attempt.outcome))
            }
            (other, _) => (lane(other), attempt.error.as_deref()),
        };
        Self {
            title: format!("{}. {title}", attempt.attempt),
            tone: outcome_tone(&attempt.outcome),
            outcome: attempt.outcome.clone(),
            at: Moment::of(attempt.started_at),
            took: milliseconds(attempt.duration_ms.into()),
            worker: attempt.worker.clone(),
            error: error.map(str::to_owned),
            next: attempt.next_after_ms.map(milliseconds),
        }
    }
}
