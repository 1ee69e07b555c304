//! The list's filter as it stands in addresses: every view can be shared.

use crate::address::with_query;
use compensation::{
    archive::listing::{After, Filter, State},
    fingerprint::Fingerprint,
};
use serde::Deserialize;
use uuid::Uuid;

/// `?q=&state=&sale=&step=&fingerprint=&after=`; an empty value is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ListQuery {
    /// An id, or a text in the error.
    pub q: Option<String>,
    /// `open`, `replaying`, `handled` or `all`; on the page open when it is not said.
    pub state: Option<String>,
    pub sale: Option<String>,
    pub step: Option<String>,
    /// Of a group.
    pub fingerprint: Option<String>,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// What of the query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood")]
pub(crate) struct BadQuery(&'static str);

impl ListQuery {
    /// What it asks for; `state` holds where the query names none.
    ///
    /// # Errors
    /// [`BadQuery`] names the value.
    pub fn filter(&self, state: Option<State>) -> Result<Filter, BadQuery> {
        Ok(Filter {
            query: text(self.q.as_deref()),
            state: match text(self.state.as_deref()).as_deref() {
                None => state,
                Some("all") => None,
                Some(name) => Some(name.parse().map_err(|_| BadQuery("state"))?),
            },
            sale: text(self.sale.as_deref())
                .map(|sale| sale.parse::<Uuid>().map_err(|_| BadQuery("sale")))
                .transpose()?,
            step: text(self.step.as_deref()),
            fingerprint: text(self.fingerprint.as_deref())
                .map(|it| it.parse().map_err(|_| BadQuery("fingerprint")))
                .transpose()?,
        })
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn after(&self) -> Result<Option<After>, BadQuery> {
        text(self.after.as_deref())
            .map(|after| after.parse().map_err(|_| BadQuery("after")))
            .transpose()
    }
}

/// The address of the list with this filter, beginning after `after`.
pub(crate) fn link(path: &str, filter: &Filter, after: Option<String>) -> String {
    with_query(
        path,
        &[
            ("q", filter.query.clone()),
            (
                "state",
                Some(filter.state.map_or("all", State::as_str).to_owned()),
            ),
            ("sale", filter.sale.map(|sale| sale.to_string())),
            ("step", filter.step.clone()),
            ("fingerprint", filter.fingerprint.map(|it| it.to_string())),
            ("after", after),
        ],
    )
}

/// The address of the list of a group's rows.
pub(crate) fn list_of(fingerprint: Fingerprint, state: Option<State>) -> String {
    let filter = Filter {
        fingerprint: Some(fingerprint),
        state,
        ..Filter::default()
    };
    link("/archives", &filter, None)
}

fn text(value: Option<&str>) -> Option<String> {
    let value = value?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_are_none_and_wrong_ones_are_named() {
        let query = ListQuery {
            q: Some("  ".to_owned()),
            state: Some(String::new()),
            ..ListQuery::default()
        };
        let open = Filter {
            state: Some(State::Open),
            ..Filter::default()
        };
        assert_eq!(query.filter(Some(State::Open)), Ok(open));
        let all = ListQuery {
            state: Some("all".to_owned()),
            ..ListQuery::default()
        };
        assert_eq!(all.filter(Some(State::Open)), Ok(Filter::default()));
        let bad = ListQuery {
            sale: Some("x".to_owned()),
            ..ListQuery::default()
        };
        assert_eq!(bad.filter(None), Err(BadQuery("sale")));
        let bad = ListQuery {
            fingerprint: Some("12".to_owned()),
            ..ListQuery::default()
        };
        assert_eq!(bad.filter(None), Err(BadQuery("fingerprint")));
    }

    #[test]
    fn a_link_keeps_the_filter() {
        let filter = Filter {
            query: Some("lock wait".to_owned()),
            state: None,
            sale: Some(Uuid::from_u128(1)),
            step: Some("decide".to_owned()),
            fingerprint: Some(Fingerprint::from_number(7)),
        };
        assert_eq!(
            link("/archives", &filter, Some("1.2".to_owned())),
            "/archives?q=lock%20wait&state=all&sale=00000000-0000-0000-0000-000000000001&step=decide&fingerprint=0000000000000007&after=1.2"
        );
    }
}
