//! The order of an incident's notices on a channel, every try, and what operators ask for.

use super::{Desk, SOON, alert, ids, quick, states};
use compensation::{
    alerts::{
        Alert, Folder, Notice, Severity, Status,
        outbox::{RedeliverError, Show, State, attempts, insert_notice, list, redeliver},
        record,
    },
    retention::{Keep, Retention},
};
use service_kit::settings::{Alerts, ChannelKind};
use std::time::Duration;
use testkit::{eventually, webhooks::Receiver};
use uuid::Uuid;

/// A notice of an incident.
fn notice(incident: Uuid, sequence: u32, status: Status, severity: Severity) -> Notice {
    let title = format!("{} {sequence}", status.as_str());
    let mut notice = Notice::of(Alert::new("figure", severity, "queue", &title));
    (notice.incident, notice.sequence, notice.status) = (Some(incident), sequence, status);
    notice
}

async fn write(desk: &Desk, notice: &Notice) {
    let mut db = desk.db().acquire().await.unwrap();
    insert_notice(&mut db, desk.channels.names(), notice)
        .await
        .unwrap();
}

/// Breaks when what is in hand elsewhere is not looked at: "resolved" is there before "firing".
#[tokio::test]
async fn nothing_of_an_incident_overtakes_what_is_under_way() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let incident = Uuid::now_v7();
    let of = |sequence, status| notice(incident, sequence, status, Severity::Urgent);
    let (firing, changed, resolved) = (
        of(1, Status::Firing),
        of(2, Status::Changed),
        of(3, Status::Resolved),
    );
    hook.hang();
    write(&desk, &firing).await;
    let killed = desk.courier(quick());
    let killed = tokio::spawn(async move { killed.run_once().await });
    eventually("it is under way", SOON, || async {
        (hook.requests().len() == 1).then_some(())
    })
    .await;
    write(&desk, &changed).await;
    write(&desk, &resolved).await;
    hook.answer_with(200, &[], "");
    let other = desk.courier(quick());
    assert_eq!(other.run_once().await.unwrap(), 0, "it waits for the first");
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    // Its lease ends.
    desk.schema
        .execute("update alert_outbox set due_at = utc_timestamp(3) where claim is not null")
        .await;
    desk.delivered(&other, &resolved.alert, "ops").await;
    assert_eq!(
        ids(&hook),
        [firing.id().to_string(), resolved.id().to_string()],
        "the last says it all"
    );
    assert_eq!(states(&desk).await, [("delivered", 1), ("superseded", 2)]);
}

/// Breaks when the end of something urgent is kept back, and when old news are told.
#[tokio::test]
async fn what_began_and_ended_during_an_outage_is_told_of_where_it_still_matters() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let mut over = Vec::new();
    for severity in [Severity::Urgent, Severity::Warning] {
        let incident = Uuid::now_v7();
        write(&desk, &notice(incident, 1, Status::Firing, severity)).await;
        over.push(notice(incident, 2, Status::Resolved, severity));
        write(&desk, &over[over.len() - 1]).await;
    }
    desk.schema
        .execute("update alert_outbox set created_at = created_at - interval 1 hour")
        .await;
    // Told of before: its end is told too.
    let known = Uuid::now_v7();
    let begun = notice(known, 1, Status::Firing, Severity::Warning);
    write(&desk, &begun).await;
    desk.schema
        .execute(&format!(
            "update alert_outbox set state = 'delivered' where id = x'{}'",
            begun.id().simple()
        ))
        .await;
    let changed = notice(known, 2, Status::Changed, Severity::Warning);
    write(&desk, &changed).await;
    desk.schema
        .execute("update alert_outbox set created_at = utc_timestamp(3) - interval 1 hour")
        .await;
    over.push(notice(known, 3, Status::Resolved, Severity::Warning));
    write(&desk, &over[2]).await;
    assert_eq!(desk.courier(quick()).run_once().await.unwrap(), 2);
    let mut sent = ids(&hook);
    let mut wanted = [over[0].id().to_string(), over[2].id().to_string()];
    sent.sort();
    wanted.sort();
    assert_eq!(sent, wanted);
    let kept_back = desk.delivery(&over[1].alert, "ops").await;
    assert_eq!(kept_back.state, State::Superseded);
    assert!(kept_back.last_error.unwrap().contains("over before"));
}

