//! `/operations` and `/operations/{id}`. Done means done: an order that was only sent is shown as sent.

use crate::{
    App,
    access::{Look, May},
    archives::{Chip, outcome_tone, refusal_sentence},
    failure::{ErrorPage, Failure},
    frame,
    view::{self, Layout, Moment, Page},
    web::Path,
};
use axum::{extract::State, response::Html};
use compensation::operations::{self, Item, Operation};
use serde::Serialize;
use uuid::Uuid;

/// Shown at most, newest first.
const SHOWN_AT_MOST: u32 = 100;
/// Seconds after which a browser looks again while an operation runs.
const LOOK_AGAIN_S: u32 = 3;

#[derive(Debug, Serialize)]
struct ListPage {
    layout: Layout,
    rows: Vec<Row>,
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
}

#[derive(Debug, Serialize)]
struct Subject {
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
struct ItemRow {
    subject: Subject,
    gid: String,
    generation: u32,
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

/// The latest ones.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
) -> Result<Html<String>, Failure> {
    let operations = operations::latest(&app.db, None, SHOWN_AT_MOST).await?;
    let page = ListPage {
        layout: frame::layout(&app, &caller, "operations", "Operations").await?,
        rows: operations.iter().map(Row::of).collect(),
    };
    Ok(view::render(&page)?)
}

/// One of them, as far as it has come.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Html<String>, Failure> {
    let operation = operations::find(&app.db, id)
        .await?
        .ok_or_else(|| ErrorPage::not_found("operation"))?;
    let running = operation.state == "running";
    let mut layout = frame::layout(&app, &caller, "operations", format!("Operation {id}")).await?;
    if running {
        layout = layout.refresh(LOOK_AGAIN_S);
    }
    let page = OperationPage {
        layout,
        id: id.to_string(),
        kind: operation.kind,
        asked_by: operation.asked_by,
        reason: operation.reason,
        running,
        created_at: Moment::of(operation.created_at),
        finished_at: operation.finished_at.map(Moment::of),
        items: operation.items.iter().map(ItemRow::of).collect(),
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
        Self {
            link: format!("/operations/{}", operation.id),
            id: operation.id.to_string(),
            kind: operation.kind.clone(),
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
    fn of(item: &Item) -> Self {
        Self {
            subject: Subject::of(item.archive_id),
            gid: item.gid.to_string(),
            generation: item.generation,
            steps: steps(&item.state),
            outcome: outcome(&item.state, item.reason.as_deref()),
            tone: outcome_tone(&item.state),
            finished_at: item.finished_at.map(Moment::of),
        }
    }
}

fn steps(state: &str) -> Vec<Step> {
    let (reached, end) = match state {
        "requested" => (0, None),
        "processing" => (1, None),
        end => (2, Some(end)),
    };
    let end_label = end.unwrap_or("settled");
    let end_stands = match outcome_tone(end_label) {
        "good" => "good",
        _ => "bad",
    };
    ["requested", "processing", end_label]
        .into_iter()
        .enumerate()
        // What is refused was never worked on.
        .filter(|(at, _)| *at != 1 || state != "refused")
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
        "requested" | "processing" => return None,
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
            reason.map_or_else(|| "No reason was given.".to_owned(), refusal_sentence)
        ),
        other => format!("It ended: {other}{}.", because()),
    })
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
