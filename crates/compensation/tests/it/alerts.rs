//! Alerts on their way: from the outbox and the spool to receivers on real sockets, whatever breaks in between.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use compensation::alerts::{
    Alert, Channels, Courier, Policy, Severity, Spool,
    outbox::{self, Delivery, Show, State},
    raise,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use service_kit::settings::{ChannelKind, ChannelSettings, Secret, Settings};
use sha2::Sha256;
use sqlx::{MySqlPool, mysql::MySqlPoolOptions};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::{
    eventually,
    mysql::{Schema, schema},
    proxy::Proxy,
    webhooks::{Receiver, Request},
};
use tokio_util::sync::CancellationToken;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ROBOT_SECRET: &str = "SECthis is secret";
const SOON: Duration = Duration::from_secs(20);

/// Waits so short that a test need not wait for them.
fn quick() -> Policy {
    Policy {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(50),
        slow_down: Duration::from_millis(20),
        broken: Duration::from_millis(50),
        silence: Duration::from_millis(100),
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
        let mut settings = Settings::default();
        settings.alerts.channels = channels
            .iter()
            .map(|(name, kind, receiver)| ChannelSettings {
                name: (*name).to_owned(),
                kind: *kind,
                url: Secret::new(match kind {
                    ChannelKind::Dingtalk => format!("{}?access_token=TOKEN", receiver.url()),
                    ChannelKind::Webhook => receiver.url(),
                }),
                secret: Secret::new(match kind {
                    ChannelKind::Dingtalk => ROBOT_SECRET,
                    ChannelKind::Webhook => SECRET,
                }),
            })
            .collect();
        Self {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            channels: Channels::from_settings(&settings).unwrap(),
        }
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
        outbox::insert(&mut tx, self.channels.names(), alert)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn delivery(&self, alert: &Alert, channel: &str) -> Delivery {
        let all = outbox::of_subject(self.db(), &alert.subject).await.unwrap();
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
    assert!((0..60).contains(&age), "{age}");
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
    assert!((0..60_000).contains(&age), "{age}");
}

fn ids(receiver: &Receiver) -> Vec<String> {
    receiver
        .requests()
        .iter()
        .map(|request| request.header("webhook-id").to_owned())
        .collect()
}

#[tokio::test]
async fn an_alert_reaches_every_channel_once_and_signed() {
    let (hook, robot) = (Receiver::start().await, Receiver::start().await);
    let desk = Desk::with(&[
        ("ops", ChannelKind::Webhook, &hook),
        ("group", ChannelKind::Dingtalk, &robot),
    ])
    .await;
    let alert = alert("order-1");
    desk.write(&alert).await;
    desk.write(&alert).await;
    assert_eq!(desk.delivery(&alert, "ops").await.state, State::Pending);
    let courier = desk.courier(quick());
    assert_eq!(courier.run_once().await.unwrap(), 2);
    assert_eq!(courier.run_once().await.unwrap(), 0);
    let [request] = &hook.requests()[..] else {
        panic!("{:?}", hook.requests())
    };
    assert_signed(request);
    assert_eq!(request.header("webhook-id"), alert.id.to_string());
    let event: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(event["type"], "redress.archived");
    assert_eq!(event["data"]["subject"], "order-1");
    let [request] = &robot.requests()[..] else {
        panic!("{:?}", robot.requests())
    };
    assert_signed_by_robot(request);
    assert!(
        request.text().starts_with(
            r#"{"msgtype":"markdown","markdown":{"title":"Redress: Work was given up""#
        )
    );
    for channel in ["ops", "group"] {
        let delivery = desk.delivery(&alert, channel).await;
        assert_eq!((delivery.state, delivery.attempts), (State::Delivered, 1));
        assert!(delivery.delivered_at.is_some() && delivery.last_error.is_none());
    }
}

#[tokio::test]
async fn an_alert_goes_with_the_transaction_it_tells_of() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let courier = desk.courier(quick());
    let mut tx = desk.db().begin().await.unwrap();
    outbox::insert(&mut tx, desk.channels.names(), &alert("order-1"))
        .await
        .unwrap();
    assert_eq!(
        courier.run_once().await.unwrap(),
        0,
        "it is not written yet"
    );
    tx.rollback().await.unwrap();
    assert_eq!(courier.run_once().await.unwrap(), 0, "it never happened");
    assert!(hook.requests().is_empty());
}

#[tokio::test]
async fn without_channels_an_alert_is_shown_as_undelivered() {
    let desk = Desk::with(&[]).await;
    let alert = alert("order-1");
    desk.write(&alert).await;
    desk.courier(quick()).run_once().await.unwrap();
    let listed = outbox::list(desk.db(), Show::NotDelivered, 10, None)
        .await
        .unwrap();
    assert_eq!(listed, [desk.delivery(&alert, "").await]);
    assert_eq!(listed[0].state, State::Undelivered);
    assert_eq!(
        listed[0].last_error.as_deref(),
        Some("no channel is configured")
    );
    assert_eq!(outbox::counts(desk.db()).await.unwrap().undelivered, 1);
}

#[tokio::test]
async fn whatever_a_receiver_answers_the_alert_is_sent_until_it_arrived() {
    for (kind, status, headers, body, named) in [
        (ChannelKind::Webhook, 500, None, "", "failed: HTTP 500"),
        (
            ChannelKind::Webhook,
            302,
            Some(("location", "/elsewhere")),
            "",
            "failed: HTTP 302: redirects",
        ),
        (
            ChannelKind::Webhook,
            410,
            None,
            "",
            "channel broken: HTTP 410",
        ),
        (
            ChannelKind::Webhook,
            404,
            None,
            "",
            "channel broken: HTTP 404",
        ),
        (
            ChannelKind::Webhook,
            429,
            Some(("retry-after", "0")),
            "",
            "slow down: HTTP 429",
        ),
        (
            ChannelKind::Dingtalk,
            200,
            None,
            r#"{"errmsg":"ok"}"#,
            "failed: the answer has no errcode",
        ),
        (
            ChannelKind::Dingtalk,
            200,
            None,
            r#"{"errcode":-1,"errmsg":"busy TOKEN"}"#,
            "failed: errcode -1: busy ***",
        ),
        (
            ChannelKind::Dingtalk,
            200,
            None,
            r#"{"errcode":310000,"errmsg":"sign not match"}"#,
            "channel broken: errcode 310000",
        ),
        (
            ChannelKind::Dingtalk,
            200,
            None,
            r#"{"errcode":130101,"errmsg":"too fast"}"#,
            "slow down: errcode 130101",
        ),
        (
            ChannelKind::Dingtalk,
            500,
            None,
            r#"{"errcode":0}"#,
            "failed: HTTP 500",
        ),
    ] {
        let receiver = Receiver::start().await;
        let desk = Desk::with(&[("it", kind, &receiver)]).await;
        receiver.answer_next_with(status, headers.as_slice(), body);
        let alert = alert("order-1");
        desk.write(&alert).await;
        let courier = desk.courier(quick());
        assert_eq!(
            courier.run_once().await.unwrap(),
            1,
            "{named}: once, then it rests"
        );
        let delivery = desk.delivery(&alert, "it").await;
        assert_eq!(
            (delivery.state, delivery.attempts),
            (State::Pending, 1),
            "{named}"
        );
        assert!(
            delivery.last_error.as_deref().unwrap().starts_with(named),
            "{delivery:?}"
        );
        let delivery = desk.delivered(&courier, &alert, "it").await;
        assert_eq!(
            (delivery.attempts, delivery.last_error),
            (2, None),
            "{named}"
        );
        let targets: Vec<_> = receiver
            .requests()
            .iter()
            .map(|it| it.target.clone())
            .collect();
        assert!(
            targets.len() == 2 && targets.iter().all(|it| it.starts_with("/hook")),
            "{targets:?}"
        );
    }
}

#[tokio::test]
async fn retry_after_holds_for_the_whole_channel() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.answer_next_with(429, &[("retry-after", "1")], "");
    let first = alert("order-1");
    desk.write(&first).await;
    let courier = desk.courier(quick());
    courier.run_once().await.unwrap();
    let asked = Instant::now();
    let second = alert("order-2");
    desk.write(&second).await;
    assert_eq!(
        courier.run_once().await.unwrap(),
        0,
        "a new alert waits too"
    );
    desk.delivered(&courier, &first, "ops").await;
    assert!(
        asked.elapsed() >= Duration::from_millis(950),
        "{:?}",
        asked.elapsed()
    );
    desk.delivered(&courier, &second, "ops").await;
}

