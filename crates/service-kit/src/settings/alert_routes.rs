//! Who is told of which incidents, and when not: `alerts.routes`.
//!
//! An incident goes to every route that matches it, and to each of their channels once. Where no route is configured, and where none
//! matches, it goes to every channel: nobody is forgotten by an oversight. What comes of it is the crate `compensation`'s to say.

use serde::Deserialize;
use std::collections::BTreeSet;

/// As long as a channel's.
const NAME_AT_MOST: usize = 64;
/// More is no table a person keeps in mind.
const ROUTES_AT_MOST: usize = 50;
/// Of the words in a list.
const WORDS_AT_MOST: usize = 50;
/// A minute, for nobody is faster, to a week.
const ESCALATE_AFTER_S: std::ops::RangeInclusive<u64> = 60..=604_800;
/// The hours of a day, in minutes.
const DAY: u16 = 24 * 60;
/// Clocks on earth are between these, in minutes.
const OFFSETS: std::ops::RangeInclusive<i32> = -12 * 60..=14 * 60;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRoute {
    /// Its name, here and on pages.
    pub name: String,
    /// What it is for; empty: every severity.
    #[serde(default)]
    pub severities: Vec<RouteSeverity>,
    /// What it is for: `archived`, `system`, …; empty: every kind.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Names of `alerts.channels`.
    pub channels: Vec<String>,
    /// When only what is urgent is told.
    #[serde(default)]
    pub quiet_hours: Option<QuietHours>,
    /// Seconds after which [`Self::escalate_to`] is told of what nobody acknowledged.
    #[serde(default)]
    pub escalate_after_s: Option<u64>,
    /// The route that is told then, whatever it is for.
    #[serde(default)]
    pub escalate_to: Option<String>,
}

/// A severity, as alerts have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteSeverity {
    /// Someone has to look now.
    Urgent,
    /// Someone has to look today.
    Warning,
    /// Good to know.
    Info,
}

/// Hours of every day, which may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// The first quiet minute, `22:00`.
    pub from: MinuteOfDay,
    /// The first one that is not, `07:00`.
    pub to: MinuteOfDay,
    /// What the clocks there are ahead of UTC, `+08:00`. Daylight saving is not known: say what holds most of the year.
    #[serde(default)]
    pub utc_offset: UtcOffset,
}

/// A minute of a day, written `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct MinuteOfDay(u16);

/// Minutes ahead of UTC, written `+HH:MM` or `-HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct UtcOffset(i32);

/// A text that is no such time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none: {wanted}")]
pub struct NoTime {
    text: String,
    wanted: &'static str,
}

impl MinuteOfDay {
    /// Minutes since midnight, 0..1440.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl UtcOffset {
    /// Minutes ahead of UTC, negative behind it.
    #[must_use]
    pub const fn minutes(self) -> i32 {
        self.0
    }
}

impl TryFrom<String> for MinuteOfDay {
    type Error = NoTime;

    fn try_from(text: String) -> Result<Self, NoTime> {
        match minutes(&text) {
            Some(minutes) if minutes < DAY => Ok(Self(minutes)),
            _ => Err(NoTime {
                text,
                wanted: "a time of day is written HH:MM, 00:00 to 23:59",
            }),
        }
    }
}

impl TryFrom<String> for UtcOffset {
    type Error = NoTime;

    fn try_from(text: String) -> Result<Self, NoTime> {
        let (sign, rest) = match text.split_at_checked(1) {
            Some(("+", rest)) => (1, rest),
            Some(("-", rest)) => (-1, rest),
            _ => (0, ""),
        };
        let offset = minutes(rest).map(|minutes| sign * i32::from(minutes));
        match offset {
            Some(offset) if sign != 0 && OFFSETS.contains(&offset) => Ok(Self(offset)),
            _ => Err(NoTime {
                text,
                wanted: "an offset is written +HH:MM or -HH:MM, -12:00 to +14:00",
            }),
        }
    }
}

/// Of `HH:MM`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| {
        let fine = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        fine.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60).then_some(hours * 60 + minutes)
}

/// The first complaint about the routes, or none. `channels` are those that there are.
pub(super) fn complaint(routes: &[AlertRoute], channels: &BTreeSet<&str>) -> Option<String> {
    if routes.len() > ROUTES_AT_MOST {
        return Some(format!(
            "alerts.routes has more than {ROUTES_AT_MOST} routes"
        ));
    }
    let mut seen = BTreeSet::new();
    for route in routes {
        let name = &route.name;
        if !is_name(name) {
            return Some(format!(
                "alerts.routes: {name:?} must be 1 to {NAME_AT_MOST} of a-z, 0-9, '-', '_' and '.'"
            ));
        }
        if !seen.insert(name.as_str()) {
            return Some(format!("alerts.routes names {name:?} twice"));
        }
        if let Some(why) = route.complaint(channels) {
            return Some(format!("alerts.routes, {name:?}: {why}"));
        }
    }
    routes.iter().find_map(|route| broken_chain(route, routes))
}

