//! From alerts to receivers of every kind, which count what they get and refuse what is too much: a storm of ten thousand, and an hour in
//! which nobody answers.
//!
//! Hours pass without waiting: the folder is ahead of the database's clock, what the courier knows is moved back by as much, and the
//! receivers count by a clock that is put forward.

use super::channels::kinds::{KINDS, fake, in_settings, secret, url};
use compensation::alerts::{
    Alert, Channels, Courier, Folder, Policy, Severity, Spool,
    incidents::{self, Listed, Show},
    outbox::counts,
    record,
};
use futures::future::join_all;
use service_kit::settings::{ChannelKind, Settings};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    mysql::{Schema, schema},
    receivers::{Fake, Mood, Received},
};

/// Alerts of one cause, and causes of which each has so many.
const OF_ONE: usize = 9_000;
const CAUSES: usize = 250;
const OF_EACH: usize = 4;
/// Alerts that are written in one transaction.
const AT_ONCE: usize = 500;

/// A channel of every kind, with its receiver.
struct Hall {
    schema: Schema,
    folder: TempDir,
    settings: Settings,
    fakes: Vec<(ChannelKind, Fake)>,
    ahead: Duration,
}

/// Its fixed words are Chinese.
fn is_chinese(kind: ChannelKind) -> bool {
    use ChannelKind::{Dingtalk, Feishu, Wecom};
    matches!(kind, Dingtalk | Wecom | Feishu)
}

impl Hall {
    async fn open() -> Self {
        let fakes = KINDS.map(|kind| async move { (kind, fake(kind).await) });
        let fakes = join_all(fakes).await;
        let mut settings = Settings::default();
        let each = fakes.iter().map(|(kind, fake)| {
            let language = if is_chinese(*kind) { "zh" } else { "en" };
            let name = format!("{kind:?}").to_lowercase();
            in_settings(language, &name, *kind, &url(*kind, fake), secret(*kind))
        });
        settings.alerts.channels = each.collect();
        "https://admin.example".clone_into(&mut settings.alerts.pages);
        Self {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            settings,
            fakes,
            ahead: Duration::ZERO,
        }
    }