#[tokio::test]
async fn a_reset_and_a_refused_connection_are_tried_again_and_tell_no_url() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.reset();
    let alert = alert("order-1");
    desk.write(&alert).await;
    let courier = desk.courier(quick());
    courier.run_once().await.unwrap();
    let error = desk.delivery(&alert, "ops").await.last_error.unwrap();
    assert!(
        error.starts_with("failed: ") && !error.contains("127.0.0.1") && !error.contains("hook"),
        "{error}"
    );
    hook.answer_with(204, &[], "");
    desk.delivered(&courier, &alert, "ops").await;
    assert!(ids(&hook).iter().all(|id| *id == alert.id.to_string()));
}

#[tokio::test]
async fn a_channel_that_hangs_loses_nothing_and_delays_no_other() {
    let (hung, well) = (Receiver::start().await, Receiver::start().await);
    let desk = Desk::with(&[
        ("hung", ChannelKind::Webhook, &hung),
        ("well", ChannelKind::Webhook, &well),
    ])
    .await;
    hung.hang();
    let stop = CancellationToken::new();
    let running = tokio::spawn(desk.courier(quick()).run(stop.clone()));
    for number in 0..20 {
        desk.write(&alert(&format!("order-{number}"))).await;
    }
    let asked = Instant::now();
    eventually("the other has them all", SOON, || async {
        (well.requests().len() == 20).then_some(())
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let counts = outbox::counts(desk.db()).await.unwrap();
    assert_eq!(
        counts.pending, 20,
        "the one that hangs still has them before it"
    );
    assert!(hung.requests().len() <= 4, "requests under way are bounded");
    hung.answer_with(200, &[], "");
    eventually(
        "the one that hung has them too",
        Duration::from_secs(60),
        || async { (outbox::counts(desk.db()).await.unwrap().pending == 0).then_some(()) },
    )
    .await;
    stop.cancel();
    running.await.unwrap();
    for request in hung.requests() {
        assert_signed(&request);
    }
}

#[tokio::test]
async fn a_courier_killed_between_sending_and_writing_down_sends_once_more_under_the_same_id() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.hang();
    let alert = alert("order-1");
    desk.write(&alert).await;
    let short = || Policy {
        lease: Duration::from_millis(300),
        ..quick()
    };
    let killed = desk.courier(short());
    let killed = tokio::spawn(async move { killed.run_once().await });
    eventually("the receiver has it", SOON, || async {
        (hook.requests().len() == 1).then_some(())
    })
    .await;
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    hook.answer_with(200, &[], "");
    let delivery = desk.delivered(&desk.courier(short()), &alert, "ops").await;
    assert_eq!(delivery.attempts, 1, "the killed one wrote nothing down");
    assert_eq!(ids(&hook), [alert.id.to_string(), alert.id.to_string()]);
}

#[tokio::test]
async fn three_couriers_deliver_each_alert_once() {
    let hook = Receiver::start().await;
    let desk = Arc::new(Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await);
    let stop = CancellationToken::new();
    let running: Vec<_> = (0..3)
        .map(|_| tokio::spawn(desk.courier(quick()).run(stop.clone())))
        .collect();
    let writers = (0..10).map(|writer| {
        let desk = Arc::clone(&desk);
        async move {
            for number in 0..20 {
                desk.write(&alert(&format!("order-{writer}-{number}")))
                    .await;
            }
        }
    });
    futures::future::join_all(writers).await;
    eventually("all are delivered", SOON, || async {
        (outbox::counts(desk.db()).await.unwrap().pending == 0).then_some(())
    })
    .await;
    stop.cancel();
    for courier in running {
        courier.await.unwrap();
    }
    let mut ids = ids(&hook);
    assert_eq!(ids.len(), 200);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200, "none twice");
}