/// Breaks when a try is not written down, or a redelivery has another id.
#[tokio::test]
async fn every_try_is_written_down_and_one_may_be_asked_for() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.answer_next_with(503, &[], "");
    let alert = alert("order-1");
    desk.write(&alert).await;
    let courier = desk.courier(quick());
    desk.delivered(&courier, &alert, "ops").await;
    let ask = async || {
        let mut db = desk.db().acquire().await.unwrap();
        redeliver(&mut db, alert.id, "ops", "ann").await
    };
    ask().await.unwrap();
    assert_eq!(courier.run_once().await.unwrap(), 1);
    hook.answer_next_with(500, &[], "");
    ask().await.unwrap();
    assert_eq!(courier.run_once().await.unwrap(), 1);
    let delivery = desk.delivery(&alert, "ops").await;
    assert_eq!(
        (delivery.state, delivery.attempts),
        (State::Delivered, 4),
        "it had arrived before"
    );
    let tries: Vec<_> = attempts(desk.db(), alert.id)
        .await
        .unwrap()
        .into_iter()
        .rev()
        .map(|it| (it.outcome, it.asked_by, it.error))
        .collect();
    let said = |outcome: &str, by: Option<&str>, error: Option<&str>| {
        (
            outcome.to_owned(),
            by.map(str::to_owned),
            error.map(str::to_owned),
        )
    };
    assert_eq!(
        tries,
        [
            said("failed", None, Some("failed: HTTP 503")),
            said("sent", None, None),
            said("sent", Some("ann"), None),
            said("failed", Some("ann"), Some("failed: HTTP 500")),
        ]
    );
    assert!(ids(&hook).iter().all(|id| *id == alert.id.to_string()));
    let mut db = desk.db().acquire().await.unwrap();
    let unknown = redeliver(&mut db, Uuid::now_v7(), "ops", "ann").await;
    assert!(matches!(unknown, Err(RedeliverError::NotFound)));
}

#[tokio::test]
async fn what_had_no_channel_or_another_one_is_sent_where_it_is_asked_for() {
    let (hook, other) = (Receiver::start().await, Receiver::start().await);
    let none = Desk::with(&[]).await;
    let alert = alert("order-1");
    none.write(&alert).await;
    let desk = Desk {
        channels: Desk::channels(&[
            ("ops", ChannelKind::Webhook, &hook),
            ("other", ChannelKind::Webhook, &other),
        ]),
        ..none
    };
    for channel in ["ops", "other"] {
        let mut db = desk.db().acquire().await.unwrap();
        redeliver(&mut db, alert.id, channel, "ann").await.unwrap();
        drop(db);
        desk.delivered(&desk.courier(quick()), &alert, channel)
            .await;
    }
    assert_eq!((hook.requests().len(), other.requests().len()), (1, 1));
    assert_eq!(states(&desk).await, [("delivered", 2)]);
}

