//! `/groups`: one card a cause.

use super::{
    detail_page::page_of,
    list_query::{BadQuery, GroupQuery, link},
};
use crate::{
    App,
    access::{Look, May},
    archives::{Chip, list_of},
    cursor::CursorPage,
    failure::Failure,
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, Tab, grouped},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use compensation::archive::{
    groups::{self, Group, Paging, Shown, Sort, UNCOUNTED_AT_MOST},
    listing::State as Stands,
    marks::Status,
};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct GroupsPage {
    layout: Layout,
    tabs: Vec<Tab>,
    sorts: Vec<Tab>,
    show: &'static str,
    /// Rows that are not counted yet; nothing where all are.
    uncounted: Option<String>,
    groups: Vec<Card>,
    first: Option<String>,
    next: Option<String>,
}

/// A group, here and on its own page.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    /// Its own page.
    page: String,
    /// What operators said of it.
    chips: Vec<Chip>,
    /// The list of its rows: those that are open, or all where none is.
    link: String,
    all: String,
    example: Option<String>,
    fingerprint: String,
    step: String,
    code: Option<String>,
    pattern: String,
    why: String,
    open: String,
    total: String,
    /// Whether anything is open.
    asks: bool,
    first_seen_at: Moment,
    last_seen_at: Moment,
    /// How often all of it was replayed, in words.
    replays: Option<String>,
    /// Who said something of it last.
    said: Option<String>,
    said_at: Option<Moment>,
    reason: String,
}

impl Page for GroupsPage {
    const TEMPLATE: &'static str = "groups.html";
}

/// The groups.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<GroupQuery>,
) -> Result<Html<String>, Failure> {
    let (shown, sort) = (
        query.shown().map_err(bad_query)?,
        query.sort().map_err(bad_query)?,
    );
    let (after, limit) = (
        query.after().map_err(bad_query)?,
        query.limit().map_err(bad_query)?,
    );
    let paging = Paging {
        after,
        limit: limit + 1,
    };
    let found = groups::page(&app.db, shown, sort, paging)
        .await?
        .hidden(caller.sight());
    let uncounted = groups::uncounted(&app.db).await?;
    let CursorPage { items, next } =
        CursorPage::of(found, limit, |group| group.after(sort).to_string());
    let page = GroupsPage {
        layout: frame::layout(&app, &caller, "groups", "Groups").await?,
        tabs: tabs(shown, sort, limit),
        sorts: sorts(shown, sort, limit),
        show: shown.as_str(),
        uncounted: counted_later(uncounted),
        groups: items.into_iter().map(Card::of).collect(),
        first: after.map(|_| link(shown, sort, limit, None)),
        next: next.map(|next| link(shown, sort, limit, Some(next))),
    };
    Ok(view::render(&page)?)
}

fn bad_query(cause: BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

fn counted_later(uncounted: u32) -> Option<String> {
    match uncounted {
        0 => None,
        UNCOUNTED_AT_MOST.. => Some(format!("{} rows or more", grouped(uncounted.into()))),
        1 => Some("1 row".to_owned()),
        few => Some(format!("{few} rows")),
    }
}

fn tabs(shown: Shown, sort: Sort, limit: u32) -> Vec<Tab> {
    [
        ("Open", Shown::Open),
        ("Ignored", Shown::Ignored),
        ("Resolved", Shown::Resolved),
        ("All", Shown::All),
    ]
    .into_iter()
    .map(|(label, one)| Tab {
        label,
        count: None,
        link: link(one, sort, limit, None),
        current: one == shown,
    })
    .collect()
}

fn sorts(shown: Shown, sort: Sort, limit: u32) -> Vec<Tab> {
    [
        ("Most open first", Sort::Open),
        ("Latest first", Sort::LastSeen),
    ]
    .into_iter()
    .map(|(label, one)| Tab {
        label,
        count: None,
        link: link(shown, one, limit, None),
        current: one == sort,
    })
    .collect()
}

impl Card {
    pub fn of(group: Group) -> Self {
        let asks = group.open > 0;
        let mark = group.mark.as_ref();
        Self {
            page: page_of(group.fingerprint),
            chips: chips(&group),
            replays: replays(group.replays),
            said: mark.map(|mark| format!("{} said so", mark.by)),
            said_at: mark.map(|mark| Moment::of(mark.at)),
            reason: mark.map(|mark| mark.reason.clone()).unwrap_or_default(),
            link: list_of(group.fingerprint, asks.then_some(Stands::Open)),
            all: list_of(group.fingerprint, None),
            example: group.example_id.map(|id| format!("/archives/{id}")),
            fingerprint: group.fingerprint.to_string(),
            why: group.cause.why_grouped(),
            step: group.cause.step,
            code: group.cause.code,
            pattern: group.cause.pattern,
            open: grouped(group.open),
            total: grouped(group.total),
            asks,
            first_seen_at: Moment::of(group.first_seen_at),
            last_seen_at: Moment::of(group.last_seen_at),
        }
    }
}

fn chips(group: &Group) -> Vec<Chip> {
    let back = group
        .is_back()
        .then(|| Chip::new("failed again after it was resolved", "bad"));
    let status = match group.status() {
        Status::Open => None,
        Status::Ignored => Some(Chip::new("ignored", "plain")),
        Status::Resolved => Some(Chip::new("resolved", "good")),
    };
    let assignee = group.mark.as_ref().and_then(|mark| mark.assignee.as_ref());
    let assignee = assignee.map(|name| Chip::new(format!("looked after by {name}"), "busy"));
    back.into_iter().chain(status).chain(assignee).collect()
}

fn replays(times: u64) -> Option<String> {
    match times {
        0 => None,
        1 => Some("replayed once".to_owned()),
        2 => Some("replayed twice".to_owned()),
        more => Some(format!("replayed {more} times")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_is_said_in_words() {
        assert_eq!(counted_later(0), None);
        assert_eq!(counted_later(1).as_deref(), Some("1 row"));
        assert_eq!(counted_later(412).as_deref(), Some("412 rows"));
        assert_eq!(
            counted_later(1_000).as_deref(),
            Some("1\u{2009}000 rows or more")
        );
    }
}
