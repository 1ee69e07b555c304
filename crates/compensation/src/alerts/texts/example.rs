//! Notices to try templates with: one of each status, and the longest there can be.

use crate::alerts::{Alert, Line, Notice, Severity, Status};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// One of this status, with all that such a notice can have.
pub(in crate::alerts) fn example(status: Status) -> Notice {
    let alert = Alert::new(
        "archived",
        Severity::Urgent,
        "order 7",
        "Order 7 was given up and archived",
    )
    .text("Its units can be bought again.\nLook at it in the admin, and replay it there.")
    .fact("step", "decide")
    .fact("error", "Lock wait timeout exceeded")
    .link("https://admin.example/archives/7?from=alert");
    let alert = Alert {
        id: Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0001),
        at: moment(0),
        ..alert
    };
    let alone = Notice {
        status,
        incident: Some(Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0002)),
        sequence: 1,
        ..Notice::of(alert)
    };
    // Each notice of an incident has an id of its own.
    let later = Alert {
        id: Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0004),
        ..alone.alert.clone()
    };
    let many = Notice {
        alert: later,
        sequence: 3,
        count: 412,
        last_at: moment(61),
        made_at: Some(moment(62)),
        ..alone.clone()
    };
    match status {
        Status::Firing => alone,
        Status::Changed | Status::Escalated => many,
        Status::Repeated | Status::Acknowledged => Notice {
            acknowledged_by: Some("lin".to_owned()),
            ..many
        },
        Status::Resolved => Notice {
            resolution: Some("412 of 412 replayed by lin".to_owned()),
            resolved_at: Some(moment(62)),
            acknowledged_by: Some("lin".to_owned()),
            ..many
        },
        Status::Digest => digest(),
        Status::Test => Notice {
            incident: None,
            sequence: 0,
            ..alone
        },
    }
}

fn digest() -> Notice {
    let alert = Alert::new(
        "digest",
        Severity::Urgent,
        "ops",
        "3 notices in one: 1 urgent, 1 warning, 1 info",
    )
    .text("More was due than this channel takes at once, or it was away.")
    .link("https://admin.example/alerts/01890000-0000-7000-8000-000000000003");
    let alert = Alert {
        id: Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0003),
        at: moment(61),
        ..alert
    };
    Notice {
        status: Status::Digest,
        count: 3,
        first_at: moment(0),
        lines: vec![
            Line {
                status: Status::Firing,
                severity: Severity::Urgent,
                title: "Order 7 was given up and archived".to_owned(),
                count: 412,
                link: Some("https://admin.example/incidents/1".to_owned()),
            },
            Line {
                status: Status::Changed,
                severity: Severity::Warning,
                title: "Redis and MySQL differ in sale 3".to_owned(),
                count: 2,
                link: None,
            },
            Line {
                status: Status::Resolved,
                severity: Severity::Info,
                title: "The archive is back".to_owned(),
                count: 1,
                link: Some("https://admin.example/incidents/3".to_owned()),
            },
        ],
        ..Notice::of(alert)
    }
}

/// Nothing in it could be longer, and nothing of it that cannot be cut takes more room.
pub(in crate::alerts) fn longest(status: Status) -> Notice {
    let wide = |characters| "\u{1F4A5}".repeat(characters);
    let page = format!("https://admin.example/{}", "x".repeat(970));
    let mut notice = example(status);
    let (first_at, last_at) = (notice.first_at, notice.last_at);
    notice.alert = Alert {
        kind: wide(64),
        subject: wide(200),
        title: wide(300),
        text: wide(10_000),
        facts: vec![(wide(300), wide(300)); 100],
        link: Some(page.clone()),
        ..notice.alert
    };
    let line = Line {
        status: Status::Escalated,
        severity: Severity::Warning,
        title: wide(300),
        count: u64::MAX,
        link: Some(page),
    };
    Notice {
        count: u64::MAX,
        first_at,
        last_at,
        resolution: Some(wide(1000)),
        acknowledged_by: Some(wide(200)),
        lines: if status == Status::Digest {
            vec![line; 10_000]
        } else {
            Vec::new()
        },
        ..notice
    }
}

fn moment(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_359_200, 0).unwrap_or_default() + TimeDelta::minutes(minutes)
}
