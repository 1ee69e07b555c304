//! What is to be said of an incident now, to whom, and when it is to be looked at next. Pure: it goes by what each channel was told,
//! so that asking again after it was said says nothing, and whoever looks late says how it stands then.
//!
//! | a channel | is told |
//! |---|---|
//! | that was told nothing | that it fires, or was escalated |
//! | that knows of fewer alerts | after the group interval, that it changed |
//! | that was told long ago, and nobody acknowledged | after the repeat interval, that it still stands |
//! | that was told before a silence that is over | how it stands, once |
//! | that was told, and it is over | that it is |
//! | that was told that it is over, which it was not | after the group interval, that it changed |
//! | whose receiver calls people, that was told, and somebody acknowledged | that somebody did, at once, also in quiet hours |
//! | that was told nothing, and it is over | that it is, where it was urgent and was never silenced |
//!
//! Nothing is said in a silence. In quiet hours of all its routes a channel is told only what is urgent; what was held back is said
//! as it stands when they end, and of what is over by then and was never told, nothing.

use crate::alerts::{Routes, Severity, Status, routes::Route};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// After what was just said, what comes next of it is looked at.
const SOON: TimeDelta = TimeDelta::seconds(1);

/// What each channel knows of an incident, and the routes it was escalated to, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    channels: BTreeMap<String, Word>,
    escalated: BTreeMap<String, DateTime<Utc>>,
}

/// What a channel was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    first_at: DateTime<Utc>,
    at: DateTime<Utc>,
    /// Alerts by then.
    alerts: u64,
    /// It knows that it is over.
    #[serde(default)]
    over: bool,
    /// It knows that somebody looks after it.
    #[serde(default)]
    acknowledged: bool,
}

/// What counts of an incident.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub severity: Severity,
    pub kind: &'a str,
    pub alerts: u64,
    pub over: bool,
    pub acknowledged: bool,
    pub silenced_until: Option<DateTime<Utc>>,
    pub told: &'a Told,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tell {
    pub status: Status,
    pub channels: Vec<String>,
    /// Alerts that the one of them knew least did not know of. Of a first notice nothing.
    pub more: u64,
}

/// What is said, and what is known afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub tells: Vec<Tell>,
    pub told: Told,
    /// When there may be something to be said again.
    pub next: Option<DateTime<Utc>>,
    /// When the next route is told.
    pub escalate_at: Option<DateTime<Utc>>,
    /// Everybody who is to know knows: what is only good to know is over then.
    pub everybody_knows: bool,
}

/// What a channel is due.
enum Due {
    Now(Status),
    At(DateTime<Utc>),
    Never,
}