/// Breaks when tries outlive their notice, or what a digest tells of goes before the digest has arrived.
#[tokio::test]
async fn tries_go_with_their_notice_and_what_did_not_arrive_stays() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let (old, young) = (alert("order-1"), alert("order-2"));
    let courier = desk.courier(quick());
    for alert in [&old, &young] {
        desk.write(alert).await;
        desk.delivered(&courier, alert, "ops").await;
    }
    let waits = [alert("order-3"), alert("order-4")];
    for alert in &waits {
        desk.write(alert).await;
    }
    let [digest, told] = waits.map(|alert| alert.id.simple().to_string());
    for sql in [
        format!(
            "update alert_outbox set state = 'digested', digest_id = x'{digest}' where id = x'{told}'"
        ),
        format!(
            "update alert_outbox set created_at = created_at - interval 2 day where id <> x'{}'",
            young.id.simple()
        ),
    ] {
        desk.schema.execute(&sql).await;
    }
    let day = Duration::from_hours(24);
    let keep = Keep {
        settled_work: day,
        log: day,
        alerts: day,
    };
    let retention = Retention::new(desk.db().clone(), keep);
    assert_eq!(retention.run_batch().await.unwrap(), 1);
    assert!(attempts(desk.db(), old.id).await.unwrap().is_empty());
    assert_eq!(attempts(desk.db(), young.id).await.unwrap().len(), 1);
    desk.schema
        .execute("update alert_outbox set state = 'delivered' where state = 'pending'")
        .await;
    // The digest has arrived: it goes with what it told of.
    assert_eq!(retention.run_batch().await.unwrap(), 2);
    assert_eq!(states(&desk).await, [("delivered", 1)]);
}

/// Breaks when only what became due first is looked at: what is in hand has been due latest, and "resolved" overtakes "firing".
#[tokio::test]
async fn order_holds_however_much_waits() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let incident = Uuid::now_v7();
    let of = |sequence, status| notice(incident, sequence, status, Severity::Warning);
    let (firing, resolved) = (of(1, Status::Firing), of(2, Status::Resolved));
    write(&desk, &firing).await;
    hook.hang();
    let under_way = desk.courier(quick());
    let under_way = tokio::spawn(async move { under_way.run_once().await });
    eventually("it is under way", SOON, || async {
        (hook.requests().len() == 1).then_some(())
    })
    .await;
    write(&desk, &resolved).await;
    desk.write(&alert("model")).await;
    desk.schema
        .execute(
            "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, created_at)
             select unhex(md5(seq)), channel, kind, 'info', concat('order-', seq), title, body, state, 0, due_at, created_at
             from alert_outbox, seq_1_to_5000 where subject = 'model'",
        )
        .await;
    desk.schema
        .execute(
            "update alert_outbox set due_at = due_at - interval 1 minute where status = 'resolved'",
        )
        .await;
    hook.answer_with(200, &[], "");
    let other = desk.courier(quick());
    other.run_once().await.unwrap();
    assert_eq!(
        desk.delivery(&resolved.alert, "ops").await.state,
        State::Pending,
        "it waits for the first"
    );
    under_way.abort();
}

/// Breaks when anything may be sent once more: a receiver would open again what is over, and nothing would close it.
#[tokio::test]
async fn what_is_over_is_not_opened_again_by_a_redelivery() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let folder = Folder::new(desk.db().clone(), &Alerts::default(), &desk.channels);
    let raise = async |alert: &Alert| {
        let mut db = desk.db().acquire().await.unwrap();
        record(&mut db, alert).await.unwrap();
        drop(db);
        folder.run_once().await.unwrap();
    };
    let trouble = Alert::new("system", Severity::Urgent, "archive", "It is away");
    raise(&trouble).await;
    let ask = async |id| {
        let mut db = desk.db().acquire().await.unwrap();
        redeliver(&mut db, id, "ops", "ann").await
    };
    ask(trouble.id).await.unwrap();
    raise(&Alert::new("system", Severity::Info, "archive", "It is back").resolves()).await;
    assert!(matches!(ask(trouble.id).await, Err(RedeliverError::Over)));
    let all = list(desk.db(), Show::All, 10, None).await.unwrap();
    let end = all.iter().find(|it| it.status == Status::Resolved).unwrap();
    ask(end.id).await.unwrap();
    let report = Alert::new("weekly_report", Severity::Info, "2026-W27", "A week");
    raise(&report).await;
    ask(report.id).await.expect("it was over when it was told");
}
