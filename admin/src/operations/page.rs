//! `/operations` and `/operations/{id}`. Done means done: an order that was only sent is shown as sent.

use super::bulk_page;
use crate::{
    App,
    access::{Caller, Look, May},
    address::with_query,
    archives::{Chip, outcome_tone, refusal_sentence},
    cursor::CursorPage,
    failure::{ErrorPage, Failure},
    frame,
    hiding::Hide as _,
    truth,
    view::{self, Layout, Moment, Notice, Page, grouped},
    web::{self, Path, Query},
};
use axum::{extract::State, response::Html};
use compensation::operations::{self, DISCARDED, Item, Kind, Operation, Place, State as Stands};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Operations of one page.
const PER_PAGE: u32 = 50;
/// Seconds after which a browser looks again while an operation runs.
pub(super) const LOOK_AGAIN_S: u32 = 3;

/// Where a page of operations begins.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
}

/// Which items of an operation are shown.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ItemsQuery {
    pub items: Option<String>,
    pub after: Option<Uuid>,
}

#[derive(Debug, Serialize)]
struct ListPage {
    layout: Layout,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

/// An operation in a list, here and on the page of the order it is done to.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    id: String,
    link: String,
    kind: String,
    asked_by: String,
    reason: Option<String>,
    at: Moment,
    chips: Vec<Chip>,
    /// What it is done to.
    subjects: Vec<Subject>,
    /// How far one on many has come.
    progress: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Subject {
    id: String,
    link: String,
}

#[derive(Debug, Serialize)]
struct OperationPage {
    layout: Layout,
    id: String,
    kind: String,
    asked_by: String,
    reason: Option<String>,
    running: bool,
    created_at: Moment,
    finished_at: Option<Moment>,
    items: Vec<ItemRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct ItemRow {
    subject: Subject,
    gid: String,
    generation: u32,
    version: Option<i32>,
    state: String,
    steps: Vec<Step>,
    /// How it ended, as a sentence.
    outcome: Option<String>,
    tone: &'static str,
    finished_at: Option<Moment>,
}

/// One station of an item's way.
#[derive(Debug, Serialize)]
struct Step {
    label: String,
    /// `past`, `now`, `ahead`, `good` or `bad`.
    stands: &'static str,
}

impl Page for ListPage {
    const TEMPLATE: &'static str = "operations.html";
}

impl Page for OperationPage {
    const TEMPLATE: &'static str = "operation.html";
}

/// All of them, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, Failure> {
    let after: Option<Place> = query
        .after
        .filter(|after| !after.is_empty())
        .map(|after| after.parse())
        .transpose()
        .map_err(|_| web::not_understood("In this address, after is not where a page ended."))?;
    let found = operations::page(&app.db, after, PER_PAGE + 1)
        .await?
        .hidden(caller.sight());
    let CursorPage { items, next } =
        CursorPage::of(found, PER_PAGE, |operation| operation.place().to_string());
    let page = ListPage {
        layout: frame::layout(&app, &caller, "operations", "Operations").await?,
        rows: items.iter().map(Row::of).collect(),
        first: after.map(|_| "/operations".to_owned()),
        next: next.map(|next| with_query("/operations", &[("after", Some(next))])),
    };
    Ok(view::render(&page)?)
}

/// One of them, as far as it has come.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
    Query(query): Query<ItemsQuery>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, id, query, None).await
}

/// The page, with what the last act came to.
///
/// # Errors
/// [`Failure`]; 404 when there is none.
pub(crate) async fn with_notice(
    app: &App,
    caller: &Caller,
    id: Uuid,
    query: ItemsQuery,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let operation = operations::find(&app.db, id)
        .await?
        .ok_or_else(|| ErrorPage::not_found("operation"))?;
    let layout = frame::layout(app, caller, "operations", format!("Operation {id}"))
        .await?
        .notice(notice);
    if operation.bulk.is_some() {
        return bulk_page::page(app, caller, layout, operation, &query).await;
    }
    single(layout, operation.hidden(caller.sight()))
}

fn single(mut layout: Layout, operation: Operation) -> Result<Html<String>, Failure> {
    let running = operation.state == Stands::Running;
    if running {
        layout = layout.refresh(LOOK_AGAIN_S);
    }
    let page = OperationPage {
        layout,
        id: operation.id.to_string(),
        kind: operation.kind.to_string(),
        asked_by: operation.asked_by,
        reason: operation.reason,
        running,
        created_at: Moment::of(operation.created_at),
        finished_at: operation.finished_at.map(Moment::of),
        items: operation
            .items
            .iter()
            .map(|item| ItemRow::of_one(operation.kind, item))
            .collect(),
    };
    Ok(view::render(&page)?)
}