#[tokio::test]
async fn an_alert_nobody_takes_for_a_day_is_given_up_and_shown() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.answer_with(500, &[], "");
    let alerts: Vec<_> = (0..10)
        .map(|number| alert(&format!("order-{number}")))
        .collect();
    for alert in &alerts {
        desk.write(alert).await;
    }
    desk.schema
        .execute("update alert_outbox set created_at = created_at - interval 1 day")
        .await;
    let young = alert("order-young");
    desk.write(&young).await;
    let patient = Policy {
        first: Duration::from_mins(1),
        longest: Duration::from_mins(1),
        ..quick()
    };
    let courier = desk.courier(patient);
    courier.run_once().await.unwrap();
    for alert in &alerts {
        let delivery = desk.delivery(alert, "ops").await;
        assert_eq!(delivery.state, State::Undelivered);
        assert_eq!(delivery.last_error.as_deref(), Some("failed: HTTP 500"));
    }
    assert_eq!(desk.delivery(&young, "ops").await.state, State::Pending);
    assert!(
        hook.requests().len() <= 4,
        "a long queue is not tried one by one"
    );
    desk.schema.execute("update alert_outbox set channel = 'gone', created_at = created_at - interval 1 day where state = 'pending'").await;
    let other = desk.courier(quick());
    other.run_once().await.unwrap();
    let gone = desk.delivery(&young, "gone").await;
    assert_eq!(
        (gone.state, gone.last_error.as_deref()),
        (
            State::Undelivered,
            Some("the channel is not configured any longer")
        )
    );
}

