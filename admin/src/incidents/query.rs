//! Which incidents, and where a page begins, as it stands in addresses.

use chrono::DateTime;
use compensation::alerts::incidents::{Position, Show};
use serde::Deserialize;

/// `?show=open|resolved&before=`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct IncidentQuery {
    pub show: Option<String>,
    pub before: Option<String>,
}

/// `?before=`, of the alerts of one incident.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct AlertsQuery {
    pub before: Option<String>,
}

/// The query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood")]
pub(crate) struct BadQuery(&'static str);

impl IncidentQuery {
    /// Which ones; those that stand unless it says otherwise.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn show(&self) -> Result<Show, BadQuery> {
        match self.show.as_deref() {
            None | Some("" | "open") => Ok(Show::Open),
            Some("resolved") => Ok(Show::Resolved),
            Some(_) => Err(BadQuery("show")),
        }
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn before(&self) -> Result<Option<Position>, BadQuery> {
        place(self.before.as_deref())
    }
}

impl AlertsQuery {
    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn before(&self) -> Result<Option<Position>, BadQuery> {
        place(self.before.as_deref())
    }
}

/// Milliseconds since 1970, and the id.
pub(super) fn written(place: Position) -> String {
    format!("{}.{}", place.at.timestamp_millis(), place.id.simple())
}

fn place(text: Option<&str>) -> Result<Option<Position>, BadQuery> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    parsed(text).map(Some).ok_or(BadQuery("before"))
}

fn parsed(text: &str) -> Option<Position> {
    let (at, id) = text.split_once('.')?;
    let at: i64 = at.parse().ok()?;
    // Of the years 1970 to 9999: what no column holds is no place.
    let of_a_row = (0..253_402_300_800_000).contains(&at);
    Some(Position {
        at: DateTime::from_timestamp_millis(at).filter(|_| of_a_row)?,
        id: id.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_place_survives_an_address() {
        let place = Position {
            at: DateTime::from_timestamp_millis(1_780_000_000_123).expect("a time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(parsed(&written(place)), Some(place));
        for none in ["1.x", "x", "", "-1.00000000000000000000000000000007"] {
            assert_eq!(parsed(none), None, "{none}");
        }
        let too_late = format!("{}.{}", i64::MAX, Uuid::nil().simple());
        assert_eq!(parsed(&too_late), None);
    }
}