impl Row {
    /// The row.
    pub fn of(operation: &Operation) -> Self {
        let mut states: Vec<&str> = operation
            .items
            .iter()
            .map(|item| item.state.as_str())
            .collect();
        states.sort_unstable();
        states.dedup();
        if operation.bulk.is_some() && states.is_empty() {
            states.push(bulk_page::state_word(operation.state));
        }
        Self {
            link: format!("/operations/{}", operation.id),
            id: operation.id.to_string(),
            kind: operation.kind.to_string(),
            asked_by: operation.asked_by.clone(),
            reason: operation.reason.clone(),
            at: Moment::of(operation.created_at),
            chips: states
                .into_iter()
                .map(|state| Chip::new(state, outcome_tone(state)))
                .collect(),
            subjects: operation
                .items
                .iter()
                .map(|item| Subject::of(item.archive_id))
                .collect(),
            progress: operation.bulk.as_ref().map(|bulk| {
                let (counts, more) = (bulk.counts, if bulk.selected_all { "" } else { " so far" });
                let ended = grouped(u64::from(counts.ended()));
                format!(
                    "{ended} of {}{more} have ended",
                    grouped(u64::from(counts.selected))
                )
            }),
        }
    }
}

impl Subject {
    fn of(id: Uuid) -> Self {
        Self {
            link: format!("/archives/{id}"),
            id: id.to_string(),
        }
    }
}

impl ItemRow {
    pub fn of(item: &Item) -> Self {
        Self {
            subject: Subject::of(item.archive_id),
            gid: item.gid.to_string(),
            generation: item.generation,
            version: item.version,
            state: item.state.clone(),
            steps: steps(&item.state),
            outcome: outcome(&item.state, item.reason.as_deref()),
            tone: outcome_tone(&item.state),
            finished_at: item.finished_at.map(Moment::of),
        }
    }
}

impl ItemRow {
    /// That of an operation on one order.
    fn of_one(kind: Kind, item: &Item) -> Self {
        let row = Self::of(item);
        match (kind, item.state.as_str(), item.reason.as_deref()) {
            (Kind::Reconcile, "refused", Some(notes)) => Self {
                outcome: Some(format!("It was not put right. {}", truth::noted(notes))),
                ..row
            },
            (Kind::Discard, "refused", Some(reason)) => Self {
                outcome: Some(format!("It was not discarded. {}", why(reason))),
                ..row
            },
            _ => row,
        }
    }
}

fn steps(state: &str) -> Vec<Step> {
    let (reached, end) = match state {
        "selected" | "requested" => (0, None),
        "processing" => (1, None),
        end => (2, Some(end)),
    };
    let end_label = end.unwrap_or("settled");
    let end_stands = match outcome_tone(end_label) {
        "good" => "good",
        _ if end_label == DISCARDED => "good",
        _ => "bad",
    };
    ["requested", "processing", end_label]
        .into_iter()
        .enumerate()
        // What is refused was never worked on; reconciles and discards go through no queue.
        .filter(|(at, _)| *at != 1 || !matches!(state, "refused" | "reconciled" | DISCARDED))
        .map(|(at, label)| Step {
            label: label.to_owned(),
            stands: match at {
                _ if at > reached => "ahead",
                2 => end_stands,
                _ if at == reached => "now",
                _ => "past",
            },
        })
        .collect()
}

fn outcome(state: &str, reason: Option<&str>) -> Option<String> {
    let because = || {
        reason
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default()
    };
    Some(match state {
        "selected" | "requested" | "processing" => return None,
        DISCARDED => "It was given up for good.".to_owned(),
        "confirmed" => "The order is confirmed, and its units are sold.".to_owned(),
        "rejected" => format!(
            "The order was rejected{}: that is a final answer, and nothing is left to do.",
            because()
        ),
        "archived" => format!(
            "It failed again{} and is back in the archive, with the longer history.",
            because()
        ),
        "refused" => format!(
            "It was not tried. {}",
            reason.map_or_else(|| "No reason was given.".to_owned(), why)
        ),
        "reconciled" => match reason {
            None => "Nothing was wrong any more, and nothing was done.".to_owned(),
            Some(notes) => format!("{} Everything agrees now.", truth::noted(notes)),
        },
        other => format!("It ended: {other}{}.", because()),
    })
}

/// Why an item was not done: what the archive's page says, and what only items of many come to.
fn why(reason: &str) -> String {
    match reason {
        "archived_again" => {
            "It came back to the archive after this was asked for, and may have failed for another reason."
                .to_owned()
        }
        "superseded" => "Another transaction settled the order first.".to_owned(),
        "message_unreadable" => "Its message cannot be read.".to_owned(),
        "cannot_be_given_up" => {
            "It could not be decided: the compensator's log says why.".to_owned()
        }
        held if held.starts_with("replaying by ") || held.starts_with("discarding by ") => {
            format!("It is in the hands of another operation: {held}.")
        }
        other => refusal_sentence(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(state: &str) -> Vec<(String, &'static str)> {
        let steps = steps(state).into_iter();
        steps.map(|step| (step.label, step.stands)).collect()
    }

    #[test]
    fn the_way_of_an_item_shows_how_far_it_has_come() {
        let way = |state| {
            let way = stands(state).into_iter();
            way.map(|(label, stands)| format!("{label} {stands}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        assert_eq!(
            way("requested"),
            "requested now, processing ahead, settled ahead"
        );
        assert_eq!(
            way("processing"),
            "requested past, processing now, settled ahead"
        );
        assert_eq!(
            way("confirmed"),
            "requested past, processing past, confirmed good"
        );
        assert_eq!(
            way("archived"),
            "requested past, processing past, archived bad"
        );
        assert_eq!(way("refused"), "requested past, refused bad");
    }
}
