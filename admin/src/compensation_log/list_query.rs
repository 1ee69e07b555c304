//! The log's filter as it stands in addresses.

use crate::address::with_query;
use chrono::{DateTime, Utc};
use compensation::{
    attempt::Lane,
    log::reading::{Filter, Place},
};
use serde::Deserialize;
use uuid::Uuid;

/// Rows of one page, unless the address says otherwise.
const PER_PAGE: usize = 50;
/// And at most.
const PER_PAGE_AT_MOST: usize = 200;

/// The lanes a try can be in.
pub(super) const LANES: [Lane; 5] = [
    Lane::First,
    Lane::Retry,
    Lane::DeadLetter,
    Lane::Archive,
    Lane::Call,
];

/// `?order=&lane=&outcome=&until=&cursor=&limit=`; an empty value is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct LogQuery {
    pub order: Option<String>,
    pub lane: Option<String>,
    /// `failed`, or `settled` for those that did not.
    pub outcome: Option<String>,
    /// Begun at this time or earlier, in UTC.
    pub until: Option<String>,
    pub cursor: Option<String>,
    pub limit: Option<String>,
}

/// What of the query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood")]
pub(crate) struct BadQuery(&'static str);

impl LogQuery {
    /// What it asks for.
    ///
    /// # Errors
    /// [`BadQuery`] names the value.
    pub fn filter(&self) -> Result<Filter, BadQuery> {
        let lane = text(self.lane.as_deref()).map(|name| {
            let known = LANES.into_iter().find(|lane| lane.as_str() == name);
            known.map(Lane::as_str).ok_or(BadQuery("lane"))
        });
        let failed = text(self.outcome.as_deref()).map(|outcome| match outcome {
            "failed" => Ok(true),
            "settled" => Ok(false),
            _ => Err(BadQuery("outcome")),
        });
        let order_id = text(self.order.as_deref())
            .map(|order| order.parse::<Uuid>().map_err(|_| BadQuery("order")));
        let until = text(self.until.as_deref()).map(|time| moment(time).ok_or(BadQuery("until")));
        Ok(Filter {
            order_id: order_id.transpose()?,
            lane: lane.transpose()?.map(str::to_owned),
            failed: failed.transpose()?,
            until: until.transpose()?,
        })
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn cursor(&self) -> Result<Option<Place>, BadQuery> {
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

    /// The address of the list like this one, from another place.
    pub fn link(&self, cursor: Option<String>) -> String {
        let kept = |value: &Option<String>| text(value.as_deref()).map(str::to_owned);
        with_query(
            "/compensation-log",
            &[
                ("order", kept(&self.order)),
                ("lane", kept(&self.lane)),
                ("outcome", kept(&self.outcome)),
                ("until", kept(&self.until)),
                ("limit", kept(&self.limit)),
                ("cursor", cursor),
            ],
        )
    }

    /// Whether anything is filtered.
    pub fn is_filtered(&self) -> bool {
        let values = [&self.order, &self.lane, &self.outcome, &self.until];
        values.iter().any(|value| text(value.as_deref()).is_some())
    }
}

/// A time as browsers' fields send it (in UTC), or whole.
fn moment(time: &str) -> Option<DateTime<Utc>> {
    let whole = DateTime::parse_from_rfc3339(time).map(|at| at.to_utc());
    let of_field = || chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M");
    whole
        .or_else(|_| of_field().map(|at| at.and_utc()))
        .ok()
        .filter(|at| (1971..9999).contains(&chrono::Datelike::year(at)))
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named_and_a_link_keeps_the_others() {
        let query = |name: &str, value: &str| {
            let mut query = LogQuery::default();
            let field = match name {
                "order" => &mut query.order,
                "lane" => &mut query.lane,
                "outcome" => &mut query.outcome,
                "until" => &mut query.until,
                "cursor" => &mut query.cursor,
                _ => &mut query.limit,
            };
            *field = Some(value.to_owned());
            query
        };
        for (name, wrong) in [
            ("order", "x"),
            ("lane", "no lane"),
            ("outcome", "good"),
            ("until", "noon"),
            ("cursor", "1"),
            ("limit", "0"),
            ("limit", "201"),
        ] {
            let query = query(name, wrong);
            let refused = query
                .filter()
                .map(drop)
                .and_then(|()| query.cursor().map(drop))
                .and_then(|()| query.limit().map(drop));
            assert_eq!(refused, Err(BadQuery(name)), "{wrong}");
        }
        let at = query("until", "2026-01-02T03:04")
            .filter()
            .map(|it| it.until);
        assert_eq!(
            at,
            query("until", "2026-01-02T03:04:00Z")
                .filter()
                .map(|it| it.until)
        );
        assert_eq!(
            query("lane", " retry ").link(Some("1.2".to_owned())),
            "/compensation-log?lane=retry&cursor=1.2"
        );
    }
}