impl Told {
    /// Whether anybody was told anything.
    pub fn anybody(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The channel was told of an alert before anybody counted it. What it was told of the incident stays.
    pub fn knows(&mut self, channel: &str, now: DateTime<Utc>) {
        let word = Word {
            first_at: now,
            at: now,
            alerts: 1,
            over: false,
            acknowledged: false,
        };
        self.channels.entry(channel.to_owned()).or_insert(word);
    }

    /// The channel was told of an alert, or may have been, of an incident that is over by now: it is to know that, unless it was told so
    /// after it had got the alert.
    pub fn reopened_for(
        &mut self,
        channel: &str,
        got_it_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        self.knows(channel, now);
        if let Some(word) = self.channels.get_mut(channel) {
            word.over &= got_it_at.is_some_and(|at| at <= word.at);
        }
    }

    /// Nobody is told any more: it is over, and everybody who knew of it needs not be told.
    pub fn that_was_all(&mut self) {
        for word in self.channels.values_mut() {
            word.over = true;
        }
    }
}

/// See the module.
pub(super) fn say(it: &Facts<'_>, routes: &Routes, now: DateTime<Utc>) -> Said {
    if let Some(until) = it.silenced_until.filter(|until| *until > now) {
        return silent(it, until);
    }
    let mut told = it.told.clone();
    let escalated_now = escalate(it, routes, &mut told, now);
    let telling = telling(it, routes, &told);
    let mut tells: Vec<Tell> = Vec::new();
    let mut looks = Vec::new();
    let mut everybody_knows = true;
    for channel in channels(&telling) {
        let word = told.channels.get(channel);
        if let Some(word) = word.filter(|word| is_owed_calm(it, word, channel, routes)) {
            let acknowledged = true;
            let word = Word {
                acknowledged,
                ..word.clone()
            };
            told.channels.insert(channel.to_owned(), word);
            tell(&mut tells, Status::Acknowledged, channel, 0);
            looks.push(now + SOON);
            continue;
        }
        let is_escalated = escalated_now
            .iter()
            .any(|route| route.channels.iter().any(|of_it| of_it == channel));
        let status = match due(it, word, is_escalated, routes, now) {
            Due::Now(status) => status,
            Due::At(at) => {
                everybody_knows &= word.is_some_and(|word| word.alerts >= it.alerts);
                looks.push(at);
                continue;
            }
            Due::Never => continue,
        };
        if let Some(until) = held_until(it, channel, &telling, now) {
            everybody_knows = false;
            looks.push(until);
            continue;
        }
        let more = word.map_or(0, |word| it.alerts.saturating_sub(word.alerts));
        tell(&mut tells, status, channel, more);
        let word = Word {
            first_at: word.map_or(now, |word| word.first_at),
            at: now,
            alerts: it.alerts,
            over: it.over,
            // Of what was over, and is not, its receiver calls people anew.
            acknowledged: word.is_some_and(|word| word.acknowledged && !word.over),
        };
        if is_owed_calm(it, &word, channel, routes) {
            looks.push(now + SOON);
        }
        if let Due::At(at) = due(it, Some(&word), false, routes, now) {
            looks.push(at);
        }
        told.channels.insert(channel.to_owned(), word);
    }
    let escalate_at = escalations(it, routes, &told)
        .into_iter()
        .map(|(at, _)| at)
        .min();
    looks.extend(escalate_at);
    Said {
        tells,
        told,
        next: looks.into_iter().min(),
        escalate_at,
        everybody_knows,
    }
}

/// Adds the channel to those that are told the same.
fn tell(tells: &mut Vec<Tell>, status: Status, channel: &str, more: u64) {
    match tells.iter_mut().find(|tell| tell.status == status) {
        Some(tell) => {
            tell.channels.push(channel.to_owned());
            tell.more = tell.more.max(more);
        }
        None => tells.push(Tell {
            status,
            channels: vec![channel.to_owned()],
            more,
        }),
    }
}

/// Whether the channel's receiver calls people for what somebody looks after by now.
fn is_owed_calm(it: &Facts<'_>, word: &Word, channel: &str, routes: &Routes) -> bool {
    it.acknowledged && !it.over && !word.over && !word.acknowledged && routes.calls_people(channel)
}

/// Nothing is said until the silence ends; of what is over and was never told, nothing then either.
fn silent(it: &Facts<'_>, until: DateTime<Utc>) -> Said {
    let unfinished = !it.over || it.told.channels.values().any(|word| !word.over);
    Said {
        tells: Vec::new(),
        told: it.told.clone(),
        next: unfinished.then_some(until),
        escalate_at: None,
        everybody_knows: false,
    }
}

/// What a channel that was told `word` is due, quiet hours aside.
fn due(
    it: &Facts<'_>,
    word: Option<&Word>,
    is_escalated: bool,
    routes: &Routes,
    now: DateTime<Utc>,
) -> Due {
    let Some(word) = word else {
        let came_and_went = it.severity == Severity::Urgent && it.silenced_until.is_none();
        return match (it.over, is_escalated) {
            (true, _) if came_and_went => Due::Now(Status::Resolved),
            (true, _) => Due::Never,
            (false, true) => Due::Now(Status::Escalated),
            (false, false) => Due::Now(Status::Firing),
        };
    };
    if it.over {
        return if word.over {
            Due::Never
        } else {
            Due::Now(Status::Resolved)
        };
    }
    if is_escalated {
        return Due::Now(Status::Escalated);
    }
    let knows_less = it.alerts > word.alerts;
    if it.silenced_until.is_some_and(|until| until > word.at) {
        return Due::Now(if knows_less {
            Status::Changed
        } else {
            Status::Repeated
        });
    }
    let changes = knows_less.then(|| (word.at + routes.group_interval, Status::Changed));
    let repeats = (!it.acknowledged && it.severity != Severity::Info)
        .then(|| (word.at + routes.repeat_interval, Status::Repeated));
    let mut coming = [changes, repeats].into_iter().flatten();
    let Some(first) = coming.next() else {
        return Due::Never;
    };
    // What changed says all that a repeat would.
    let (at, status) = match coming.next() {
        Some(other) if first.0 > now && other.0 < first.0 => other,
        _ => first,
    };
    if at <= now {
        Due::Now(status)
    } else {
        Due::At(at)
    }
}

/// Routes that are told now because nobody acknowledged in time.
fn escalate<'a>(
    it: &Facts<'_>,
    routes: &'a Routes,
    told: &mut Told,
    now: DateTime<Utc>,
) -> Vec<&'a Route> {
    let mut escalated = Vec::new();
    for (at, to) in escalations(it, routes, told) {
        if at <= now && !told.escalated.contains_key(&to.name) {
            told.escalated.insert(to.name.clone(), now);
            escalated.push(to);
        }
    }
    escalated
}

/// The routes that are told next if nobody acknowledges, and when.
fn escalations<'a>(
    it: &Facts<'_>,
    routes: &'a Routes,
    told: &Told,
) -> Vec<(DateTime<Utc>, &'a Route)> {
    if it.over || it.acknowledged || it.severity == Severity::Info {
        return Vec::new();
    }
    let mut found = Vec::new();
    for route in telling(it, routes, told) {
        let Some((after, to)) = &route.escalation else {
            continue;
        };
        let Some(to) = routes.named(to) else { continue };
        // One that was not told yet keeps nobody waiting.
        let since = told.escalated.get(&route.name).copied().or_else(|| {
            let words = route.channels.iter().filter_map(|it| told.channels.get(it));
            words.map(|word| word.first_at).min()
        });
        let Some(since) = since else { continue };
        if !told.escalated.contains_key(&to.name) {
            let since = it.silenced_until.map_or(since, |until| until.max(since));
            found.push((since + *after, to));
        }
    }
    found
}

fn telling<'a>(it: &Facts<'_>, routes: &'a Routes, told: &Told) -> Vec<&'a Route> {
    let escalated: BTreeSet<&str> = told.escalated.keys().map(String::as_str).collect();
    routes.telling(it.severity, it.kind, &escalated)
}

/// Each once, in the order of the routes.
fn channels<'a>(telling: &[&'a Route]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    telling
        .iter()
        .flat_map(|route| route.channels.iter().map(String::as_str))
        .filter(|channel| seen.insert(*channel))
        .collect()
}

/// Until when nothing is said to the channel: all routes that name it are in their quiet hours.
fn held_until(
    it: &Facts<'_>,
    channel: &str,
    telling: &[&Route],
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if it.severity == Severity::Urgent {
        return None;
    }
    let naming = telling
        .iter()
        .filter(|route| route.channels.iter().any(|of_it| of_it == channel));
    let ends: Option<Vec<DateTime<Utc>>> = naming.map(|route| route.quiet_until(now)).collect();
    ends?.into_iter().min()
}

#[cfg(test)]
mod tests;
