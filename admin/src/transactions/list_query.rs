//! The list's filter as it stands in addresses.

use crate::address::with_query;
use coordinator::{
    Label, TxState,
    control::{Cursor, Filter},
};
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// Rows of one page, unless the address says otherwise.
const PER_PAGE: usize = 50;
/// And at most.
const PER_PAGE_AT_MOST: usize = 100;

/// `?state=&label=&kind=&participant=&older_than_s=&cursor=&limit=`; an empty value is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TransactionQuery {
    /// A state, or one of [`Group`]'s names, or `all`.
    pub state: Option<String>,
    pub label: Option<String>,
    pub kind: Option<String>,
    pub participant: Option<String>,
    pub older_than_s: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    pub limit: Option<String>,
}

/// What of the query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood")]
pub(crate) struct BadQuery(&'static str);

/// States that belong together for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// A person has to resume them.
    Stuck,
    /// Not decided yet.
    Undecided,
    /// Decided, and not everyone knows.
    Completing,
    /// Nothing is left to do.
    Finished,
}

impl Group {
    /// All of them, what asks for somebody first.
    pub const ALL: [Self; 4] = [
        Self::Stuck,
        Self::Undecided,
        Self::Completing,
        Self::Finished,
    ];

    /// Its name in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Undecided => "undecided",
            Self::Completing => "completing",
            Self::Finished => "finished",
        }
    }

    /// The states it has.
    pub const fn states(self) -> [TxState; 2] {
        match self {
            Self::Stuck => [TxState::StuckCommitting, TxState::StuckRollingBack],
            Self::Undecided => [TxState::Begun, TxState::Prepared],
            Self::Completing => [TxState::Committing, TxState::RollingBack],
            Self::Finished => [TxState::Committed, TxState::RolledBack],
        }
    }
}

impl TransactionQuery {
    /// What it asks for.
    ///
    /// # Errors
    /// [`BadQuery`] names the value.
    pub fn filter(&self) -> Result<Filter, BadQuery> {
        Ok(Filter {
            states: self.states()?,
            kind: text(self.kind.as_deref()).map(str::to_owned),
            label: text(self.label.as_deref())
                .map(|label| label.parse::<Uuid>().map_err(|_| BadQuery("label")))
                .transpose()?
                .map(Label::from_uuid),
            participant: text(self.participant.as_deref()).map(str::to_owned),
            older_than: text(self.older_than_s.as_deref())
                .map(|age| age.parse().map_err(|_| BadQuery("older_than_s")))
                .transpose()?
                .map(Duration::from_secs),
        })
    }

    fn states(&self) -> Result<Vec<TxState>, BadQuery> {
        let Some(name) = text(self.state.as_deref()).filter(|name| *name != "all") else {
            return Ok(Vec::new());
        };
        if let Some(group) = self.group() {
            return Ok(group.states().to_vec());
        }
        name.parse()
            .map(|state| vec![state])
            .map_err(|_| BadQuery("state"))
    }

    /// The group it names, if it names one.
    pub fn group(&self) -> Option<Group> {
        let name = text(self.state.as_deref())?;
        Group::ALL.into_iter().find(|group| group.as_str() == name)
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn cursor(&self) -> Result<Option<Cursor>, BadQuery> {
        text(self.cursor.as_deref())
            .map(|cursor| cursor.parse().map_err(|_| BadQuery("cursor")))
            .transpose()
    }

    /// Rows of the page.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn limit(&self) -> Result<usize, BadQuery> {
        text(self.limit.as_deref()).map_or(Ok(PER_PAGE), |limit| {
            limit
                .parse()
                .ok()
                .filter(|limit| (1..=PER_PAGE_AT_MOST).contains(limit))
                .ok_or(BadQuery("limit"))
        })
    }

    /// The address of the list like this one, with another state and place.
    pub fn link(&self, state: Option<&str>, cursor: Option<String>) -> String {
        let kept = |value: &Option<String>| text(value.as_deref()).map(str::to_owned);
        with_query(
            "/transactions",
            &[
                ("state", state.map(str::to_owned)),
                ("label", kept(&self.label)),
                ("kind", kept(&self.kind)),
                ("participant", kept(&self.participant)),
                ("older_than_s", kept(&self.older_than_s)),
                ("limit", kept(&self.limit)),
                ("cursor", cursor),
            ],
        )
    }

    /// The state it names, as addresses have it.
    pub fn state(&self) -> Option<&str> {
        text(self.state.as_deref())
    }

    /// Whether anything but the state is filtered.
    pub fn is_filtered(&self) -> bool {
        let values = [
            &self.label,
            &self.kind,
            &self.participant,
            &self.older_than_s,
        ];
        values.iter().any(|value| text(value.as_deref()).is_some())
    }
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(state: &str) -> TransactionQuery {
        TransactionQuery {
            state: Some(state.to_owned()),
            ..TransactionQuery::default()
        }
    }

    #[test]
    fn a_state_is_one_or_a_group_or_all() {
        let states = |state: &str| query(state).filter().map(|filter| filter.states);
        assert_eq!(states("prepared"), Ok(vec![TxState::Prepared]));
        assert_eq!(states("stuck"), Ok(Group::Stuck.states().to_vec()));
        assert_eq!(states("all"), Ok(Vec::new()));
        assert_eq!(states(" "), Ok(Vec::new()));
        assert_eq!(states("lost"), Err(BadQuery("state")));
    }

    #[test]
    fn every_state_is_in_one_group() {
        for state in TxState::ALL {
            let groups = Group::ALL.iter().filter(|it| it.states().contains(&state));
            assert_eq!(groups.count(), 1, "{state}");
        }
    }

    #[test]
    fn a_link_keeps_the_filter() {
        let query = TransactionQuery {
            participant: Some(" coupon ".to_owned()),
            older_than_s: Some("60".to_owned()),
            cursor: Some("gone".to_owned()),
            ..TransactionQuery::default()
        };
        assert_eq!(
            query.link(Some("stuck"), None),
            "/transactions?state=stuck&participant=coupon&older_than_s=60"
        );
    }

    type Change = fn(&mut TransactionQuery);

    #[test]
    fn wrong_values_are_named() {
        let wrong = |change: Change| {
            let mut query = TransactionQuery::default();
            change(&mut query);
            query
                .filter()
                .map(drop)
                .and_then(|()| query.cursor().map(drop))
                .and_then(|()| query.limit().map(drop))
        };
        let cases: [(Change, &str); 5] = [
            (|it| it.label = Some("x".to_owned()), "label"),
            (|it| it.older_than_s = Some("-1".to_owned()), "older_than_s"),
            (|it| it.cursor = Some("x".to_owned()), "cursor"),
            (|it| it.limit = Some("0".to_owned()), "limit"),
            (|it| it.limit = Some("101".to_owned()), "limit"),
        ];
        for (change, name) in cases {
            assert_eq!(wrong(change).map_err(|bad| bad.0), Err(name));
        }
    }
}
