//! One suite for every kind of channel that settings can make, against the vendor's fake: `testkit::receivers` says what a vendor takes,
//! `kinds` which channel speaks to which of them, and the rest what must hold of all of them.

mod addresses;
pub(super) mod kinds;
mod messages;
mod moods;
mod rates;

use compensation::alerts::{Alert, Delivered, Line, Notice, Severity, Status};
use uuid::Uuid;

/// What came of a try, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Sent,
    Partly,
    SlowDown,
    Broken,
    Unknown,
    Gone,
}

fn class(delivered: &Delivered) -> Class {
    match delivered {
        Delivered::Sent => Class::Sent,
        Delivered::Partly(_) => Class::Partly,
        Delivered::SlowDown(..) => Class::SlowDown,
        Delivered::Broken(_) => Class::Broken,
        Delivered::Unknown(_) => Class::Unknown,
        Delivered::Gone(_) => Class::Gone,
    }
}

const TITLE: &str = "Order 7 was given up";
const LINK: &str = "https://admin.example/incidents/7";

fn alert() -> Alert {
    Alert::new("archived", Severity::Urgent, "order 7", TITLE)
        .text("It failed six times.\nThe last time: no stock.")
        .fact("sale", 3)
        .link(LINK)
}

/// A notice of that status, with all that such a one has.
fn notice(status: Status) -> Notice {
    let mut notice = Notice {
        status,
        ..Notice::of(alert())
    };
    match status {
        Status::Test => {}
        Status::Digest => {
            let line = |count| Line {
                status: Status::Firing,
                severity: Severity::Warning,
                title: format!("{count} orders were given up"),
                count,
                link: Some(LINK.to_owned()),
            };
            notice.lines = (1..=50).map(line).collect();
            notice.count = 1275;
        }
        _ => {
            notice.incident = Some(Uuid::now_v7());
            notice.sequence = 3;
            notice.count = 412;
        }
    }
    if status == Status::Resolved {
        notice.resolution = Some("replayed by anna: 412 of 412 succeeded".to_owned());
        notice.acknowledged_by = Some("anna".to_owned());
    }
    notice
}
