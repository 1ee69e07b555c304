//! `/archives`: the list people work from.

use super::{
    ListQuery,
    columns::NAMES,
    list_query::{BadQuery, link},
    shown::{Chip, chips, shown_id},
};
use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure::Failure,
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, ShortId, Tab, grouped},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use compensation::{
    archive::{
        groups,
        listing::{self, COUNTED_AT_MOST, Counts, Filter, Listed, Paging, State as Stands},
    },
    fingerprint::Fingerprint,
    personal::Sight,
};
use serde::Serialize;

/// Rows of one page.
pub(crate) const PER_PAGE: u32 = 50;

#[derive(Debug, Serialize)]
struct ListPage {
    layout: Layout,
    /// The search box.
    query: String,
    state: &'static str,
    sale: Option<String>,
    step: Option<String>,
    fingerprint: Option<String>,
    /// What the rows of the group share.
    group: Option<String>,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    /// Whether anything is filtered: an empty list says something else then.
    filtered: bool,
    /// The list without search, sale, step and group.
    clear: String,
    /// Where the search stopped, if it did before the page was full.
    searched_back_to: Option<Moment>,
    first: Option<String>,
    next: Option<String>,
    columns: [&'static str; 19],
}

#[derive(Debug, Serialize)]
struct Row {
    link: String,
    id: String,
    sale: Option<ShortId>,
    sale_link: Option<String>,
    user: Option<ShortId>,
    chips: Vec<Chip>,
    step: String,
    step_link: String,
    error: String,
    /// Those with the same cause, of this list.
    alike_link: Option<String>,
    attempts: i32,
    archived_at: Moment,
}

impl Page for ListPage {
    const TEMPLATE: &'static str = "archives.html";
}

/// The list, newest first; what is open unless another state is named.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<ListQuery>,
) -> Result<Html<String>, Failure> {
    let filter = query.filter(Some(Stands::Open)).map_err(bad_query)?;
    let after = query.after().map_err(bad_query)?;
    let paging = Paging {
        after,
        limit: PER_PAGE + 1,
    };
    let sight = caller.sight();
    let mut found = listing::page(&app.db, &filter, paging).await?;
    found.rows.hide(sight);
    let counts = listing::count(&app.db, &filter).await?;
    let group = match filter.fingerprint {
        Some(fingerprint) => groups::find(&app.db, fingerprint).await?.hidden(sight),
        None => None,
    };
    let here = link("/archives", &filter, after.map(|after| after.to_string()));
    let stopped_at = found.stopped_at;
    let CursorPage { items, next } = super::page_of(found);
    let page = ListPage {
        layout: frame::layout(&app, &caller, "archives", "Archived orders").await?,
        state: filter.state.map_or("all", Stands::as_str),
        sale: filter.sale.map(|sale| sale.to_string()),
        step: filter.step.clone(),
        fingerprint: filter.fingerprint.map(|it| it.to_string()),
        group: group.map(|group| group.cause.why_grouped()),
        tabs: tabs(&filter, counts),
        rows: items
            .into_iter()
            .map(|row| Row::of(row, &filter, &here, sight))
            .collect(),
        filtered: filter.query.is_some()
            || filter.sale.is_some()
            || filter.step.is_some()
            || filter.fingerprint.is_some(),
        clear: link("/archives", &only_state(&filter), None),
        searched_back_to: stopped_at.map(|place| Moment::of(place.archived_at)),
        first: after.map(|_| link("/archives", &filter, None)),
        next: next.map(|next| link("/archives", &filter, Some(next))),
        columns: NAMES,
        query: filter.query.unwrap_or_default(),
    };
    Ok(view::render(&page)?)
}

pub(super) fn bad_query(cause: BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

fn only_state(filter: &Filter) -> Filter {
    Filter {
        state: filter.state,
        ..Filter::default()
    }
}

/// Without numbers where only looking at very many rows would tell them.
fn tabs(filter: &Filter, counts: Option<Counts>) -> Vec<Tab> {
    let number = |of: fn(Counts) -> [u64; 3]| counts.map(|counts| counted(&of(counts)));
    [
        ("Open", Some(Stands::Open), number(|it| [it.open, 0, 0])),
        (
            "Replaying",
            Some(Stands::Replaying),
            number(|it| [it.replaying, 0, 0]),
        ),
        (
            "Handled",
            Some(Stands::Handled),
            number(|it| [it.handled, 0, 0]),
        ),
        (
            "All",
            None,
            number(|it| [it.open, it.replaying, it.handled]),
        ),
    ]
    .into_iter()
    .map(|(label, state, count)| Tab {
        label,
        count,
        link: link(
            "/archives",
            &Filter {
                state,
                ..filter.clone()
            },
            None,
        ),
        current: filter.state == state,
    })
    .collect()
}

/// The sum; nobody counts beyond [`COUNTED_AT_MOST`] of a state.
fn counted(parts: &[u64]) -> String {
    if parts.iter().any(|part| *part > COUNTED_AT_MOST) {
        let sum: u64 = parts.iter().map(|part| (*part).min(COUNTED_AT_MOST)).sum();
        return format!("{}+", grouped(sum));
    }
    grouped(parts.iter().sum())
}

impl Row {
    fn of(listed: Listed, filter: &Filter, here: &str, sight: Sight) -> Self {
        let chips = chips(
            // How it ended differs among what is handled.
            Some(listed.state())
                .filter(|state| filter.state.is_none() || *state == Stands::Handled),
            listed.resolution.as_deref(),
            listed.held,
            listed.times_archived.unsigned_abs(),
            listed.version > 0,
            listed.kind(),
        );
        let of_sale = |sale| Filter {
            sale: Some(sale),
            ..filter.clone()
        };
        let of_step = Filter {
            step: Some(listed.step.clone()),
            ..filter.clone()
        };
        Self {
            link: crate::address::with_query(
                &format!("/archives/{}", listed.id),
                &[("back", Some(here.to_owned()))],
            ),
            id: shown_id(listed.kind(), listed.id, listed.gid).to_string(),
            sale: listed.sale_id.map(ShortId::of),
            sale_link: listed
                .sale_id
                .map(|sale| link("/archives", &of_sale(sale), None)),
            user: listed.user_id.map(|id| ShortId::user(id, sight)),
            chips,
            alike_link: listed.fingerprint.map(|fingerprint| {
                let alike = Filter {
                    fingerprint: Some(Fingerprint::from_number(fingerprint)),
                    ..filter.clone()
                };
                link("/archives", &alike, None)
            }),
            step_link: link("/archives", &of_step, None),
            step: listed.step,
            error: listed.error.lines().next().unwrap_or_default().to_owned(),
            attempts: listed.attempts,
            archived_at: Moment::of(listed.archived_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_to_its_end_has_a_plus() {
        assert_eq!(counted(&[COUNTED_AT_MOST]), "10\u{2009}000");
        assert_eq!(counted(&[COUNTED_AT_MOST + 1]), "10\u{2009}000+");
        assert_eq!(counted(&[7, 0, COUNTED_AT_MOST + 1]), "10\u{2009}007+");
    }
}
