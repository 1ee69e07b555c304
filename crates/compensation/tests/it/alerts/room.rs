//! What a channel has room for: many processes share its bucket and its rest, what there is no room for becomes a digest, and nothing is
//! dropped.

use super::{Desk, SOON, alert, ids, quick, states};
use compensation::alerts::{
    Alert, Notice, Policy, Severity, Status,
    outbox::{
        Show, State, attempts, counts, digested, insert_notice, list, notice, send_test, switch_on,
    },
};
use service_kit::settings::ChannelKind;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use testkit::{
    eventually,
    webhooks::{Receiver, Request},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn warning(subject: &str) -> Alert {
    Alert::new("figure", Severity::Warning, subject, "Too many wait")
}

fn digest_ids(receiver: &Receiver) -> Vec<String> {
    receiver
        .requests()
        .iter()
        .filter(|request| request.text().contains("redress.digest"))
        .map(|request| request.header("webhook-id").to_owned())
        .collect()
}

/// Each was told of once, alone or by a digest that arrived.
async fn assert_told_of(desk: &Desk, alerts: u64) {
    let all = list(desk.db(), Show::All, 10_000, None).await.unwrap();
    let (mut alone, mut in_digests) = (0, 0);
    for it in &all {
        assert_ne!(it.state, State::Pending, "{it:?}");
        match (it.kind.as_str(), it.state) {
            ("digest", State::Delivered) => {
                let says = notice(desk.db(), it.id).await.unwrap().unwrap();
                let of_it = digested(desk.db(), it.id).await.unwrap();
                assert_eq!(says.count, of_it.len() as u64, "{says:?}");
                assert_eq!(says.lines.len(), of_it.len().min(100));
                in_digests += says.count;
            }
            ("digest", _) => panic!("{it:?}"),
            (_, State::Delivered) => alone += 1,
            (_, State::Digested) => {}
            _ => panic!("{it:?}"),
        }
    }
    assert_eq!(alone + in_digests, alerts, "{alone} alone");
}

/// Breaks when each process has a bucket of its own (30 at once), and when the bucket is not under the row's lock.
#[tokio::test]
async fn three_processes_together_keep_within_the_channels_rate_and_drop_nothing() {
    let robot = Receiver::start().await;
    let desk = Desk::with(&[("group", ChannelKind::Dingtalk, &robot)]).await;
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let running: Vec<_> = (0..3)
        .map(|_| tokio::spawn(desk.courier(quick()).run(stop.clone())))
        .collect();
    for round in 0..3 {
        for number in 0..30 {
            desk.write(&alert(&format!("order-{round}-{number}"))).await;
        }
        eventually("all are told of", SOON, || async {
            (counts(desk.db()).await.unwrap().pending == 0).then_some(())
        })
        .await;
    }
    stop.cancel();
    for courier in running {
        courier.await.unwrap();
    }
    // 5 at once, 14 a minute.
    let at_most = 5.0 + begun.elapsed().as_secs_f64() * 14.0 / 60.0;
    let sent = robot.requests().len();
    assert!(sent as f64 <= at_most, "{sent} of {at_most}");
    assert!(sent >= 5, "{sent}: what there is room for goes alone");
    assert_told_of(&desk, 90).await;
}

/// Breaks when the outage is forgotten with the first success: then 30 come one by one.
#[tokio::test]
async fn what_waited_while_the_receiver_was_away_comes_as_one_digest() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.answer_with(500, &[], "");
    let courier = desk.courier(quick());
    desk.write(&warning("first")).await;
    courier.run_once().await.unwrap();
    for number in 0..20 {
        desk.write(&warning(&format!("figure-{number}"))).await;
    }
    let failed = hook.requests().len();
    hook.answer_with(200, &[], "");
    eventually("all are told of", SOON, || async {
        courier.run_once().await.unwrap();
        (counts(desk.db()).await.unwrap().pending == 0).then_some(())
    })
    .await;
    assert_eq!(
        hook.requests().len() - failed,
        2,
        "one to try it, and a digest"
    );
    assert_eq!(states(&desk).await, [("delivered", 2), ("digested", 20)]);
    assert_told_of(&desk, 21).await;
    let text = hook.requests().last().map(Request::text).unwrap();
    assert!(text.contains("20 notices in one: 20 warning"), "{text}");
}

/// Breaks when the digest's row and the marks of what it tells of are two transactions, or its id is made anew for a retry.
#[tokio::test]
async fn a_digest_whose_sender_was_killed_comes_again_under_its_id() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.hang();
    for number in 0..40 {
        desk.write(&warning(&format!("figure-{number}"))).await;
    }
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
    assert_eq!(states(&desk).await, [("digested", 40), ("pending", 1)]);
    // In this order: what is answered from now on forgets what was to be answered next.
    hook.answer_with(200, &[], "");
    hook.answer_next_with(500, &[], "");
    let courier = desk.courier(short());
    eventually("it is told of", SOON, || async {
        courier.run_once().await.unwrap();
        (counts(desk.db()).await.unwrap().pending == 0).then_some(())
    })
    .await;
    let mut ids = digest_ids(&hook);
    assert!(ids.len() >= 2, "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 1, "one digest, however often it is sent");
    assert_told_of(&desk, 40).await;
}