    async fn raise(&self, alerts: &[Alert]) {
        for alerts in alerts.chunks(AT_ONCE) {
            let mut tx = self.schema.pool.begin().await.unwrap();
            for alert in alerts {
                record(&mut tx, alert).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    }

    async fn fold(&self) {
        let channels = Channels::from_settings(&self.settings).unwrap();
        let folder = Folder::new(self.schema.pool.clone(), &self.settings.alerts, &channels);
        folder.ahead(self.ahead).run_once().await.unwrap();
    }

    fn courier(&self) -> Courier {
        let channels = Channels::from_settings(&self.settings).unwrap();
        let spool = Spool::new(self.folder.path().join("alerts"));
        // What a receiver asks for and what it fails with are waited for by moving the clocks.
        let policy = Policy {
            silence: Duration::from_hours(1),
            ..Policy::default()
        };
        Courier::with_policy(self.schema.pool.clone(), &channels, spool, "test", policy)
    }

    /// So long passes for everybody; the receivers come first, so that nobody is ahead of them.
    async fn pass(&mut self, by: Duration) {
        for (_, fake) in &self.fakes {
            fake.counts_later(by);
        }
        let seconds = by.as_secs();
        for moved in [
            format!(
                "update alert_channels set refilled_at = refilled_at - interval {seconds} second, \
                 rests_until = rests_until - interval {seconds} second"
            ),
            format!(
                "update alert_outbox set due_at = due_at - interval {seconds} second, \
                 created_at = created_at - interval {seconds} second where state = 'pending'"
            ),
        ] {
            self.schema.execute(&moved).await;
        }
        self.ahead += by;
    }

    /// Works until nothing waits, a quarter of a minute after the other.
    async fn drain(&mut self, courier: &Courier) {
        for _ in 0..400 {
            courier.run_once().await.unwrap();
            if counts(&self.schema.pool).await.unwrap().pending == 0 {
                return;
            }
            self.pass(Duration::from_secs(15)).await;
        }
        panic!(
            "something still waits: {:?}",
            counts(&self.schema.pool).await
        );
    }

    async fn incidents(&self) -> Vec<Listed> {
        incidents::list(&self.schema.pool, Show::Open, 1000, None)
            .await
            .unwrap()
    }

    fn assert_nothing_was_refused(&self) {
        for (kind, fake) in &self.fakes {
            assert_eq!(fake.refused(), [""; 0], "{kind:?}");
        }
    }
}

fn of(group: &str, severity: Severity, subject: usize) -> Alert {
    Alert::new(
        "figure",
        severity,
        &format!("order {subject}"),
        &format!("{group} fails"),
    )
    .group(group)
}

/// Whether a message tells of many incidents.
fn is_digest(message: &Received) -> bool {
    let words = [" notices in one: ", "条通知合并为一条："];
    words
        .iter()
        .any(|words| message.text.contains(words) || message.title.contains(words))
}

/// Meant to catch: an incident for each alert; a channel's bucket that holds more than its vendor takes (10 and 18 where 20 are taken);
/// a digest that is told in English where the channel speaks Chinese.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_alerts_reach_receivers_of_every_kind_within_all_their_limits() {
    let mut hall = Hall::open().await;
    let storm = (0..OF_ONE).map(|number| of("storm", Severity::Urgent, number));
    let others = (0..CAUSES * OF_EACH).map(|number| {
        let severity = if number % CAUSES < 20 {
            Severity::Urgent
        } else {
            Severity::Warning
        };
        of(&format!("cause {}", number % CAUSES), severity, number)
    });
    let all: Vec<Alert> = storm.chain(others).collect();
    hall.raise(&all).await;
    hall.fold().await;
    let incidents = hall.incidents().await;
    assert_eq!(incidents.len(), 1 + CAUSES);
    let counted: usize = incidents.iter().map(|it| it.alerts as usize).sum();
    assert_eq!(counted, all.len());
    assert!(
        incidents
            .iter()
            .any(|it| it.group == "storm" && it.alerts as usize == OF_ONE)
    );

    let courier = hall.courier();
    hall.drain(&courier).await;
    hall.assert_nothing_was_refused();
    for (kind, fake) in &hall.fakes {
        let received = fake.received();
        assert!(!received.is_empty(), "{kind:?}");
        let digests: Vec<_> = received.iter().filter(|it| is_digest(it)).collect();
        if is_chinese(*kind) {
            assert!(
                !digests.is_empty() && received.len() < 30,
                "{kind:?}: {}",
                received.len()
            );
            for digest in digests {
                let said = format!("{} {}", digest.title, digest.text);
                assert!(
                    said.contains("条通知合并为一条：") && !said.contains("notices in one"),
                    "{said}"
                );
            }
        }
    }
    let given_up = counts(&hall.schema.pool).await.unwrap().undelivered;
    assert_eq!(given_up, 0);

    // What came while the first notices were made is told, too; so many incidents at a look.
    hall.pass(Duration::from_mins(10)).await;
    for _ in 0..4 {
        hall.fold().await;
    }
    hall.drain(&courier).await;
    // More of it: one notice each, with how many.
    let more: Vec<Alert> = (0..500)
        .map(|number| of("storm", Severity::Urgent, number))
        .collect();
    hall.raise(&more).await;
    hall.pass(Duration::from_mins(10)).await;
    hall.fold().await;
    let before: Vec<usize> = hall
        .fakes
        .iter()
        .map(|(_, fake)| fake.received().len())
        .collect();
    hall.drain(&courier).await;
    hall.assert_nothing_was_refused();
    for ((kind, fake), before) in hall.fakes.iter().zip(before) {
        let received = &fake.received()[before..];
        assert_eq!(received.len(), 1, "{kind:?}: {received:?}");
        let said = format!("{} {}", received[0].title, received[0].text);
        assert!(
            said.contains(&(OF_ONE + 500).to_string()),
            "{kind:?}: {said}"
        );
    }
}

/// Of what began and ended within the hour nobody is told one by one; of what stands afterwards everybody is. Meant to break when the outage is
/// forgotten with the first success.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_without_receivers_what_still_matters_is_told() {
    const BEGAN: usize = 36;
    const STAND: usize = 12;
    let mut hall = Hall::open().await;
    for (_, fake) in &hall.fakes {
        fake.be(Mood::Busy);
    }
    let courier = hall.courier();
    for round in 0..12 {
        let began: Vec<_> = (round * 3..(round + 1) * 3)
            .map(|number| of(&format!("cause {number:02}"), Severity::Urgent, number))
            .collect();
        hall.raise(&began).await;
        hall.fold().await;
        courier.run_once().await.unwrap();
        hall.pass(Duration::from_mins(5)).await;
    }
    let over: Vec<_> = (STAND..BEGAN)
        .map(|number| of(&format!("cause {number:02}"), Severity::Info, number).resolves())
        .collect();
    hall.raise(&over).await;
    hall.fold().await;
    let stand: BTreeSet<String> = hall
        .incidents()
        .await
        .into_iter()
        .map(|it| it.group)
        .collect();
    assert_eq!(stand.len(), STAND);
    assert_eq!(counts(&hall.schema.pool).await.unwrap().undelivered, 0);