#[tokio::test]
async fn an_alert_that_cannot_be_read_keeps_no_other_waiting() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let (broken, fine) = (alert("order-1"), alert("order-2"));
    desk.write(&broken).await;
    desk.schema
        .execute("update alert_outbox set body = '{'")
        .await;
    desk.write(&fine).await;
    desk.delivered(&desk.courier(quick()), &fine, "ops").await;
    assert_eq!(
        desk.delivery(&broken, "ops").await.state,
        State::Undelivered
    );
}

#[tokio::test]
async fn the_list_is_read_page_by_page_newest_first() {
    let (a, b) = (Receiver::start().await, Receiver::start().await);
    let desk = Desk::with(&[
        ("a", ChannelKind::Webhook, &a),
        ("b", ChannelKind::Webhook, &b),
    ])
    .await;
    for number in 0..5 {
        desk.write(&alert(&format!("order-{number}"))).await;
    }
    desk.schema
        .execute("update alert_outbox set created_at = utc_timestamp(3)")
        .await;
    desk.write(&alert("order-last")).await;
    let all = outbox::list(desk.db(), Show::All, 100, None).await.unwrap();
    assert_eq!(all.len(), 12);
    let mut paged: Vec<Delivery> = Vec::new();
    loop {
        let before = paged.last().map(Delivery::position);
        let page = outbox::list(desk.db(), Show::NotDelivered, 5, before.as_ref())
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(outbox::counts(desk.db()).await.unwrap().pending, 12);
}

#[tokio::test]
async fn while_mysql_is_away_alerts_come_from_the_spool_and_end_in_the_outbox() {
    let (well, broken) = (Receiver::start().await, Receiver::start().await);
    broken.answer_with(500, &[], "");
    let desk = Desk::with(&[
        ("well", ChannelKind::Webhook, &well),
        ("broken", ChannelKind::Webhook, &broken),
    ])
    .await;
    let proxy = Proxy::start(desk.schema.address()).await;
    let mut settings = desk.schema.settings.clone();
    settings.port = proxy.address().port();
    let db = MySqlPoolOptions::new()
        .acquire_timeout(Duration::from_millis(200))
        .connect_lazy_with(service_kit::mysql::options(&settings));
    let spool = desk.spool();
    proxy.cut();
    let alert = alert("order-1");
    raise(&db, &spool, desk.channels.names(), &alert)
        .await
        .unwrap();
    raise(&db, &spool, desk.channels.names(), &alert)
        .await
        .unwrap();
    let courier = Courier::with_policy(db.clone(), &desk.channels, spool, "test", quick());
    eventually("people are told of both", SOON, || async {
        courier.run_once().await.unwrap();
        (well.requests().len() == 2).then_some(())
    })
    .await;
    courier.run_once().await.unwrap();
    let told = well.requests();
    assert_eq!(told.len(), 2, "once, and not again");
    assert_eq!(told[0].header("webhook-id"), alert.id.to_string());
    assert!(
        told[1].text().contains(r#""type":"redress.system""#)
            && told[1].text().contains("MySQL does not answer")
    );
    told.iter().for_each(assert_signed);

    // Another process goes on where this one stood, and MySQL is back.
    drop(courier);
    proxy.open();
    broken.answer_with(200, &[], "");
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", quick());
    let delivery = desk_moved(&desk, &courier, &alert).await;
    assert_eq!((delivery.state, delivery.attempts), (State::Delivered, 1));
    assert_eq!(
        well.requests().len(),
        2,
        "what was delivered from the spool is not sent again"
    );
    let other = desk.delivered(&courier, &alert, "broken").await;
    assert!(
        other.attempts >= 2,
        "its tries were not forgotten: {other:?}"
    );
    let folder = std::fs::read_dir(desk.folder.path().join("alerts")).unwrap();
    assert_eq!(
        folder
            .filter(|it| it.as_ref().unwrap().path().extension().is_some())
            .count(),
        0,
        "the spool is empty"
    );
}

/// The row of a spooled alert, once it was moved.
async fn desk_moved(desk: &Desk, courier: &Courier, alert: &Alert) -> Delivery {
    eventually("it is moved", SOON, || async {
        courier.run_once().await.ok()?;
        let all = outbox::of_subject(desk.db(), &alert.subject).await.unwrap();
        all.into_iter().find(|it| it.channel == "well")
    })
    .await
}

#[tokio::test]
async fn people_are_told_once_that_mysql_is_silent_and_once_that_it_answers() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let proxy = Proxy::start(desk.schema.address()).await;
    let mut settings = desk.schema.settings.clone();
    settings.port = proxy.address().port();
    let db = service_kit::mysql::connect(&settings).await.unwrap();
    let stop = CancellationToken::new();
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "compensator-1", quick());
    let running = tokio::spawn(courier.run(stop.clone()));
    for outage in 1..=2 {
        proxy.hang();
        eventually("they are told that it is silent", SOON, || async {
            (hook.requests().len() == 2 * outage - 1).then_some(())
        })
        .await;
        proxy.open();
        eventually("they are told that it answers", SOON, || async {
            (hook.requests().len() == 2 * outage).then_some(())
        })
        .await;
    }
    stop.cancel();
    running.await.unwrap();
    let texts: Vec<_> = hook.requests().iter().map(Request::text).collect();
    for (text, (severity, title)) in texts.iter().zip(
        [("urgent", "does not answer"), ("info", "answers again")]
            .into_iter()
            .cycle(),
    ) {
        assert!(
            text.contains(severity) && text.contains(title) && text.contains("compensator-1"),
            "{text}"
        );
    }
    eventually("all of it is in the outbox", SOON, || async {
        let all = outbox::of_subject(desk.db(), "mysql").await.unwrap();
        (all.len() == 4 && all.iter().all(|it| it.state == State::Delivered)).then_some(())
    })
    .await;
}
