//! A sick channel beside a well one: whatever its receiver answers, or does not, the well one is told meanwhile, and in order.

use super::{
    Desk, SOON,
    channels::{
        Class,
        kinds::{expected, fake, in_settings, secret, url},
    },
    quick,
};
use compensation::alerts::{Alert, Channels, Notice, Severity, Status, outbox::insert_notice};
use futures::future::join_all;
use service_kit::settings::{ChannelKind, Settings};
use tempfile::TempDir;
use testkit::{
    eventually,
    mysql::schema,
    receivers::{Fake, Mood},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Of each way to say yes or no: HTTP's, a word in the body, mail's, and one that makes no digests.
const SICK: [ChannelKind; 4] = [
    ChannelKind::Webhook,
    ChannelKind::Dingtalk,
    ChannelKind::Email,
    ChannelKind::Pagerduty,
];
const WELL: &str = "well";
const INCIDENTS: usize = 3;
const NOTICES: u32 = 4;

/// The receivers of one mood, and a well one.
struct Ward {
    desk: Desk,
    mood: Mood,
    sick: Vec<(ChannelKind, Fake)>,
    well: Fake,
}

fn name(kind: ChannelKind) -> String {
    format!("{kind:?}").to_lowercase()
}

impl Ward {
    async fn open(mood: Mood) -> Self {
        let sick = SICK.map(|kind| async move { (kind, fake(kind).await) });
        let sick = join_all(sick).await;
        let well = fake(ChannelKind::Webhook).await;
        let mut settings = Settings::default();
        let channel =
            |name: &str, kind, url: &str| in_settings("en", name, kind, url, secret(kind));
        for (kind, fake) in &sick {
            fake.be(mood);
            let url = match mood {
                Mood::Garbage => fake.encrypted_url(),
                _ => url(*kind, fake),
            };
            let channel = channel(&name(*kind), *kind, &url);
            settings.alerts.channels.push(channel);
        }
        let last = channel(WELL, ChannelKind::Webhook, &well.url());
        settings.alerts.channels.push(last);
        let desk = Desk {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            channels: Channels::from_settings(&settings).unwrap(),
        };
        Self {
            desk,
            mood,
            sick,
            well,
        }
    }

    async fn write(&self, incident: (usize, Uuid), sequence: u32) {
        let status = match sequence {
            1 => Status::Firing,
            NOTICES => Status::Resolved,
            _ => Status::Changed,
        };
        let title = title(incident.0, sequence);
        let subject = format!("queue {}", incident.0);
        let mut notice = Notice::of(Alert::new("figure", Severity::Urgent, &subject, &title));
        (notice.incident, notice.sequence) = (Some(incident.1), sequence);
        notice.status = status;
        let mut db = self.desk.db().acquire().await.unwrap();
        insert_notice(&mut db, self.desk.channels.names(), &notice)
            .await
            .unwrap();
    }

    /// Tries of the sick ones that have ended, and notices that arrived there.
    async fn tried(&self, kind: ChannelKind) -> (i64, i64) {
        sqlx::query_as(
            "select (select count(*) from alert_attempts where channel = ?),
                    (select count(*) from alert_outbox where channel = ? and state = 'delivered')",
        )
        .bind(name(kind))
        .bind(name(kind))
        .fetch_one(self.desk.db())
        .await
        .unwrap()
    }

    async fn assert_they_are_still_sick(&self) {
        for (kind, fake) in &self.sick {
            let what = format!("{kind:?}, {:?}", self.mood);
            let (tries, arrived) = self.tried(*kind).await;
            assert!(fake.calls() > 0, "{what}: it was tried");
            if matches!(self.mood, Mood::Hangs | Mood::Drips) {
                assert_eq!(tries, 0, "{what}: its first try goes on");
            }
            if expected(*kind, self.mood) != Class::Sent {
                assert_eq!(arrived, 0, "{what}");
            }
            assert_in_order(fake, &what);
        }
    }
}

fn title(incident: usize, sequence: u32) -> String {
    format!("incident {incident} notice {sequence}")
}

/// Which notices of each incident came, one after another.
fn came(fake: &Fake) -> [Vec<u32>; INCIDENTS] {
    let mut came = [const { Vec::new() }; INCIDENTS];
    for message in fake.received() {
        let said = format!("{} {}", message.title, message.text);
        for (incident, came) in came.iter_mut().enumerate() {
            came.extend((1..=NOTICES).filter(|it| said.contains(&title(incident, *it))));
        }
    }
    came
}

/// Nothing comes after what was written later; what failed comes again.
fn assert_in_order(fake: &Fake, what: &str) {
    let came = came(fake);
    let in_order = came.iter().all(|of_it| of_it.is_sorted());
    assert!(in_order, "{what}: {came:?}");
}

async fn in_that_mood(mood: Mood) {
    let ward = Ward::open(mood).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(ward.desk.courier(quick()).run(stop.clone()));
    let incidents: Vec<_> = (0..INCIDENTS).map(|it| (it, Uuid::now_v7())).collect();
    for sequence in 1..=NOTICES {
        for incident in &incidents {
            ward.write(*incident, sequence).await;
        }
        // What is told of all of them is the last of each, and perhaps some before.
        eventually("the well one knows", SOON, || async {
            came(&ward.well)
                .iter()
                .all(|of_it| of_it.last() == Some(&sequence))
                .then_some(())
        })
        .await;
        if sequence == 1 {
            eventually("the sick ones are being tried", SOON, || async {
                ward.sick
                    .iter()
                    .all(|(_, fake)| fake.calls() > 0)
                    .then_some(())
            })
            .await;
        }
    }
    ward.assert_they_are_still_sick().await;
    assert_eq!(ward.well.refused(), [""; 0], "{mood:?}");
    for of_it in came(&ward.well) {
        assert!(
            of_it.is_sorted_by(|one, other| one < other),
            "{mood:?}: {of_it:?}"
        );
    }
    // What hangs would be waited for.
    running.abort();
}

/// Breaks when channels have their turns one after another, and when what is tried again on one is waited for by all.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_sick_receivers_answer_a_well_one_is_told_meanwhile_and_in_order() {
    // One after another: what takes 15 s is to take longer than all the rest.
    for mood in Mood::ALL.into_iter().filter(|mood| *mood != Mood::Well) {
        in_that_mood(mood).await;
    }
}
