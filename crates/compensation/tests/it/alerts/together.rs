//! What one message may hold goes in few messages, where more is due than goes out at once.

use super::{
    Desk, alert,
    channels::kinds::{fake, in_settings, url},
    quick,
};
use compensation::alerts::{
    Alert, Channels, Notice, Policy, Severity, Status,
    outbox::{State, attempts, counts, insert_notice, of_subject},
};
use service_kit::settings::{ChannelKind::Alertmanager, Settings};
use std::{collections::BTreeMap, time::Duration};
use tempfile::TempDir;
use testkit::{
    mysql::schema,
    receivers::{Fake, Mood, Received},
};
use uuid::Uuid;

const INCIDENTS: u128 = 300;

async fn desk() -> (Desk, Fake) {
    let fake = fake(Alertmanager).await;
    let mut settings = Settings::default();
    let ops = in_settings("en", "ops", Alertmanager, &url(Alertmanager, &fake), "");
    settings.alerts.channels = vec![ops];
    let desk = Desk {
        schema: schema().await,
        folder: TempDir::new().unwrap(),
        channels: Channels::from_settings(&settings).unwrap(),
    };
    (desk, fake)
}

/// A notice of the incident of that number.
fn notice(number: u128, sequence: u32, status: Status) -> Notice {
    let subject = format!("queue {number}");
    let alert = Alert::new("figure", Severity::Urgent, &subject, "Too many wait");
    let mut notice = Notice::of(alert);
    (notice.incident, notice.sequence) = (Some(Uuid::from_u128(number + 1)), sequence);
    notice.status = status;
    notice
}

async fn write(desk: &Desk, notices: &[Notice]) {
    let mut tx = desk.db().begin().await.unwrap();
    for notice in notices {
        insert_notice(&mut tx, desk.channels.names(), notice)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

/// Sends until nothing waits; in how many requests.
async fn drained(desk: &Desk, fake: &Fake) -> usize {
    let before = fake.calls();
    for _ in 0..100 {
        desk.courier(quick()).run_once().await.unwrap();
        if counts(desk.db()).await.unwrap().pending == 0 {
            assert_eq!(fake.refused(), [""; 0]);
            return fake.calls() - before;
        }
    }
    panic!("something still waits");
}

/// Breaks when each goes by itself (300 requests, for which there are no tokens), when a message that is taken is written down for the first
/// of its alerts alone, and when an end goes beside its beginning.
#[tokio::test]
async fn three_hundred_that_wait_are_few_requests_and_ends_come_after_their_beginnings() {
    let (desk, fake) = desk().await;
    let all: Vec<_> = (0..INCIDENTS)
        .map(|number| notice(number, 1, Status::Firing))
        .collect();
    write(&desk, &all).await;
    let requests = drained(&desk, &fake).await;
    assert_eq!(requests, 6, "50 in each");
    // Of every third it is said that it is over, of the others that there is more of it.
    let later: Vec<_> = (0..INCIDENTS)
        .map(|number| {
            let over = number % 3 == 0;
            notice(
                number,
                2,
                if over {
                    Status::Resolved
                } else {
                    Status::Changed
                },
            )
        })
        .collect();
    write(&desk, &later).await;
    assert_eq!(drained(&desk, &fake).await, 6);
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (fingerprint, status) in fake.received().iter().flat_map(Received::each) {
        said.entry(fingerprint).or_default().push(status);
    }
    assert_eq!(said.len() as u128, INCIDENTS, "each is one of its own");
    let of = |words: &[&str]| said.values().filter(|said| **said == *words).count();
    assert_eq!(of(&["firing", "resolved"]), 100, "{said:?}");
    assert_eq!(of(&["firing", "firing"]), 200, "{said:?}");
    for it in all.iter().chain(&later) {
        let of_it = of_subject(desk.db(), &it.alert.subject).await.unwrap();
        assert!(
            of_it
                .iter()
                .all(|it| it.state == State::Delivered && it.attempts == 1),
            "{of_it:?}"
        );
    }
}

/// A message that is refused is refused for all in it: each has its try, and each comes again. Breaks when what came of a message is written
/// down for one of them.
#[tokio::test]
async fn what_a_refused_message_held_comes_again() {
    let (desk, fake) = desk().await;
    let all: Vec<_> = (0..20)
        .map(|number| notice(number, 1, Status::Firing))
        .collect();
    write(&desk, &all).await;
    fake.next(Mood::Busy);
    // It rests for longer than a busy machine takes for the look after it.
    let patient = Policy {
        first: Duration::from_mins(5),
        longest: Duration::from_mins(5),
        ..quick()
    };
    desk.courier(patient).run_once().await.unwrap();
    for it in &all {
        let tries = attempts(desk.db(), it.id()).await.unwrap();
        assert_eq!(tries.len(), 1, "{tries:?}");
        assert_eq!(tries[0].outcome, "failed");
    }
    for cleared in [
        "update alert_channels set rests_until = null",
        "update alert_outbox set due_at = utc_timestamp(3) where state = 'pending'",
    ] {
        desk.schema.execute(cleared).await;
    }
    // One to try it, and the others together.
    assert_eq!(drained(&desk, &fake).await, 2);
    let told = fake.received();
    assert_eq!(told.last().unwrap().several.len(), 19);
}

/// A test that an operator asked for goes alone: nothing else is to blame for what comes of it. Meant to break when it shares a message.
#[tokio::test]
async fn what_somebody_asked_for_goes_alone() {
    let (desk, fake) = desk().await;
    let all: Vec<_> = (0..20)
        .map(|number| notice(number, 1, Status::Firing))
        .collect();
    write(&desk, &all).await;
    desk.write(&alert("asked for")).await;
    desk.schema
        .execute("update alert_outbox set asked_by = 'anna' where subject = 'asked for'")
        .await;
    drained(&desk, &fake).await;
    let mut sizes: Vec<usize> = fake.received().iter().map(|it| it.several.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 20]);
}