    let before: Vec<usize> = hall
        .fakes
        .iter()
        .map(|(_, fake)| fake.received().len())
        .collect();
    for (_, fake) in &hall.fakes {
        fake.be(Mood::Well);
    }
    hall.drain(&courier).await;
    hall.assert_nothing_was_refused();
    for ((kind, fake), before) in hall.fakes.iter().zip(before) {
        let received = &fake.received()[before..];
        let said: Vec<_> = received
            .iter()
            .map(|it| format!("{} {}", it.title, it.text))
            .collect();
        let said = said.join("\n");
        // Two close by an end what a beginning opened: each incident is told to them, by its beginning or by its end.
        let closes = matches!(kind, ChannelKind::Pagerduty | ChannelKind::Alertmanager);
        let at_most = if closes { BEGAN } else { STAND + 2 };
        assert!(
            received.len() <= at_most,
            "{kind:?}: {}: {said}",
            received.len()
        );
        if !closes {
            assert!(received.iter().any(is_digest), "{kind:?}: {said}");
        }
        for group in &stand {
            assert!(
                said.contains(&format!("{group} fails")),
                "{kind:?}, {group}: {said}"
            );
        }
    }
}

/// A receiver that closes by an end what a beginning opened has, after the same hour, open what stands and nothing else. Breaks when what
/// is over is told to it by a digest, or what stands is.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_what_is_open_at_a_receiver_is_what_stands() {
    let mut hall = Hall::open().await;
    let courier = hall.courier();
    let raise = |numbers: std::ops::Range<usize>| -> Vec<Alert> {
        let of = |number| of(&format!("cause {number:02}"), Severity::Urgent, number);
        numbers.map(of).collect()
    };
    hall.raise(&raise(0..40)).await;
    hall.fold().await;
    hall.drain(&courier).await;
    for (_, fake) in &hall.fakes {
        fake.be(Mood::Busy);
    }
    let over: Vec<_> = (10..40)
        .map(|number| of(&format!("cause {number:02}"), Severity::Info, number).resolves())
        .collect();
    hall.raise(&over).await;
    hall.raise(&raise(40..50)).await;
    hall.fold().await;
    for _ in 0..12 {
        courier.run_once().await.unwrap();
        hall.pass(Duration::from_mins(5)).await;
    }
    for (_, fake) in &hall.fakes {
        fake.be(Mood::Well);
    }
    hall.drain(&courier).await;
    hall.assert_nothing_was_refused();
    for (kind, fake) in &hall.fakes {
        if !matches!(kind, ChannelKind::Pagerduty | ChannelKind::Alertmanager) {
            continue;
        }
        let received = fake.received();
        let last: BTreeMap<_, _> = received.iter().flat_map(Received::each).collect();
        let open = last
            .values()
            .filter(|status| !status.starts_with("resolve"))
            .count();
        assert_eq!((open, last.len()), (20, 50), "{kind:?}: {last:?}");
    }
}
