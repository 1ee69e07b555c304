//! One notice that stands for many: what a channel had no room for, what stands before what is over, the severest first. Pure.
//!
//! Whoever it tells of is marked with its id in the same transaction, so that each is told of once: by the digest, which is sent until it
//! arrived, as itself and under the same id.

use super::{Alert, Line, Notice, Severity, Status, plan::Waiting};
use chrono::TimeDelta;
use std::cmp::Reverse;

/// More lines than these are a number at its end.
pub(super) const LINES_AT_MOST: usize = 100;
/// The alert's kind.
const KIND: &str = "digest";

/// Which of them are shown as lines: what is not over, of that the severest, and of those the oldest. A short message has the first alone.
pub(super) fn shown(waiting: &[Waiting], told: &[usize]) -> Vec<usize> {
    let mut shown = told.to_vec();
    shown.sort_by_key(|at| {
        let it = &waiting[*at];
        let is_over = it.status == Status::Resolved;
        (is_over, severity_rank(it.severity), Reverse(it.age))
    });
    shown.truncate(LINES_AT_MOST);
    shown
}

/// The notice that tells of them. Its count is of notices, those without a line too.
pub(super) fn notice(
    channel: &str,
    waiting: &[Waiting],
    told: &[usize],
    lines: Vec<Line>,
) -> Notice {
    let of = |severity| {
        let of_it = told.iter().filter(|at| waiting[**at].severity == severity);
        of_it.count()
    };
    let all = [Severity::Urgent, Severity::Warning, Severity::Info].map(|it| (it, of(it)));
    let there = || all.iter().filter(|(_, count)| *count > 0);
    let severest = there()
        .next()
        .map_or(Severity::Info, |(severity, _)| *severity);
    let parts: Vec<String> = there()
        .map(|(severity, count)| format!("{count} {severity}"))
        .collect();
    let title = format!("{} notices in one: {}", told.len(), parts.join(", "));
    let mut text = "More was due than this channel takes at once, or it was away.".to_owned();
    let more = told.len().saturating_sub(lines.len());
    if more > 0 {
        text = format!(
            "{text}\nWhat stands comes first, the severest on top; and {more} more, on the page of alerts."
        );
    }
    let mut notice = Notice::of(Alert::new(KIND, severest, channel, &title).text(text));
    let ages = || told.iter().map(|at| waiting[*at].age);
    let before = |age: Option<std::time::Duration>| {
        notice.alert.at - TimeDelta::from_std(age.unwrap_or_default()).unwrap_or_default()
    };
    (notice.first_at, notice.last_at) = (before(ages().max()), before(ages().min()));
    notice.status = Status::Digest;
    notice.count = told.len() as u64;
    notice.lines = lines;
    notice
}

/// The line of a notice.
pub(super) fn line(notice: &Notice) -> Line {
    Line {
        status: notice.status,
        severity: notice.alert.severity,
        title: notice.alert.title.clone(),
        count: notice.count,
        link: notice.alert.link.clone(),
    }
}

/// What is severer comes first.
pub(super) const fn severity_rank(severity: Severity) -> u8 {
    match severity {
        Severity::Urgent => 0,
        Severity::Warning => 1,
        Severity::Info => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use uuid::Uuid;

    fn waiting(severity: Severity, age_s: u64) -> Waiting {
        Waiting {
            id: Uuid::now_v7(),
            incident: None,
            thread: None,
            sequence: 0,
            severity,
            status: Status::Firing,
            attempts: 0,
            due: true,
            in_hand: false,
            asked: false,
            age: Duration::from_secs(age_s),
        }
    }

    /// Breaks when severity alone decides: a short message tells of what is over, and not of what still matters.
    #[test]
    fn what_stands_comes_before_what_is_over_however_severe_that_was() {
        let over = Waiting {
            status: Status::Resolved,
            ..waiting(Severity::Urgent, 9)
        };
        let stands = [Severity::Info, Severity::Warning].map(|it| waiting(it, 1));
        let [info, warning] = stands;
        let all = [over, info, warning];
        assert_eq!(shown(&all, &[0, 1, 2]), [2, 1, 0]);
    }

    #[test]
    fn a_digest_counts_all_and_shows_the_severest() {
        let all: Vec<_> = (0..412)
            .map(|at| match at {
                400..=402 => waiting(Severity::Urgent, at),
                _ if at % 2 == 0 => waiting(Severity::Info, at),
                _ => waiting(Severity::Warning, at),
            })
            .collect();
        let told: Vec<usize> = (0..all.len()).collect();
        let shown = shown(&all, &told);
        assert_eq!(shown[..4], [402, 401, 400, 411]);
        assert_eq!(shown.len(), LINES_AT_MOST);
        assert!(
            shown[3..]
                .iter()
                .all(|at| all[*at].severity == Severity::Warning)
        );
        let alert = Alert::new("archived", Severity::Urgent, "7", "Order 7 was given up")
            .link("http://admin/archives/7");
        let lines = vec![line(&Notice::of(alert)); LINES_AT_MOST];
        let digest = notice("ops", &all, &told, lines);
        assert_eq!(
            digest.alert.title,
            "412 notices in one: 3 urgent, 205 warning, 204 info"
        );
        assert!(
            digest.alert.text.contains("and 312 more"),
            "{}",
            digest.alert.text
        );
        assert_eq!(
            (digest.status, digest.count, digest.alert.severity),
            (Status::Digest, 412, Severity::Urgent)
        );
        assert_eq!(digest.last_at - digest.first_at, TimeDelta::seconds(411));
        assert_eq!(
            digest.lines[0].link.as_deref(),
            Some("http://admin/archives/7")
        );
    }
}
