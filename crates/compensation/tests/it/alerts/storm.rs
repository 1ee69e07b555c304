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
const OF_ONE: usize = 10_000;
const CAUSES: usize = 250;
const OF_EACH: usize = 2;
/// Of these the first are urgent.
const URGENT: usize = 20;
/// Digests that a storm may make.
const FEW: usize = 3;
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

/// Whether its end has to arrive there for each incident, so that no message tells of many.
fn closes(kind: ChannelKind) -> bool {
    matches!(kind, ChannelKind::Pagerduty | ChannelKind::Alertmanager)
}

/// How many of these messages tell of the incident of that group, alone or among others.
fn telling_of(received: &[Received], group: &str) -> usize {
    let title = format!("{group} fails");
    let tells = |it: &&Received| it.text.contains(&title) || it.title.contains(&title);
    received.iter().filter(tells).count()
}

/// Whether a message tells of many incidents.
fn is_digest(message: &Received) -> bool {
    let words = [" notices in one: ", "条通知合并为一条："];
    words
        .iter()
        .any(|words| message.text.contains(words) || message.title.contains(words))
}

/// Breaks when each incident is a message where a digest may tell of many, and when a channel's bucket gives at once more than its vendor takes.
/// Meant to catch as well: an incident for each alert; a digest that is told in English where the channel speaks Chinese.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_alerts_of_one_cause_are_told_of_once_by_channels_of_every_kind_within_all_their_limits()
 {
    let mut hall = Hall::open().await;
    let storm = (0..OF_ONE).map(|number| of("storm", Severity::Urgent, number));
    let others = (0..CAUSES * OF_EACH).map(|number| {
        let severity = if number % CAUSES < URGENT {
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
        assert_eq!(telling_of(&received, "storm"), 1, "{kind:?}");
        let digests: Vec<_> = received.iter().filter(|it| is_digest(it)).collect();
        let (most, of_many) = if closes(*kind) {
            (1 + CAUSES, 0..=0)
        } else {
            // What is urgent may go alone; of all that is not there are digests.
            (1 + URGENT + FEW, 1..=FEW)
        };
        let counts = (received.len(), digests.len());
        assert!(
            counts.0 <= most && of_many.contains(&counts.1),
            "{kind:?}: {counts:?} of {most}, {of_many:?}"
        );
        if is_chinese(*kind) {
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

/// Of what began and ended within the hour nobody is told one by one, and of what was not urgent not at all; of what stands afterwards
/// everybody is, once. Meant to break when the outage is forgotten with the first success, when what is over and was never urgent is told of
/// like the rest, and when what a digest told of goes alone, too.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_without_receivers_what_still_matters_is_told() {
    const BEGAN: usize = 36;
    const STAND: usize = 12;
    // Not urgent.
    const SMALL: usize = 8;
    const SMALL_STAND: usize = 2;
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
        // What is urgent is tried first, and each time only one.
        if (1..=SMALL).contains(&round) {
            let small = of(&format!("small {:02}", round - 1), Severity::Warning, round);
            hall.raise(&[small]).await;
        }
        hall.fold().await;
        courier.run_once().await.unwrap();
        hall.pass(Duration::from_mins(5)).await;
    }
    let over = (STAND..BEGAN).map(|number| format!("cause {number:02}"));
    let small_over = (SMALL_STAND..SMALL).map(|number| format!("small {number:02}"));
    let over: Vec<_> = over
        .chain(small_over)
        .map(|group| of(&group, Severity::Info, 0).resolves())
        .collect();
    hall.raise(&over).await;
    hall.fold().await;
    let stand: BTreeSet<String> = hall
        .incidents()
        .await
        .into_iter()
        .map(|it| it.group)
        .collect();
    assert_eq!(stand.len(), STAND + SMALL_STAND);
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
        let at_most = if closes(*kind) {
            BEGAN + SMALL_STAND
        } else {
            STAND + FEW
        };
        assert!(
            received.len() <= at_most,
            "{kind:?}: {}: {said}",
            received.len()
        );
        if !closes(*kind) {
            assert!(received.iter().any(is_digest), "{kind:?}: {said}");
        }
        for group in &stand {
            assert_eq!(telling_of(received, group), 1, "{kind:?}, {group}: {said}");
        }
        for number in STAND..BEGAN {
            let told = telling_of(received, &format!("cause {number:02}"));
            assert!(told <= 1, "{kind:?}, {number}: {told}: {said}");
        }
        for number in SMALL_STAND..SMALL {
            let told = telling_of(received, &format!("small {number:02}"));
            assert_eq!(told, 0, "{kind:?}, {number}: {said}");
        }
    }
    let left_out: Vec<(String, u64)> = sqlx::query_as(
        "select last_error, cast(count(*) as unsigned) from alert_outbox where state = 'superseded' and severity = 'warning' group by last_error",
    )
    .fetch_all(&hall.schema.pool)
    .await
    .unwrap();
    let notices = KINDS.len() * (SMALL - SMALL_STAND) * 2;
    let why = "it was over before anybody could be told here".to_owned();
    assert_eq!(left_out, [(why, notices as u64)], "and it is shown why");
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
        if !closes(*kind) {
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
