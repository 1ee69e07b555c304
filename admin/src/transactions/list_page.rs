//! `/transactions`: what needs a person first.

use super::{
    acts::page_of,
    list_query::{BadQuery, Group, TransactionQuery},
    shown::state_chip,
};
use crate::{
    App,
    access::{Look, May},
    address::with_query,
    archives::Chip,
    failure::Failure,
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, ShortId, Tab, grouped, milliseconds},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use coordinator::{
    Backlog,
    control::{self, Listed},
};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct ListPage {
    layout: Layout,
    tabs: Vec<Tab>,
    state: Option<String>,
    label: String,
    kind: String,
    participant: String,
    older_than_s: String,
    filtered: bool,
    /// The list without what is filtered.
    clear: String,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    link: String,
    gid: String,
    kind: String,
    state: Chip,
    label: ShortId,
    label_link: String,
    attempts: u32,
    /// Why it is not finished, or why it was rolled back.
    why: Option<String>,
    created_at: Moment,
    /// How long it took; nothing while it is under way.
    took: Option<String>,
}

impl Page for ListPage {
    const TEMPLATE: &'static str = "transactions.html";
}

/// The list.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<TransactionQuery>,
) -> Result<Html<String>, Failure> {
    let filter = query.filter().map_err(bad_query)?;
    let cursor = query.cursor().map_err(bad_query)?;
    let limit = query.limit().map_err(bad_query)?;
    let mut found = control::list(&app.db, &filter, cursor.as_ref(), limit).await?;
    found.items.hide(caller.sight());
    let backlog = coordinator::backlog(&app.db).await?;
    let state = query.state();
    let here = query.link(state, cursor.as_ref().map(ToString::to_string));
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let page = ListPage {
        layout: frame::layout(&app, &caller, "transactions", "Transactions").await?,
        tabs: tabs(&query, &backlog),
        label: text(&query.label),
        kind: text(&query.kind),
        participant: text(&query.participant),
        older_than_s: text(&query.older_than_s),
        filtered: query.is_filtered(),
        clear: TransactionQuery::default().link(state, None),
        rows: found
            .items
            .into_iter()
            .map(|row| Row::of(row, &query, &here))
            .collect(),
        first: cursor.map(|_| query.link(state, None)),
        next: found
            .next
            .map(|next| query.link(state, Some(next.to_string()))),
        state: state.map(str::to_owned),
    };
    Ok(view::render(&page)?)
}

fn bad_query(cause: BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

/// Finished ones are not counted: whoever counts them waits for the whole table.
fn tabs(query: &TransactionQuery, backlog: &[Backlog]) -> Vec<Tab> {
    let count = |group: Group| {
        let of_group = backlog.iter().filter(|row| {
            let mut states = group.states().into_iter();
            states.any(|state| state.as_str() == row.state)
        });
        let count: i64 = of_group.map(|row| row.count).sum();
        (group != Group::Finished).then(|| grouped(count.unsigned_abs()))
    };
    let all = Tab {
        label: "All",
        link: query.link(None, None),
        count: None,
        current: query.state().is_none_or(|state| state == "all"),
    };
    let groups = Group::ALL.into_iter().map(|group| Tab {
        label: match group {
            Group::Stuck => "Stuck",
            Group::Undecided => "Undecided",
            Group::Completing => "Completing",
            Group::Finished => "Finished",
        },
        link: query.link(Some(group.as_str()), None),
        count: count(group),
        current: query.group() == Some(group),
    });
    std::iter::once(all).chain(groups).collect()
}

impl Row {
    fn of(listed: Listed, query: &TransactionQuery, here: &str) -> Self {
        let of_label = TransactionQuery {
            label: Some(listed.label.to_string()),
            ..query.clone()
        };
        Self {
            link: with_query(&page_of(listed.gid), &[("back", Some(here.to_owned()))]),
            gid: listed.gid.to_string(),
            state: state_chip(listed.state),
            label_link: of_label.link(query.state(), None),
            label: ShortId::of(listed.label.as_uuid()),
            kind: listed.kind,
            attempts: listed.attempts,
            why: listed.last_error.or(listed.reason),
            created_at: Moment::of(listed.created_at),
            took: listed
                .finished_at
                .map(|_| milliseconds(listed.age_ms.unsigned_abs())),
        }
    }
}
