//! Hours of an incident's life in a moment: the clock is a number.

use super::*;
use chrono::TimeDelta;
use serde_json::json;
use service_kit::settings::Alerts;

/// One incident that is looked at whenever it asks to be.
struct Life {
    routes: Routes,
    severity: Severity,
    alerts: u64,
    over: bool,
    acknowledged: bool,
    silenced_until: Option<DateTime<Utc>>,
    told: Told,
    now: DateTime<Utc>,
}

impl Life {
    fn of(severity: Severity, routes: serde_json::Value) -> Self {
        let calls = json!({"name": "calls", "kind": "pagerduty", "url": "https://a.example", "secret": "KEY"});
        let settings = Alerts {
            routes: serde_json::from_value(routes).unwrap(),
            channels: serde_json::from_value(json!([calls])).unwrap(),
            ..Alerts::default()
        };
        Self {
            routes: Routes::new(&settings, &["ops".to_owned(), "chat".to_owned()]),
            severity,
            alerts: 1,
            over: false,
            acknowledged: false,
            silenced_until: None,
            told: Told::default(),
            now: "2026-07-03T12:00:00Z".parse().unwrap(),
        }
    }

    fn look(&mut self) -> Said {
        let facts = Facts {
            severity: self.severity,
            kind: "system",
            alerts: self.alerts,
            over: self.over,
            acknowledged: self.acknowledged,
            silenced_until: self.silenced_until,
            told: &self.told,
        };
        let said = say(&facts, &self.routes, self.now);
        self.told = said.told.clone();
        said
    }

    /// What is said now, as `status: channels`.
    fn says(&mut self) -> String {
        shown(&self.look())
    }

    /// What is said in so many minutes, each with its minute: looked at exactly when it asks to be.
    fn within(&mut self, minutes: i64) -> String {
        let (begin, end) = (self.now, self.now + TimeDelta::minutes(minutes));
        let mut lines = Vec::new();
        let mut looks = 0;
        loop {
            let said = self.look();
            if !said.tells.is_empty() {
                let minute = (self.now - begin).num_minutes();
                lines.push(format!("{minute} {}", shown(&said)));
            }
            looks += 1;
            assert!(looks < 1_000, "it asks to be looked at over and over");
            match said.next {
                Some(at) if at <= end => {
                    assert!(at > self.now, "it asks for a time that is over");
                    self.now = at;
                }
                _ => break,
            }
        }
        self.now = end;
        lines.join("; ")
    }
}

fn shown(said: &Said) -> String {
    said.tells
        .iter()
        .map(|tell| format!("{}: {}", tell.status.as_str(), tell.channels.join(" ")))
        .collect::<Vec<_>>()
        .join(", ")
}

fn none() -> serde_json::Value {
    serde_json::json!([])
}

#[test]
fn it_fires_at_once_changes_after_five_minutes_and_repeats_after_four_hours() {
    let mut life = Life::of(Severity::Urgent, none());
    assert_eq!(life.says(), "firing: ops chat");
    assert_eq!(life.says(), "", "said is said");
    life.alerts = 10_000;
    assert_eq!(life.within(4), "");
    assert_eq!(life.within(1), "1 changed: ops chat");
    assert_eq!(
        life.within(9 * 60),
        "240 repeated: ops chat; 480 repeated: ops chat"
    );
    life.acknowledged = true;
    assert_eq!(life.within(9 * 60), "");
    life.alerts += 1;
    assert_eq!(
        life.says(),
        "changed: ops chat",
        "more is told all the same"
    );
    life.over = true;
    assert_eq!(life.says(), "resolved: ops chat");
    assert_eq!(life.within(9 * 60), "");
}

