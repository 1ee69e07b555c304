//! The page of an operation on many: how far it has come, what can be done to it now, and its items, page by page.

use super::{
    api::{ITEM_STATES, ITEMS_PER_PAGE, is_item_state},
    page::{ItemRow, ItemsQuery, LOOK_AGAIN_S},
    preview::words,
};
use crate::{
    App,
    access::{Caller, Discard, Permission as _, Steer},
    address::with_query,
    archives::{Chip, list_link},
    cursor::CursorPage,
    failure::Failure,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, Tab, grouped},
    web,
};
use axum::response::Html;
use compensation::operations::{self, Act, Bulk, Counts, LastAct, Operation, SecondPerson, State};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct BulkPage {
    layout: Layout,
    id: String,
    kind: String,
    chip: Chip,
    meaning: String,
    asked_by: String,
    reason: Option<String>,
    created_at: Moment,
    starts_at: Moment,
    finished_at: Option<Moment>,
    last_act: Option<String>,
    /// Who confirmed it.
    second_person: Option<String>,
    selected: Vec<(&'static str, String)>,
    /// The list behind it.
    list: String,
    canary: bool,
    stage: String,
    rate: u32,
    stop_percent: u32,
    archived_until: Moment,
    ended: u32,
    of: u32,
    tallies: Vec<Tally>,
    acts: Vec<Button>,
    tabs: Vec<Tab>,
    items: Vec<ItemRow>,
    first: Option<String>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Tally {
    label: &'static str,
    count: String,
    tone: &'static str,
}

/// A button; disabled with the sentence why, rather than hidden.
#[derive(Debug, Serialize)]
struct Button {
    title: &'static str,
    hint: &'static str,
    action: String,
    danger: bool,
    disabled: Option<String>,
}

impl Page for BulkPage {
    const TEMPLATE: &'static str = "operation_bulk.html";
}

/// The page.
///
/// # Errors
/// [`Failure`].
pub(super) async fn page(
    app: &App,
    caller: &Caller,
    layout: Layout,
    operation: Operation,
    query: &ItemsQuery,
) -> Result<Html<String>, Failure> {
    let shown = query.items.as_deref().filter(|state| !state.is_empty());
    if shown.is_some_and(|state| !is_item_state(state)) {
        return Err(web::not_understood("No item is in the state this address names.").into());
    }
    let (id, sight) = (operation.id, caller.sight());
    let operation = operation.hidden(sight);
    let found = operations::items(&app.db, id, shown, query.after, ITEMS_PER_PAGE + 1)
        .await?
        .hidden(sight);
    let CursorPage { items, next } =
        CursorPage::of(found, ITEMS_PER_PAGE, |item| item.archive_id.to_string());
    let items = items.iter().map(ItemRow::of).collect();
    let here = |state: Option<&str>, after: Option<String>| {
        let values = [("items", state.map(str::to_owned)), ("after", after)];
        with_query(&format!("/operations/{id}"), &values)
    };
    let tabs = tabs(shown, |state| here(state, None));
    let first = query.after.map(|_| here(shown, None));
    let next = next.map(|next| here(shown, Some(next)));
    let Some(bulk) = operation.bulk.clone() else {
        return Err(anyhow::anyhow!("operation {id} is a single replay").into());
    };
    let counts = bulk.counts;
    // A list one turns pages of stays as it is.
    let alive = goes_on(operation.state, &counts) && query.after.is_none();
    let filter = bulk
        .selected
        .filter()
        .map_err(|bad| anyhow::anyhow!("the filter of operation {id}: {bad}"))?;
    let page = BulkPage {
        layout: if alive {
            layout.refresh(LOOK_AGAIN_S)
        } else {
            layout
        },
        id: id.to_string(),
        kind: operation.kind.to_string(),
        chip: Chip::new(state_word(operation.state), tone(operation.state)),
        meaning: meaning(&operation, &bulk),
        second_person: bulk.second_person.as_ref().and_then(confirmed),
        acts: buttons(caller, &operation),
        asked_by: operation.asked_by,
        reason: operation.reason,
        created_at: Moment::of(operation.created_at),
        starts_at: Moment::of(bulk.starts_at),
        finished_at: operation.finished_at.map(Moment::of),
        last_act: bulk.last_act.as_ref().map(told),
        selected: words(&bulk.selected),
        list: list_link("/archives", &filter, None),
        canary: bulk.canary,
        stage: bulk.stage(),
        rate: bulk.rate,
        stop_percent: bulk.stop_percent,
        archived_until: Moment::of(bulk.watermark),
        ended: counts.ended(),
        of: counts.selected,
        tallies: tallies(&counts),
        tabs,
        items,
        first,
        next,
    };
    Ok(view::render(&page)?)
}

fn goes_on(state: State, counts: &Counts) -> bool {
    matches!(state, State::Waiting | State::Unconfirmed | State::Running) || counts.under_way() > 0
}

fn tone(state: State) -> &'static str {
    match state {
        State::Waiting | State::Running => "busy",
        State::Paused | State::Unconfirmed => "bad",
        State::Finished => "good",
        State::Cancelled | State::Undone | State::Expired => "plain",
    }
}

/// Its state as people read it.
pub(super) const fn state_word(state: State) -> &'static str {
    match state {
        State::Unconfirmed => "waits for a second person",
        other => other.as_str(),
    }
}

