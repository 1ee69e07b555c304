//! MySQL is away: people are told all the same, and the outbox knows of it afterwards.

use super::{Desk, SOON, alert, assert_signed, quick, states};
use compensation::alerts::{
    Alert, Courier, Folder, Notice, Policy, Severity,
    outbox::{Delivery, State, attempts, insert_notice, of_subject, standings},
    raise,
};
use service_kit::settings::{Alerts, ChannelKind};
use sqlx::{MySqlPool, mysql::MySqlPoolOptions};
use std::{
    collections::HashSet,
    fs::File,
    time::{Duration, Instant},
};
use testkit::{
    eventually,
    proxy::Proxy,
    webhooks::{Receiver, Request},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(service_kit::mysql::options(&settings));
    let spool = desk.spool();
    proxy.cut();
    let alert = alert("order-1");
    raise(&db, &spool, &alert).await.unwrap();
    raise(&db, &spool, &alert).await.unwrap();
    let courier = Courier::with_policy(db.clone(), &desk.channels, spool, "test", attentive());
    eventually("people are told of both", SOON, || async {
        courier.run_once().await.unwrap();
        (well.requests().len() == 2).then_some(())
    })
    .await;
    courier.run_once().await.unwrap();
    let told = well.requests();
    assert_eq!(told.len(), 2, "once, and not again");
    // Which of the two comes first is open: both are urgent, and each goes as soon as it is there.
    let of_it = |it: &&Request| it.header("webhook-id") == alert.id.to_string();
    let system = told.iter().find(|it| !of_it(it)).unwrap().text();
    assert!(
        told.iter().any(|it| of_it(&it))
            && system.contains(r#""type":"redress.system""#)
            && system.contains("MySQL does not answer"),
        "{system}"
    );
    told.iter().for_each(assert_signed);

    // Another process goes on where this one stood, and MySQL is back.
    drop(courier);
    proxy.open();
    broken.answer_with(200, &[], "");
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", quick());
    let delivery = desk_moved(&desk, &courier, &alert, "well").await;
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
async fn desk_moved(desk: &Desk, courier: &Courier, alert: &Alert, channel: &str) -> Delivery {
    eventually("it is moved", SOON, || async {
        courier.run_once().await.ok()?;
        let all = of_subject(desk.db(), &alert.subject).await.unwrap();
        all.into_iter().find(|it| it.channel == channel)
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
    let folder = Folder::new(desk.db().clone(), &Alerts::default(), &desk.channels);
    tokio::spawn(folder.run(stop.clone()));
    // Longer than a ping may take: a machine that is busy for a moment makes no outage.
    let policy = Policy {
        silence: Duration::from_millis(1500),
        ..quick()
    };
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "compensator-1", policy);
    let running = tokio::spawn(courier.run(stop.clone()));
    for outage in 1..=2 {
        proxy.hang();
        told_last(&hook, 2 * outage - 1, "does not answer").await;
        proxy.open();
        told_last(&hook, 2 * outage, "answers again").await;
        // What arrived and is not written down yet would be sent once more, after its claim.
        eventually("all of it is in the outbox", SOON, || async {
            let all = of_subject(desk.db(), "mysql").await.unwrap();
            let delivered = all.iter().all(|it| it.state == State::Delivered);
            (all.len() >= 2 * outage && delivered).then_some(())
        })
        .await;
    }
    stop.cancel();
    running.await.unwrap();
    // What ends an incident is as urgent as the incident.
    for (text, title) in once_each(&hook)
        .iter()
        .zip(["does not answer", "answers again"].into_iter().cycle())
    {
        assert!(
            text.contains("urgent") && text.contains(title) && text.contains("compensator-1"),
            "{text}"
        );
    }
}

/// What the receiver was told, each once: what a lost answer had sent again has the same id.
fn once_each(hook: &Receiver) -> Vec<String> {
    let mut seen = HashSet::new();
    let all = hook.requests().into_iter();
    let new = all.filter(|it| seen.insert(it.header("webhook-id").to_owned()));
    new.map(|it| it.text()).collect()
}

/// Waits until so many were told, and the last one says so. More than that is an outage the machine made itself: it ends as well.
async fn told_last(hook: &Receiver, at_least: usize, title: &str) {
    eventually(title, SOON, || async {
        let all = once_each(hook);
        let last = all.last().is_some_and(|it| it.contains(title));
        (all.len() >= at_least && last).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_alert_that_is_in_both_arrives_once() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let alert = alert("order-1");
    desk.write(&alert).await;
    // MySQL took it, and its answer was lost.
    desk.spool().put(&alert).await.unwrap();
    let courier = desk.courier(quick());
    desk.delivered(&courier, &alert, "ops").await;
    // The courier was killed before it removed the file.
    desk.spool().put(&alert).await.unwrap();
    assert_eq!(courier.run_once().await.unwrap(), 0);
    assert_eq!(hook.requests().len(), 1);
}

/// What was told of from the spool is an incident's first notice later, under the same id. Breaks when what was delivered is not written
/// into the outbox, and when writing the notice again makes it pending.
#[tokio::test]
async fn what_was_told_from_the_spool_is_not_told_again_as_an_incidents_first_notice() {
    let (hook, other) = (Receiver::start().await, Receiver::start().await);
    let desk = Desk::with(&[
        ("ops", ChannelKind::Webhook, &hook),
        ("other", ChannelKind::Webhook, &other),
    ])
    .await;
    let (proxy, db) = behind_a_proxy(&desk).await;
    proxy.cut();
    hook.answer_next_with(500, &[], "");
    let alert = alert("order-1");
    desk.spool().put(&alert).await.unwrap();
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", quick());
    eventually("people are told", SOON, || async {
        courier.run_once().await.ok()?;
        (hook.requests().len() == 2 && other.requests().len() == 1).then_some(())
    })
    .await;
    proxy.open();
    let mut first = Notice::of(alert.clone());
    (first.incident, first.sequence) = (Some(Uuid::now_v7()), 1);
    desk_moved(&desk, &courier, &alert, "ops").await;
    desk.delivered(&courier, &alert, "ops").await;
    let mut tx = desk.db().begin().await.unwrap();
    insert_notice(&mut tx, desk.channels.names(), &first)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    courier.run_once().await.unwrap();
    assert_eq!((hook.requests().len(), other.requests().len()), (2, 1));
    let delivery = desk.delivery(&alert, "ops").await;
    assert_eq!(
        (delivery.state, delivery.incident, delivery.sequence),
        (State::Delivered, first.incident, 1)
    );
    let tries = attempts(desk.db(), alert.id).await.unwrap();
    let mut tries: Vec<_> = tries
        .iter()
        .map(|it| (it.channel.as_str(), it.outcome.as_str()))
        .collect();
    tries.sort_unstable();
    assert_eq!(
        tries,
        [("ops", "failed"), ("ops", "sent"), ("other", "sent")]
    );
}

/// Breaks when the spool is sent from as fast as it goes, or MySQL's bucket is taken for this process's own.
#[tokio::test]
async fn a_storm_into_the_spool_stays_within_a_third_of_the_rate_and_ends_in_a_digest() {
    let robot = Receiver::start().await;
    let desk = Desk::with(&[("group", ChannelKind::Dingtalk, &robot)]).await;
    let (proxy, db) = behind_a_proxy(&desk).await;
    proxy.cut();
    for number in 0..50 {
        desk.spool()
            .put(&alert(&format!("order-{number}")))
            .await
            .unwrap();
    }
    let begun = Instant::now();
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", quick());
    eventually("some are told of", SOON, || async {
        courier.run_once().await.ok()?;
        (!robot.requests().is_empty()).then_some(())
    })
    .await;
    for _ in 0..5 {
        courier.run_once().await.unwrap();
    }
    // A third of 5 at once, and of 14 a minute.
    let at_most = 5.0 / 3.0 + begun.elapsed().as_secs_f64() * 14.0 / 180.0;
    let sent = robot.requests().len();
    assert!(sent as f64 <= at_most, "{sent} of {at_most}");
    proxy.open();
    let folder = Folder::new(desk.db().clone(), &Alerts::default(), &desk.channels);
    eventually("the others are told of", SOON, || async {
        courier.run_once().await.ok()?;
        folder.run_once().await.ok()?;
        let states = states(&desk).await;
        let told: i64 = states.iter().map(|(_, count)| count).sum();
        let waits = states.iter().any(|(state, _)| *state == "pending");
        (told > 50 && !waits).then_some(())
    })
    .await;
    assert!(robot.requests().len() <= 14, "{}", robot.requests().len());
}

/// People are told soon that MySQL does not answer.
fn attentive() -> Policy {
    Policy {
        silence: Duration::from_millis(100),
        ..quick()
    }
}

/// Breaks when the news that it answers is written down before what waited in the spool: nobody would know what has ended.
#[tokio::test]
async fn that_mysql_answers_is_said_after_what_was_said_of_its_silence() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let (proxy, db) = behind_a_proxy(&desk).await;
    let folder = desk.folder.path().join("alerts");
    std::fs::create_dir(&folder).unwrap();
    let busy = File::create(folder.join("lock")).unwrap();
    busy.try_lock().expect("nobody works on the spool");
    proxy.cut();
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", attentive());
    eventually("it is in the spool", SOON, || async {
        let _ = courier.run_once().await;
        let mut files = std::fs::read_dir(&folder).unwrap();
        files
            .any(|it| it.unwrap().path().extension().is_some())
            .then_some(())
    })
    .await;
    proxy.open();
    let raised = "select title from alerts order by created_at, id";
    for _ in 0..3 {
        let _ = courier.run_once().await;
    }
    let titles: Vec<String> = sqlx::query_scalar(raised)
        .fetch_all(desk.db())
        .await
        .unwrap();
    assert_eq!(titles, [""; 0], "another process has the spool");
    drop(busy);
    let titles = eventually("both are raised", SOON, || async {
        let _ = courier.run_once().await;
        let titles: Vec<String> = sqlx::query_scalar(raised)
            .fetch_all(desk.db())
            .await
            .unwrap();
        (titles.len() == 2).then_some(titles)
    })
    .await;
    assert_eq!(titles, ["MySQL does not answer", "MySQL answers again"]);
}

/// Breaks when it is known only to the process that told of it: its incident would stand for ever.
#[tokio::test]
async fn who_died_after_telling_of_a_silence_has_its_end_told_by_the_next_one() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let folder = Folder::new(desk.db().clone(), &Alerts::default(), &desk.channels);
    let mut left = alert("mysql");
    left.kind = "system".to_owned();
    raise(desk.db(), &desk.spool(), &left).await.unwrap();
    folder.run_once().await.unwrap();
    for _ in 0..3 {
        desk.courier(quick()).run_once().await.unwrap();
        folder.run_once().await.unwrap();
    }
    let all: Vec<(String, bool)> =
        sqlx::query_as("select title, state = 'resolved' from incidents")
            .fetch_all(desk.db())
            .await
            .unwrap();
    assert_eq!(all, [("Work was given up".to_owned(), true)], "and once");
}

/// Breaks when the key is the alert's, or the incident's: what was opened from the spool is never closed.
#[tokio::test]
async fn what_was_opened_from_the_spool_is_closed_by_its_incidents_end() {
    let pager = Receiver::start().await;
    pager.answer_with(202, &[], "");
    let desk = Desk::with(&[("pager", ChannelKind::Pagerduty, &pager)]).await;
    let (proxy, db) = behind_a_proxy(&desk).await;
    proxy.cut();
    let trouble = Alert::new("system", Severity::Urgent, "archive", "It is away");
    desk.spool().put(&trouble).await.unwrap();
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", quick());
    eventually("it is opened", SOON, || async {
        let _ = courier.run_once().await;
        (pager.requests().len() == 1).then_some(())
    })
    .await;
    proxy.open();
    desk_moved(&desk, &courier, &trouble, "pager").await;
    let end = Alert::new("system", Severity::Info, "archive", "It is back").resolves();
    raise(desk.db(), &desk.spool(), &end).await.unwrap();
    let folder = Folder::new(desk.db().clone(), &Alerts::default(), &desk.channels);
    folder.run_once().await.unwrap();
    eventually("it is closed", SOON, || async {
        let _ = courier.run_once().await;
        (pager.requests().len() == 2).then_some(())
    })
    .await;
    let events: Vec<serde_json::Value> = pager
        .requests()
        .iter()
        .map(|it| serde_json::from_slice(&it.body).unwrap())
        .collect();
    let actions = [&events[0]["event_action"], &events[1]["event_action"]];
    assert_eq!(actions, ["trigger", "resolve"]);
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
}

/// Breaks when what the receiver said is forgotten with the spool: it would be asked again by every process.
#[tokio::test]
async fn that_a_receiver_is_gone_is_known_to_all_when_mysql_is_back() {
    let hook = Receiver::start().await;
    hook.answer_with(410, &[], "");
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let (proxy, db) = behind_a_proxy(&desk).await;
    proxy.cut();
    let first = alert("order-1");
    desk.spool().put(&first).await.unwrap();
    let courier = Courier::with_policy(db, &desk.channels, desk.spool(), "test", quick());
    eventually("it is asked", SOON, || async {
        let _ = courier.run_once().await;
        (hook.requests().len() == 1).then_some(())
    })
    .await;
    proxy.open();
    desk_moved(&desk, &courier, &first, "ops").await;
    desk.write(&alert("order-2")).await;
    desk.schema
        .execute("update alert_outbox set due_at = utc_timestamp(3)")
        .await;
    let other = desk.courier(quick());
    for _ in 0..3 {
        courier.run_once().await.unwrap();
        other.run_once().await.unwrap();
    }
    assert_eq!(hook.requests().len(), 1, "it is left alone");
    let [standing] = &standings(desk.db()).await.unwrap()[..] else {
        panic!("one channel")
    };
    let why = standing.off_why.as_deref().unwrap_or_default();
    assert!(
        standing.off_at.is_some() && why.contains("410"),
        "{standing:?}"
    );
}

async fn behind_a_proxy(desk: &Desk) -> (Proxy, MySqlPool) {
    let proxy = Proxy::start(desk.schema.address()).await;
    let mut settings = desk.schema.settings.clone();
    settings.port = proxy.address().port();
    let db = MySqlPoolOptions::new()
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(service_kit::mysql::options(&settings));
    (proxy, db)
}