/// Breaks when a process goes by what it has seen itself.
#[tokio::test]
async fn a_receiver_that_asked_for_fewer_is_left_alone_by_all_processes() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.answer_next_with(429, &[("retry-after", "2")], "");
    let first = alert("order-1");
    desk.write(&first).await;
    let (one, other) = (desk.courier(quick()), desk.courier(quick()));
    let asked = Instant::now();
    one.run_once().await.unwrap();
    let second = alert("order-2");
    desk.write(&second).await;
    assert_eq!(other.run_once().await.unwrap(), 0);
    assert_eq!(one.run_once().await.unwrap(), 0);
    desk.delivered(&other, &second, "ops").await;
    assert!(asked.elapsed() >= Duration::from_millis(1900));
    desk.delivered(&other, &first, "ops").await;
    assert_eq!(hook.requests().len(), 3);
}

/// Breaks when 410 is a failure like any other, and when what waits is given up with the channel.
#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_somebody_switches_it_on() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    hook.answer_with(410, &[], "");
    let (first, second) = (alert("order-1"), alert("order-2"));
    desk.write(&first).await;
    let (one, other) = (desk.courier(quick()), desk.courier(quick()));
    one.run_once().await.unwrap();
    desk.write(&second).await;
    desk.schema
        .execute("update alert_outbox set due_at = utc_timestamp(3)")
        .await;
    assert_eq!(
        one.run_once().await.unwrap() + other.run_once().await.unwrap(),
        0
    );
    let shown = list(desk.db(), Show::NotDelivered, 10, None).await.unwrap();
    assert_eq!(shown.len(), 2, "what waits is shown");
    let [standing] = &compensation::alerts::outbox::standings(desk.db())
        .await
        .unwrap()[..]
    else {
        panic!("one channel")
    };
    assert!(
        standing.off_at.is_some() && standing.pending == 2,
        "{standing:?}"
    );
    assert!(standing.off_why.as_deref().unwrap().contains("HTTP 410"));

    // Whoever wants to know whether it is there again asks; nothing else is sent for that.
    let test = asked_for(&desk).await;
    assert_eq!(one.run_once().await.unwrap(), 1);
    let tried = attempts(desk.db(), test).await.unwrap();
    assert_eq!(
        (tried[0].outcome.as_str(), tried[0].asked_by.as_deref()),
        ("gone", Some("ann"))
    );
    hook.answer_with(200, &[], "");
    let mut db = desk.db().acquire().await.unwrap();
    assert!(switch_on(&mut db, "ops").await.unwrap());
    assert!(!switch_on(&mut db, "ops").await.unwrap(), "it is on");
    drop(db);
    desk.delivered(&other, &first, "ops").await;
    desk.delivered(&other, &second, "ops").await;
    assert_eq!(ids(&hook).len(), 5, "first, test, and all three");
}

async fn asked_for(desk: &Desk) -> Uuid {
    let mut tx = desk.db().begin().await.unwrap();
    let id = send_test(&mut tx, "ops", "ann").await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// 10,000 in the queue: one digest tells of 5,000 of them, so two messages and what comes after.
#[tokio::test]
async fn a_storm_is_a_few_messages() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    desk.write(&warning("model")).await;
    desk.schema
        .execute(
            "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, created_at)
             select unhex(md5(seq)), channel, kind, severity, concat('figure-', seq), title, body, state, 0, due_at, created_at
             from alert_outbox, seq_1_to_9999",
        )
        .await;
    let courier = desk.courier(quick());
    let begun = Instant::now();
    eventually("all are told of", Duration::from_mins(1), || async {
        courier.run_once().await.unwrap();
        (counts(desk.db()).await.unwrap().pending == 0).then_some(())
    })
    .await;
    eprintln!("10,000 notices were digested in {:?}", begun.elapsed());
    assert!(hook.requests().len() <= 3, "{}", hook.requests().len());
    assert_eq!(
        states(&desk).await,
        [
            ("delivered", i64::try_from(hook.requests().len()).unwrap()),
            ("digested", 10_000)
        ]
    );
}

/// Breaks when ends are digested: a digest is an event of its own there, and what they would close stays open for ever.
#[tokio::test]
async fn where_an_end_closes_what_its_beginning_opened_each_arrives_however_many_waited() {
    let pager = Receiver::start().await;
    pager.answer_with(202, &[], "");
    let desk = Desk::with(&[("pager", ChannelKind::Pagerduty, &pager)]).await;
    let incidents: Vec<Uuid> = (0..12).map(|_| Uuid::now_v7()).collect();
    let write = async |sequence, status| {
        let mut db = desk.db().acquire().await.unwrap();
        for (number, incident) in incidents.iter().enumerate() {
            let mut notice = Notice::of(warning(&format!("figure-{number}")));
            (notice.incident, notice.sequence, notice.status) = (Some(*incident), sequence, status);
            insert_notice(&mut db, desk.channels.names(), &notice)
                .await
                .unwrap();
        }
    };
    let courier = desk.courier(quick());
    let all_arrive = async || {
        eventually("all arrive", SOON, || async {
            courier.run_once().await.unwrap();
            (counts(desk.db()).await.unwrap().pending == 0).then_some(())
        })
        .await;
    };
    write(1, Status::Firing).await;
    all_arrive().await;
    pager.answer_with(500, &[], "");
    write(2, Status::Resolved).await;
    courier.run_once().await.unwrap();
    pager.answer_with(202, &[], "");
    all_arrive().await;
    assert_eq!(states(&desk).await, [("delivered", 24)]);
    let keys = |action: &str| -> BTreeSet<String> {
        let requests = pager.requests();
        let events = requests
            .iter()
            .map(|it| serde_json::from_slice::<serde_json::Value>(&it.body).unwrap());
        events
            .filter(|event| event["event_action"] == action)
            .map(|event| event["dedup_key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys("trigger").len(), 12);
    assert_eq!(keys("trigger"), keys("resolve"));
}
