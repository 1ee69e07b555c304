//! Which alerts, and where a page of them begins, as it stands in addresses.

use chrono::DateTime;
use compensation::alerts::outbox::{Position, Show};
use serde::Deserialize;

/// `?show=all|undelivered&before=`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct AlertQuery {
    pub show: Option<String>,
    pub before: Option<String>,
}

/// The query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood")]
pub(crate) struct BadQuery(&'static str);

impl AlertQuery {
    /// Which ones; all unless it says otherwise.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn show(&self) -> Result<Show, BadQuery> {
        match self.show.as_deref() {
            None | Some("" | "all") => Ok(Show::All),
            Some("undelivered") => Ok(Show::NotDelivered),
            Some(_) => Err(BadQuery("show")),
        }
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn before(&self) -> Result<Option<Position>, BadQuery> {
        let Some(text) = self.before.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        parsed(text).map(Some).ok_or(BadQuery("before"))
    }
}

/// Milliseconds since 1970, the id, the channel.
pub(super) fn written(place: &Position) -> String {
    format!(
        "{}.{}.{}",
        place.created_at.timestamp_millis(),
        place.id.simple(),
        place.channel
    )
}

fn parsed(text: &str) -> Option<Position> {
    let mut parts = text.splitn(3, '.');
    Some(Position {
        created_at: DateTime::from_timestamp_millis(parts.next()?.parse().ok()?)?,
        id: parts.next()?.parse().ok()?,
        channel: parts.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_place_survives_an_address() {
        for channel in ["", "ops", "a.b"] {
            let place = Position {
                created_at: DateTime::from_timestamp_millis(1_780_000_000_123).expect("a time"),
                id: Uuid::from_u128(7),
                channel: channel.to_owned(),
            };
            assert_eq!(parsed(&written(&place)), Some(place));
        }
        assert_eq!(parsed("1.x.ops"), None);
    }
}
