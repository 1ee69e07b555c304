//! Alerts on their way: from the outbox and the spool to receivers on real sockets, whatever breaks in between.

mod acknowledged;
mod answers;
mod beside;
mod channels;
mod couriers;
mod lost;
mod measured;
mod off;
mod order;
mod outbox;
mod room;
mod rotation;
mod secrets;
mod spool;
mod storm;
mod tls;
mod together;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use compensation::alerts::{
    Alert, Channels, Courier, Notice, Policy, Severity, Spool,
    outbox::{Delivery, State, insert_notice, of_subject},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use service_kit::settings::{ChannelKind, ChannelSettings, Secret, Settings};
use sha2::Sha256;
use sqlx::MySqlPool;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{
    eventually,
    mysql::{Schema, schema},
    webhooks::{Receiver, Request},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ROBOT_SECRET: &str = "SECthis-is-secret";
const SOON: Duration = Duration::from_secs(20);

/// Waits so short that a test need not wait for them.
fn quick() -> Policy {
    Policy {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(50),
        slow_down: Duration::from_millis(20),
        broken: Duration::from_millis(50),
        // A machine that is busy for a second makes no outage.
        silence: Duration::from_mins(10),
        idle: Duration::from_millis(10),
        ..Policy::default()
    }
}

struct Desk {
    schema: Schema,
    folder: TempDir,
    channels: Channels,
}

impl Desk {
    async fn with(channels: &[(&str, ChannelKind, &Receiver)]) -> Self {
        Self {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            channels: Self::channels(channels),
        }
    }

    fn channels(channels: &[(&str, ChannelKind, &Receiver)]) -> Channels {
        let mut settings = Settings::default();
        settings.alerts.channels = channels
            .iter()
            .map(|(name, kind, receiver)| ChannelSettings {
                name: (*name).to_owned(),
                kind: *kind,
                url: Secret::new(match kind {
                    ChannelKind::Dingtalk => format!("{}?access_token=TOKEN", receiver.url()),
                    _ => receiver.url(),
                }),
                secret: Secret::new(match kind {
                    ChannelKind::Dingtalk => ROBOT_SECRET,
                    _ => SECRET,
                }),
                ..ChannelSettings::default()
            })
            .collect();
        Channels::from_settings(&settings).unwrap()
    }

    fn db(&self) -> &MySqlPool {
        &self.schema.pool
    }

    fn spool(&self) -> Spool {
        Spool::new(self.folder.path().join("alerts"))
    }

    fn courier(&self, policy: Policy) -> Courier {
        Courier::with_policy(
            self.db().clone(),
            &self.channels,
            self.spool(),
            "test",
            policy,
        )
    }

    async fn write(&self, alert: &Alert) {
        let mut tx = self.db().begin().await.unwrap();
        let notice = Notice::of(alert.clone());
        insert_notice(&mut tx, self.channels.names(), &notice)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn delivery(&self, alert: &Alert, channel: &str) -> Delivery {
        let all = of_subject(self.db(), &alert.subject).await.unwrap();
        let mut of_it = all
            .into_iter()
            .filter(|it| it.id == alert.id && it.channel == channel);
        of_it.next().expect("it was written down")
    }

    /// Lets the courier work until the alert has arrived.
    async fn delivered(&self, courier: &Courier, alert: &Alert, channel: &str) -> Delivery {
        eventually("it is delivered", SOON, || async {
            courier.run_once().await.unwrap();
            Some(self.delivery(alert, channel).await).filter(|it| it.state == State::Delivered)
        })
        .await
    }
}

fn alert(subject: &str) -> Alert {
    Alert::new("archived", Severity::Urgent, subject, "Work was given up")
        .text("It failed six times.")
        .fact("step", "decide")
}

/// What a receiver does with its copy of the secret.
fn assert_signed(request: &Request) {
    let key = STANDARD
        .decode(SECRET.trim_start_matches("whsec_"))
        .unwrap();
    let (id, timestamp) = (
        request.header("webhook-id"),
        request.header("webhook-timestamp"),
    );
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    hmac.update(format!("{id}.{timestamp}.").as_bytes());
    hmac.update(&request.body);
    let signature = STANDARD.encode(hmac.finalize().into_bytes());
    assert_eq!(
        request.header("webhook-signature"),
        format!("v1,{signature}")
    );
    let age = Utc::now().timestamp() - timestamp.parse::<i64>().unwrap();
    // Seconds or milliseconds, this year or 1970: how busy the machine is does not matter.
    assert!((0..600).contains(&age), "{age}");
    assert_eq!(request.header("content-type"), "application/json");
}

fn assert_signed_by_robot(request: &Request) {
    let url = reqwest::Url::parse(&format!("http://robot{}", request.target)).unwrap();
    let value = |name: &str| {
        url.query_pairs()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .into_owned()
    };
    let ms = value("timestamp");
    let mut hmac = Hmac::<Sha256>::new_from_slice(ROBOT_SECRET.as_bytes()).unwrap();
    hmac.update(format!("{ms}\n{ROBOT_SECRET}").as_bytes());
    assert_eq!(value("sign"), STANDARD.encode(hmac.finalize().into_bytes()));
    assert_eq!(value("access_token"), "TOKEN");
    let age = Utc::now().timestamp_millis() - ms.parse::<i64>().unwrap();
    assert!((0..600_000).contains(&age), "{age}");
}

/// How many rows of the outbox are in which state.
async fn states(desk: &Desk) -> Vec<(&'static str, i64)> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select state, count(*) from alert_outbox group by state order by state")
            .fetch_all(desk.db())
            .await
            .unwrap();
    let known = [
        "delivered",
        "digested",
        "pending",
        "superseded",
        "undelivered",
    ];
    rows.into_iter()
        .map(|(state, count)| {
            let state = known.into_iter().find(|it| *it == state).expect("a state");
            (state, count)
        })
        .collect()
}

fn ids(receiver: &Receiver) -> Vec<String> {
    receiver
        .requests()
        .iter()
        .map(|request| request.header("webhook-id").to_owned())
        .collect()
}