impl AlertRoute {
    fn complaint(&self, channels: &BTreeSet<&str>) -> Option<String> {
        if self.channels.is_empty() {
            return Some("it names no channel".to_owned());
        }
        if self.channels.len().max(self.kinds.len()) > WORDS_AT_MOST {
            return Some(format!(
                "its lists have at most {WORDS_AT_MOST} entries each"
            ));
        }
        if let Some(unknown) = self
            .channels
            .iter()
            .find(|name| !channels.contains(name.as_str()))
        {
            return Some(format!(
                "there is no channel {unknown:?} in alerts.channels"
            ));
        }
        if let Some(kind) = self.kinds.iter().find(|kind| kind.trim().is_empty()) {
            return Some(format!("{kind:?} is no kind of alert"));
        }
        if let Some(hours) = self.quiet_hours
            && hours.from == hours.to
        {
            return Some("its quiet_hours are empty: from and to are the same".to_owned());
        }
        match (self.escalate_after_s, &self.escalate_to) {
            (None, None) => None,
            (Some(after), Some(_)) if ESCALATE_AFTER_S.contains(&after) => None,
            (Some(_), Some(_)) => Some(format!(
                "escalate_after_s must be {} to {}",
                ESCALATE_AFTER_S.start(),
                ESCALATE_AFTER_S.end()
            )),
            _ => Some("escalate_after_s and escalate_to come together".to_owned()),
        }
    }
}

/// Whether its chain leads to a route that is not there, or back into itself.
fn broken_chain(route: &AlertRoute, routes: &[AlertRoute]) -> Option<String> {
    let mut passed = vec![route.name.as_str()];
    let mut at = route;
    while let Some(next) = &at.escalate_to {
        let Some(found) = routes.iter().find(|route| route.name == *next) else {
            return Some(format!(
                "alerts.routes, {:?}: escalate_to names {next:?}, and there is no such route",
                at.name
            ));
        };
        if passed.contains(&next.as_str()) {
            passed.push(next);
            return Some(format!(
                "alerts.routes escalate in a circle: {}",
                passed.join(" to ")
            ));
        }
        passed.push(next);
        at = found;
    }
    None
}

fn is_name(name: &str) -> bool {
    (1..=NAME_AT_MOST).contains(&name.len())
        && name
            .bytes()
            .all(|letter| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> AlertRoute {
        AlertRoute {
            name: name.to_owned(),
            severities: Vec::new(),
            kinds: Vec::new(),
            channels: vec!["ops".to_owned()],
            quiet_hours: None,
            escalate_after_s: None,
            escalate_to: None,
        }
    }

    fn escalating(name: &str, to: &str) -> AlertRoute {
        AlertRoute {
            escalate_after_s: Some(600),
            escalate_to: Some(to.to_owned()),
            ..route(name)
        }
    }

    fn complaint_of(routes: &[AlertRoute]) -> String {
        complaint(routes, &BTreeSet::from(["ops"])).unwrap_or_default()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_change() {
        let minute = |text: &str| MinuteOfDay::try_from(text.to_owned()).unwrap();
        let empty = QuietHours {
            from: minute("22:00"),
            to: minute("22:00"),
            utc_offset: UtcOffset::default(),
        };
        let alone = AlertRoute {
            escalate_to: Some("a".to_owned()),
            ..route("b")
        };
        for (routes, said) in [
            (vec![route("a"), route("a")], "twice"),
            (vec![route("A")], "must be"),
            (
                vec![AlertRoute {
                    channels: vec!["pager".to_owned()],
                    ..route("a")
                }],
                "no channel \"pager\"",
            ),
            (
                vec![AlertRoute {
                    channels: Vec::new(),
                    ..route("a")
                }],
                "names no channel",
            ),
            (
                vec![AlertRoute {
                    quiet_hours: Some(empty),
                    ..route("a")
                }],
                "empty",
            ),
            (vec![escalating("a", "b")], "no such route"),
            (vec![escalating("a", "a")], "a to a"),
            (
                vec![
                    escalating("a", "b"),
                    escalating("b", "c"),
                    escalating("c", "b"),
                ],
                "circle: a to b to c to b",
            ),
            (vec![route("a"), alone], "come together"),
        ] {
            let line = complaint_of(&routes);
            assert!(line.contains(said), "{line:?} says nothing of {said:?}");
        }
        let fine = [escalating("a", "b"), escalating("b", "c"), route("c")];
        assert_eq!(complaint_of(&fine), "");
    }

    #[test]
    fn times_are_parsed_or_refused() {
        let minute = |text: &str| MinuteOfDay::try_from(text.to_owned()).map(MinuteOfDay::minutes);
        assert_eq!(minute("00:00").unwrap(), 0);
        assert_eq!(minute("23:59").unwrap(), 1_439);
        for none in ["24:00", "7:00", "07:60", "0700", "", "aa:bb", "+1:00"] {
            assert!(minute(none).is_err(), "{none}");
        }
        let offset = |text: &str| UtcOffset::try_from(text.to_owned()).map(UtcOffset::minutes);
        assert_eq!(offset("+08:00").unwrap(), 480);
        assert_eq!(offset("-03:30").unwrap(), -210);
        for none in ["08:00", "+15:00", "-13:00", "", "+8", "ü08:00"] {
            assert!(offset(none).is_err(), "{none}");
        }
    }
}
