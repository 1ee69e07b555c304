//! The list's choices as they stand in addresses.

use crate::address::with_query;
use ordering::{SaleId, sales::Filter};
use serde::Deserialize;

/// Rows of one page, unless the address says otherwise.
const PER_PAGE: u32 = 50;
/// And at most.
const PER_PAGE_AT_MOST: u32 = 100;

/// `?show=&before=&limit=`; an empty value is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct SaleQuery {
    /// `all`, which holds where nothing is said, `live`, `upcoming`, `ended` or `drifting`.
    pub show: Option<String>,
    /// The sale the page before ended with.
    pub before: Option<String>,
    pub limit: Option<String>,
}

/// What of the query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood")]
pub(crate) struct BadQuery(&'static str);

/// The choices, by their names in addresses.
pub(super) const SHOWN: [(&str, &str, Filter); 5] = [
    ("all", "All", Filter::All),
    ("live", "Live", Filter::Live),
    ("upcoming", "Upcoming", Filter::Upcoming),
    ("ended", "Ended", Filter::Ended),
    ("drifting", "Redis and MySQL differ", Filter::Drifting),
];

impl SaleQuery {
    /// Which sales.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn filter(&self) -> Result<Filter, BadQuery> {
        let name = text(self.show.as_deref()).unwrap_or("all");
        let chosen = SHOWN.into_iter().find(|(it, ..)| *it == name);
        chosen.map(|(_, _, filter)| filter).ok_or(BadQuery("show"))
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn before(&self) -> Result<Option<SaleId>, BadQuery> {
        text(self.before.as_deref())
            .map(|sale| sale.parse().map_err(|_| BadQuery("before")))
            .transpose()
    }

    /// Rows of the page.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn limit(&self) -> Result<u32, BadQuery> {
        text(self.limit.as_deref()).map_or(Ok(PER_PAGE), |limit| {
            limit
                .parse()
                .ok()
                .filter(|limit| (1..=PER_PAGE_AT_MOST).contains(limit))
                .ok_or(BadQuery("limit"))
        })
    }
}

/// The address of a list.
pub(super) fn link(show: Filter, before: Option<String>) -> String {
    let named = SHOWN.into_iter().find(|(_, _, filter)| *filter == show);
    let show = named.map(|(name, ..)| name).filter(|name| *name != "all");
    with_query(
        "/sales",
        &[("show", show.map(str::to_owned)), ("before", before)],
    )
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}