/// Breaks when nobody who calls people is told, when everybody is, when it is told more often than once, and when what was over and is not
/// calls people for what somebody looks after.
#[test]
fn who_calls_people_is_told_once_that_somebody_looks_after_it() {
    let routes = json!([{"name": "all", "channels": ["ops", "calls"]}]);
    let mut life = Life::of(Severity::Urgent, routes);
    assert_eq!(life.says(), "firing: ops calls");
    life.alerts = 7;
    life.acknowledged = true;
    assert_eq!(
        life.within(9 * 60),
        "0 acknowledged: calls; 5 changed: ops calls"
    );
    life.over = true;
    assert_eq!(life.says(), "resolved: ops calls");
    assert_eq!(life.within(60), "");
    life.over = false;
    life.alerts = 8;
    assert_eq!(
        life.within(9 * 60),
        "0 changed: ops calls; 0 acknowledged: calls"
    );
    let quiet = json!([{"name": "all", "channels": ["calls"], "quiet_hours": {"from": "00:00", "to": "23:59"}}]);
    let mut life = Life::of(Severity::Urgent, quiet);
    assert_eq!(life.says(), "firing: calls");
    life.severity = Severity::Warning;
    life.acknowledged = true;
    assert_eq!(life.says(), "acknowledged: calls", "it makes nobody look");
    let mut life = Life::of(
        Severity::Urgent,
        json!([{"name": "all", "channels": ["calls"]}]),
    );
    life.acknowledged = true;
    assert_eq!(
        life.within(60),
        "0 firing: calls; 0 acknowledged: calls",
        "before anybody was told"
    );
}

/// Breaks when what is urgent and ended before anybody looked is told to nobody.
#[test]
fn what_nobody_was_told_of_is_told_to_be_over_only_where_it_was_urgent() {
    let mut life = Life::of(Severity::Warning, none());
    life.over = true;
    assert_eq!(life.within(600), "");
    let mut urgent = Life::of(Severity::Urgent, chain());
    urgent.over = true;
    assert_eq!(urgent.within(600), "0 resolved: ops");
}

/// Breaks when what comes back fires anew, and when those who were told of its end hear no more of it.
#[test]
fn what_came_back_changed_and_what_heals_before_that_is_told_to_nobody() {
    let mut life = Life::of(Severity::Warning, none());
    assert_eq!(life.says(), "firing: ops chat");
    life.over = true;
    assert_eq!(life.says(), "resolved: ops chat");
    (life.over, life.alerts) = (false, 2);
    assert_eq!(life.within(4), "");
    life.over = true;
    assert_eq!(life.within(4), "");
    (life.over, life.alerts) = (false, 3);
    assert_eq!(life.within(60), "0 changed: ops chat");
    life.over = true;
    assert_eq!(life.says(), "resolved: ops chat");
}

#[test]
fn a_silence_sends_nothing_and_tells_once_how_it_stands_afterwards() {
    for (more, over, said) in [
        (0, false, "120 repeated: ops chat"),
        (5, false, "120 changed: ops chat"),
        (5, true, "120 resolved: ops chat"),
    ] {
        let mut life = Life::of(Severity::Urgent, none());
        life.says();
        life.acknowledged = true;
        life.silenced_until = Some(life.now + TimeDelta::hours(2));
        life.alerts += more;
        life.over = over;
        assert_eq!(life.within(600), said);
    }
    let mut never_told = Life::of(Severity::Urgent, none());
    never_told.silenced_until = Some(never_told.now + TimeDelta::hours(2));
    assert_eq!(never_told.within(60), "");
    assert_eq!(never_told.within(70), "60 firing: ops chat");
    let mut over = Life::of(Severity::Urgent, none());
    over.silenced_until = Some(over.now + TimeDelta::hours(2));
    over.over = true;
    assert_eq!(over.within(600), "");
}

fn night() -> serde_json::Value {
    serde_json::json!([
        {"name": "night", "channels": ["ops"], "quiet_hours": {"from": "22:00", "to": "07:00"}},
        {"name": "log", "channels": ["chat"]},
    ])
}

#[test]
fn quiet_hours_hold_back_what_is_not_urgent_until_they_end() {
    let evening = |severity| {
        let mut life = Life::of(severity, night());
        life.now = "2026-07-03T23:00:00Z".parse().unwrap();
        life
    };
    assert_eq!(evening(Severity::Urgent).says(), "firing: ops chat");

    let mut stands = evening(Severity::Warning);
    assert_eq!(stands.says(), "firing: chat");
    stands.alerts = 7;
    assert_eq!(
        stands.within(10 * 60),
        "5 changed: chat; 245 repeated: chat; 480 firing: ops; 485 repeated: chat"
    );

    let mut over = evening(Severity::Warning);
    over.says();
    over.over = true;
    assert_eq!(over.within(10 * 60), "0 resolved: chat");

    let mut over_later = Life::of(Severity::Warning, night());
    assert_eq!(over_later.says(), "firing: ops chat");
    over_later.now = "2026-07-03T23:00:00Z".parse().unwrap();
    over_later.over = true;
    assert_eq!(
        over_later.within(10 * 60),
        "0 resolved: chat; 480 resolved: ops"
    );
}

