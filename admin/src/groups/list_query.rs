//! The list's choices as they stand in addresses.

use crate::address::with_query;
use compensation::archive::groups::{After, Shown, Sort};
use serde::Deserialize;

/// Groups of one page, unless the address says otherwise.
const PER_PAGE: u32 = 50;
/// And at most.
const PER_PAGE_AT_MOST: u32 = 100;

/// `?show=&sort=&after=&limit=`; an empty value is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct GroupQuery {
    /// `open`, which holds where nothing is said, `ignored`, `resolved` or `all`.
    pub show: Option<String>,
    /// `open`, which holds where nothing is said, or `last_seen`.
    pub sort: Option<String>,
    /// Where the page before ended.
    pub after: Option<String>,
    pub limit: Option<String>,
}

/// What of the query cannot be understood, and what can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be understood: {may_be}")]
pub(crate) struct BadQuery {
    name: &'static str,
    may_be: &'static str,
}

impl GroupQuery {
    /// Which groups.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn shown(&self) -> Result<Shown, BadQuery> {
        let bad = BadQuery {
            name: "show",
            may_be: "it is open, ignored, resolved or all",
        };
        text(self.show.as_deref()).map_or(Ok(Shown::default()), |it| it.parse().map_err(|_| bad))
    }

    /// What comes first.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn sort(&self) -> Result<Sort, BadQuery> {
        let bad = BadQuery {
            name: "sort",
            may_be: "it is open or last_seen",
        };
        text(self.sort.as_deref()).map_or(Ok(Sort::default()), |it| it.parse().map_err(|_| bad))
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn after(&self) -> Result<Option<After>, BadQuery> {
        let bad = BadQuery {
            name: "after",
            may_be: "it is what the page before gave as next",
        };
        let after = text(self.after.as_deref());
        after.map(|it| it.parse().map_err(|_| bad)).transpose()
    }

    /// Groups of the page.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn limit(&self) -> Result<u32, BadQuery> {
        let bad = BadQuery {
            name: "limit",
            may_be: "it is a number from 1 to 100",
        };
        text(self.limit.as_deref()).map_or(Ok(PER_PAGE), |limit| {
            let limit = limit.parse().ok();
            limit
                .filter(|limit| (1..=PER_PAGE_AT_MOST).contains(limit))
                .ok_or(bad)
        })
    }
}

/// The address of the page with these choices.
pub(super) fn link(shown: Shown, sort: Sort, limit: u32, after: Option<String>) -> String {
    with_query(
        "/groups",
        &[
            ("show", Some(shown.as_str().to_owned())),
            ("sort", Some(sort.as_str().to_owned())),
            ("limit", (limit != PER_PAGE).then(|| limit.to_string())),
            ("after", after),
        ],
    )
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_are_none_and_wrong_ones_are_named() {
        let query = |name: &str, value: &str| {
            let some = |one: &str| (one == name).then(|| value.to_owned());
            let query = GroupQuery {
                show: some("show"),
                sort: some("sort"),
                after: some("after"),
                limit: some("limit"),
            };
            query.shown()?;
            query.sort()?;
            query.after()?;
            query.limit()
        };
        for (name, wrong) in [
            ("show", "x"),
            ("sort", "first"),
            ("after", "1"),
            ("limit", "0"),
            ("limit", "101"),
        ] {
            assert_eq!(query(name, wrong).map_err(|bad| bad.name), Err(name));
            assert_eq!(query(name, " "), Ok(PER_PAGE));
        }
        assert_eq!(query("limit", "100"), Ok(100));
    }

    #[test]
    fn a_link_keeps_the_choices() {
        assert_eq!(
            link(Shown::All, Sort::LastSeen, 7, Some("1.2".to_owned())),
            "/groups?show=all&sort=last_seen&limit=7&after=1.2"
        );
    }
}