fn confirmed(second: &SecondPerson) -> Option<String> {
    let (by, at) = (second.confirmed_by.as_ref()?, second.confirmed_at?);
    Some(format!("{by} at {} UTC", at.format("%Y-%m-%d %H:%M:%S")))
}

fn meaning(operation: &Operation, bulk: &Bulk) -> String {
    let selecting = if bulk.selected_all {
        ""
    } else {
        " Its orders are still being selected."
    };
    let under_way = bulk.counts.under_way();
    let going_on = if under_way > 0 {
        format!(" {under_way} that were begun go on.")
    } else {
        String::new()
    };
    match operation.state {
        State::Unconfirmed => {
            let (above, until) = bulk
                .second_person
                .as_ref()
                .map_or((0, String::new()), |it| {
                    (it.above, it.until.format("%Y-%m-%d %H:%M").to_string())
                });
            format!(
                "Nothing is done yet. These are more than {above} orders, so another operator than {} has to confirm it, until {until} UTC; else it ends by itself.",
                operation.asked_by
            )
        }
        State::Expired => "Nobody confirmed it in time: nothing was done.".to_owned(),
        State::Waiting => format!("Nothing is done yet, and it can be undone.{selecting}"),
        State::Running => format!("It goes on by itself: {}.", bulk.stage()),
        State::Paused => format!("No further order is begun until somebody resumes it.{going_on}"),
        State::Finished => "Every one of its orders has ended.".to_owned(),
        State::Cancelled => format!("No further order is begun.{going_on}"),
        State::Undone => "It was recalled before anything was done.".to_owned(),
    }
}

fn told(last: &LastAct) -> String {
    let done = match last.act.as_str() {
        "pause" => "Paused",
        "resume" => "Resumed",
        "cancel" => "Cancelled",
        "undo" => "Undone",
        "confirm" => "Confirmed",
        _ => "Stopped",
    };
    let who = last.by.as_deref().map_or("itself", |by| by);
    let why = last
        .reason
        .as_deref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    format!(
        "{done} by {who} at {} UTC{why}",
        last.at.format("%Y-%m-%d %H:%M:%S")
    )
}

fn tallies(counts: &Counts) -> Vec<Tally> {
    [
        ("left", counts.left(), "plain"),
        ("under way", counts.under_way(), "busy"),
        ("confirmed", counts.confirmed, "good"),
        ("rejected", counts.rejected, "plain"),
        ("failed again", counts.archived, "bad"),
        ("refused", counts.refused, "bad"),
        ("discarded", counts.discarded, "plain"),
    ]
    .into_iter()
    .map(|(label, count, tone)| Tally {
        label,
        count: grouped(u64::from(count)),
        tone,
    })
    .collect()
}

/// The second person's button; off for who asked.
fn confirm_button(caller: &Caller, operation: &Operation) -> Option<Button> {
    let waits = operation.state == State::Unconfirmed;
    waits.then(|| Button {
        title: "Confirm",
        hint: "Its time to undo it begins, then its orders are discarded. They cannot be replayed afterwards.",
        action: format!("/operations/{}/confirm", operation.id),
        danger: true,
        disabled: if operation.asked_by == caller.who.name {
            Some("Who asked for it cannot confirm it: somebody else has to.".to_owned())
        } else {
            caller.why_not::<Discard>()
        },
    })
}

fn buttons(caller: &Caller, operation: &Operation) -> Vec<Button> {
    let (state, id) = (operation.state, operation.id);
    let possible = |act: &Act| state.on(act.event()).is_ok();
    let acts = Act::ALL
        .into_iter()
        .filter(possible)
        .map(|act| {
            let (title, hint) = match act {
                Act::Pause => ("Pause", "No further order is begun until it is resumed."),
                Act::Resume => (
                    "Resume",
                    "It goes on where it stood; one that stopped itself begins with a single order again.",
                ),
                Act::Cancel => (
                    "Cancel",
                    "No further order is begun, ever. What was begun goes on.",
                ),
                Act::Undo => ("Undo", "It is recalled: nothing was done, and nothing will be."),
            };
            Button {
                title,
                hint,
                action: format!("/operations/{id}/{}", act.as_str()),
                danger: matches!(act, Act::Cancel | Act::Undo),
                disabled: (!caller.may::<Steer>()).then(|| {
                    format!(
                        "It needs the permission {}, which the role {} has.",
                        Steer::NAME,
                        Steer::ROLE
                    )
                }),
            }
        });
    confirm_button(caller, operation)
        .into_iter()
        .chain(acts)
        .collect()
}

fn tabs(shown: Option<&str>, link: impl Fn(Option<&str>) -> String) -> Vec<Tab> {
    let all = Tab {
        label: "All",
        count: None,
        link: link(None),
        current: shown.is_none(),
    };
    let states = ITEM_STATES.into_iter().map(|state| Tab {
        label: state,
        count: None,
        link: link(Some(state)),
        current: shown == Some(state),
    });
    std::iter::once(all).chain(states).collect()
}