#[test]
fn what_is_good_to_know_waits_for_the_morning_and_is_known_then() {
    let mut life = Life::of(Severity::Info, night());
    life.now = "2026-07-03T23:00:00Z".parse().unwrap();
    let said = life.look();
    assert!(!said.everybody_knows);
    life.now = said.next.unwrap();
    let said = life.look();
    assert_eq!(shown(&said), "firing: ops");
    assert!(said.everybody_knows && said.next.is_none());
}

fn chain() -> serde_json::Value {
    serde_json::json!([
        {"name": "first", "severities": ["urgent"], "channels": ["ops"], "escalate_after_s": 600, "escalate_to": "second"},
        {"name": "second", "severities": ["info"], "channels": ["chat"], "escalate_after_s": 1200, "escalate_to": "third"},
        {"name": "third", "severities": ["info"], "channels": ["boss", "ops"]},
    ])
}

#[test]
fn nobody_acknowledges_and_it_goes_on_along_the_chain() {
    let mut life = Life::of(Severity::Urgent, chain());
    assert_eq!(
        life.within(60),
        "0 firing: ops; 10 escalated: chat; 30 escalated: ops boss"
    );
    life.over = true;
    assert_eq!(life.says(), "resolved: ops chat boss");
}

/// Meant to catch: the acknowledgement not looked at.
#[test]
fn who_acknowledges_ends_the_chain() {
    let mut life = Life::of(Severity::Urgent, chain());
    assert_eq!(life.within(20), "0 firing: ops; 10 escalated: chat");
    life.acknowledged = true;
    assert_eq!(life.within(600), "");
}

/// Meant to catch: the chain's clocks running on while nobody could know.
#[test]
fn a_silence_keeps_the_chain_waiting_too() {
    let mut life = Life::of(Severity::Urgent, chain());
    life.says();
    life.silenced_until = Some(life.now + TimeDelta::hours(1));
    assert_eq!(life.within(75), "60 repeated: ops; 70 escalated: chat");
}

#[test]
fn a_channel_that_came_later_is_told_how_it_stands() {
    let mut life = Life::of(Severity::Urgent, chain());
    life.says();
    life.routes = Life::of(Severity::Urgent, none()).routes;
    assert_eq!(life.says(), "firing: chat");
}

/// The look a row keeps for its next one is never lost: for any history, what is looked at when it asks says as much as what is
/// looked at every minute.
#[test]
fn who_looks_when_asked_misses_nothing() {
    let seed: u64 =
        std::env::var("REDRESS_SEED").map_or_else(|_| rand::random(), |it| it.parse().unwrap());
    let mut random = seed | 1;
    let mut next = move |below: u64| {
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for _ in 0..200 {
        let routes = [none(), night(), chain()][usize::try_from(next(3)).unwrap()].clone();
        let severity = [Severity::Urgent, Severity::Warning][usize::try_from(next(2)).unwrap()];
        let (mut asked, mut every_minute) = (
            Life::of(severity, routes.clone()),
            Life::of(severity, routes),
        );
        let mut said = (Vec::new(), Vec::new());
        let mut look_at = Some(asked.now);
        let begin = asked.now;
        for minute in 0..1_500_i64 {
            let now = begin + TimeDelta::minutes(minute);
            let mut changed = false;
            for life in [&mut asked, &mut every_minute] {
                life.now = now;
            }
            if next(100) == 0 {
                changed = true;
                let (what, hours) = (next(4), i64::try_from(next(5)).unwrap());
                for life in [&mut asked, &mut every_minute] {
                    match what {
                        0 | 1 => life.alerts += 3,
                        2 => life.silenced_until = Some(now + TimeDelta::hours(hours)),
                        _ => life.acknowledged = true,
                    }
                }
            }
            if minute == 1_400 {
                changed = true;
                (asked.over, every_minute.over) = (true, true);
            }
            let line = every_minute.says();
            if !line.is_empty() {
                said.1.push(format!("{minute} {line}"));
            }
            if changed || look_at.is_some_and(|at| at <= now) {
                let look = asked.look();
                if !look.tells.is_empty() {
                    said.0.push(format!("{minute} {}", shown(&look)));
                }
                look_at = look.next;
            }
        }
        assert_eq!(said.0, said.1, "REDRESS_SEED={seed}");
    }
}
