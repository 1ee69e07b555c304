//! Who is told of which incidents, and when not. Pure: made of the settings, and asked with a time.

use super::Severity;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use service_kit::settings::{AlertRoute, Alerts, ChannelKind, QuietHours, RouteSeverity};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The channel of those who have none: what goes to it is shown as undelivered.
pub(super) const NOBODY: &str = "";
const DAY: i64 = 24 * 60;

/// The routes of a process, and how often it says the same again.
#[derive(Debug, Clone)]
pub struct Routes {
    all: Vec<Route>,
    /// Where no other one matches.
    every: Route,
    /// Channels whose receivers call people until they know that somebody looks after it.
    calling: BTreeSet<String>,
    /// The address of the admin, without a slash at its end.
    pages: Option<String>,
    pub(super) group_interval: TimeDelta,
    pub(super) repeat_interval: TimeDelta,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) name: String,
    severities: Vec<Severity>,
    kinds: Vec<String>,
    pub(super) channels: Vec<String>,
    quiet_hours: Option<QuietHours>,
    /// After how long nobody acknowledged, and which route is told then.
    pub(super) escalation: Option<(TimeDelta, String)>,
}

impl Routes {
    /// `alerts.routes` and the intervals of `alerts`. `channels` are all there are.
    #[must_use]
    pub fn new(settings: &Alerts, channels: &[String]) -> Self {
        Self {
            all: settings.routes.iter().map(Route::of).collect(),
            every: Route::to_all(channels),
            calling: settings
                .channels
                .iter()
                .filter(|channel| channel.kind == ChannelKind::Pagerduty)
                .map(|channel| channel.name.clone())
                .collect(),
            pages: pages(settings),
            group_interval: seconds(settings.group_interval_s),
            repeat_interval: seconds(settings.repeat_interval_s),
        }
    }

    /// Those that tell of such an incident: every one that matches, and those it was escalated to.
    pub(super) fn telling<'a>(
        &'a self,
        severity: Severity,
        kind: &str,
        escalated: &BTreeSet<&str>,
    ) -> Vec<&'a Route> {
        let mut telling: Vec<&Route> = self
            .all
            .iter()
            .filter(|route| route.matches(severity, kind))
            .collect();
        if telling.is_empty() {
            telling.push(&self.every);
        }
        let more = self.all.iter().filter(|route| {
            escalated.contains(route.name.as_str()) && !route.matches(severity, kind)
        });
        telling.extend(more);
        telling
    }

    /// Whether the channel's receiver calls people until it is told that somebody looks after it.
    pub(super) fn calls_people(&self, channel: &str) -> bool {
        self.calling.contains(channel)
    }

    /// Where people look at this incident.
    pub(super) fn page_of(&self, incident: Uuid) -> Option<String> {
        let pages = self.pages.as_ref()?;
        Some(format!("{pages}/incidents/{incident}"))
    }

    /// The route of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Route> {
        self.all.iter().find(|route| route.name == name)
    }
}

impl Route {
    fn of(settings: &AlertRoute) -> Self {
        let escalation = settings
            .escalate_after_s
            .zip(settings.escalate_to.clone())
            .map(|(after, to)| (seconds(after), to));
        Self {
            name: settings.name.clone(),
            severities: settings.severities.iter().copied().map(severity).collect(),
            kinds: settings.kinds.clone(),
            channels: settings.channels.clone(),
            quiet_hours: settings.quiet_hours,
            escalation,
        }
    }

    fn to_all(channels: &[String]) -> Self {
        let channels = match channels {
            [] => vec![NOBODY.to_owned()],
            some => some.to_vec(),
        };
        Self {
            name: String::new(),
            severities: Vec::new(),
            kinds: Vec::new(),
            channels,
            quiet_hours: None,
            escalation: None,
        }
    }

    fn matches(&self, severity: Severity, kind: &str) -> bool {
        let of_severity = self.severities.is_empty() || self.severities.contains(&severity);
        let of_kind = self.kinds.is_empty() || self.kinds.iter().any(|known| known == kind);
        of_severity && of_kind
    }

    /// When its quiet hours end, if it is in them.
    pub(super) fn quiet_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let hours = self.quiet_hours?;
        let (from, to) = (
            i64::from(hours.from.minutes()),
            i64::from(hours.to.minutes()),
        );
        let there = now + TimeDelta::minutes(hours.utc_offset.minutes().into());
        let minute = i64::from(there.hour() * 60 + there.minute());
        let quiet_for = (to - from).rem_euclid(DAY);
        let since = (minute - from).rem_euclid(DAY);
        if since >= quiet_for {
            return None;
        }
        let begun = TimeDelta::seconds(there.second().into())
            + TimeDelta::nanoseconds(there.nanosecond().into());
        Some(now - begun + TimeDelta::minutes(quiet_for - since))
    }
}

/// `alerts.pages` without a slash at its end, where it is set.
pub(super) fn pages(settings: &Alerts) -> Option<String> {
    let pages = settings.pages.trim_end_matches('/').to_owned();
    Some(pages).filter(|url| !url.is_empty())
}

const fn severity(of: RouteSeverity) -> Severity {
    match of {
        RouteSeverity::Urgent => Severity::Urgent,
        RouteSeverity::Warning => Severity::Warning,
        RouteSeverity::Info => Severity::Info,
    }
}

fn seconds(of: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(of).unwrap_or(i64::MAX / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(from: &str, to: &str, offset: &str) -> Route {
        let hours = serde_json::json!({"from": from, "to": to, "utc_offset": offset});
        Route {
            quiet_hours: Some(serde_json::from_value(hours).unwrap()),
            ..Route::to_all(&[])
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn quiet_hours_go_over_midnight_and_by_the_clocks_of_the_place() {
        let night = quiet("22:00", "07:00", "+08:00");
        // 22:00 there is 14:00 in UTC.
        let end = Some(at("2026-07-03T23:00:00Z"));
        assert_eq!(night.quiet_until(at("2026-07-03T13:59:59.999Z")), None);
        assert_eq!(night.quiet_until(at("2026-07-03T14:00:00Z")), end);
        assert_eq!(night.quiet_until(at("2026-07-03T22:59:59.999Z")), end);
        assert_eq!(night.quiet_until(at("2026-07-03T23:00:00Z")), None);
        let lunch = quiet("12:30", "13:00", "-03:30");
        let end = Some(at("2026-07-03T16:30:00Z"));
        assert_eq!(lunch.quiet_until(at("2026-07-03T16:00:00Z")), end);
        assert_eq!(lunch.quiet_until(at("2026-07-03T15:59:00Z")), None);
        assert_eq!(lunch.quiet_until(at("2026-07-03T16:30:00Z")), None);
    }

    #[test]
    fn every_route_that_matches_tells_and_where_none_does_every_channel_is_told() {
        let mut settings = Alerts::default();
        let route = |name: &str, severities: &[&str], kinds: &[&str]| {
            let route = serde_json::json!({
                "name": name, "severities": severities, "kinds": kinds, "channels": [name]
            });
            serde_json::from_value::<AlertRoute>(route).unwrap()
        };
        settings.pages = "https://admin.example.com/".to_owned();
        settings.routes = vec![
            route("a", &["urgent"], &[]),
            route("b", &[], &["archived"]),
            route("c", &["warning"], &["system"]),
        ];
        let routes = Routes::new(&settings, &["a".to_owned(), "z".to_owned()]);
        let names = |severity, kind, escalated: &[&str]| {
            let escalated = escalated.iter().copied().collect();
            let telling = routes.telling(severity, kind, &escalated);
            telling
                .iter()
                .map(|route| route.name.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(Severity::Urgent, "archived", &[]), "a b");
        assert_eq!(names(Severity::Urgent, "archived", &["a", "c"]), "a b c");
        assert_eq!(names(Severity::Warning, "system", &[]), "c");
        assert_eq!(names(Severity::Info, "system", &[]), "", "the one to all");
        let all = routes.telling(Severity::Info, "system", &BTreeSet::new());
        assert_eq!(all[0].channels, ["a", "z"]);
        let page = "https://admin.example.com/incidents/00000000-0000-0000-0000-000000000000";
        assert_eq!(routes.page_of(Uuid::nil()).as_deref(), Some(page));
        let nowhere = Routes::new(&Alerts::default(), &[]);
        assert_eq!(nowhere.page_of(Uuid::nil()), None);
    }
}
