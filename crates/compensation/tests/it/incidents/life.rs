//! What people are told of one incident, from the first alert until it is over. The clock is the database's, moved ahead.

use super::{Desk, trouble, well_again};
use compensation::{
    alerts::{
        Alert, Notice, Severity,
        incidents::{Show, State},
        outbox, record_spooled,
    },
    retention::{Keep, Retention},
};
use std::time::Duration;

#[tokio::test]
async fn it_fires_changes_repeats_and_is_ended_by_the_news_that_it_is_over() {
    let desk = Desk::new().await;
    let first = trouble();
    desk.raise(&first).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.told("ops").await, ["firing"]);
    desk.raise(&trouble()).await;
    desk.in_minutes(4).await;
    assert_eq!(desk.told("ops").await, ["firing"]);
    desk.in_minutes(6).await;
    assert_eq!(desk.told("ops").await, ["firing", "changed"]);
    desk.in_minutes(300).await;
    assert_eq!(desk.told("ops").await, ["firing", "changed", "repeated"]);
    desk.raise(&well_again()).await;
    desk.in_minutes(301).await;
    assert_eq!(
        desk.told("ops").await,
        ["firing", "changed", "repeated", "resolved"]
    );
    let incident = desk.incident().await;
    assert_eq!((incident.state, incident.alerts), (State::Resolved, 2));
    assert_eq!(incident.resolution.as_deref(), Some("The archive is back"));
    let bodies = desk.bodies("ops").await;
    assert_eq!(bodies[0]["alert"]["id"], first.id.to_string());
    let resolved = &bodies[3];
    assert_eq!(resolved["alert"]["title"], "The archive is back");
    assert_eq!(resolved["alert"]["severity"], "urgent", "the incident's");
    assert_eq!(resolved["resolution"], "The archive is back");
    let sequences: Vec<_> = bodies
        .iter()
        .map(|body| body["sequence"].as_u64())
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4].map(Some));

    desk.raise(&trouble()).await;
    desk.in_minutes(302).await;
    assert_eq!(desk.incidents(Show::Open).await.len(), 1, "another one");
    assert_eq!(desk.incidents(Show::Resolved).await.len(), 1);
}

#[tokio::test]
async fn what_is_good_to_know_is_told_once_and_is_over() {
    let desk = Desk::new().await;
    let report = Alert::new("weekly_report", Severity::Info, "2026-W27", "A week");
    desk.raise(&report).await;
    desk.raise(&report).await;
    desk.in_minutes(0).await;
    desk.in_minutes(600).await;
    assert_eq!(desk.told("ops").await, ["firing"]);
    assert_eq!(desk.incident().await.state, State::Resolved);
}

/// Meant to catch: news of an end that nobody was waiting for swallowed; the trouble told of after its end.
#[tokio::test]
async fn news_that_come_in_the_wrong_order_end_well() {
    let desk = Desk::new().await;
    let from_the_spool = trouble();
    desk.raise(&well_again()).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.told("ops").await, ["firing"], "it is good to know");
    let mut db = desk.db().acquire().await.unwrap();
    let earlier = Alert {
        at: from_the_spool.at - chrono::TimeDelta::minutes(3),
        ..from_the_spool
    };
    record_spooled(&mut db, &earlier).await.unwrap();
    desk.in_minutes(0).await;
    let incident = desk.incident().await;
    assert_eq!((incident.state, incident.alerts), (State::Resolved, 2));
    assert_eq!(desk.told("ops").await, ["firing"]);
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.incidents(Show::Open).await.len(), 1, "it is back");
}

/// Caught: what was sent from the spool not looked for; nobody is told then that it is over.
#[tokio::test]
async fn who_was_told_from_the_spool_is_not_told_again_and_hears_of_the_end() {
    let desk = Desk::new().await;
    let alert = trouble();
    let mut db = desk.db().acquire().await.unwrap();
    outbox::insert_notice(&mut db, &["ops".to_owned()], &Notice::of(alert.clone()))
        .await
        .unwrap();
    desk.schema
        .execute("update alert_outbox set state = 'delivered', attempts = 1")
        .await;
    record_spooled(&mut db, &alert).await.unwrap();
    desk.raise(&well_again()).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.told("ops").await, ["firing", "resolved"]);
    assert_eq!(desk.told("chat").await, Vec::<String>::new());
    let delivered = "select count(*) from alert_outbox where state = 'delivered'";
    assert_eq!(desk.number(delivered).await, 1);
}

#[tokio::test]
async fn severities_of_one_group_are_incidents_of_their_own_and_end_together() {
    let desk = Desk::new().await;
    desk.raise(&trouble()).await;
    let mild = Alert::new(
        "system",
        Severity::Warning,
        "archive",
        "The archive is slow",
    );
    desk.raise(&mild).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.incidents(Show::Open).await.len(), 2);
    desk.raise(&well_again()).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.incidents(Show::Open).await, []);
    assert_eq!(desk.incidents(Show::Resolved).await.len(), 2);
    let resolved = "select count(*) from alert_outbox where status = 'resolved'";
    assert_eq!(desk.number(resolved).await, 4);
}

#[tokio::test]
async fn without_channels_it_is_shown_as_undelivered() {
    let mut desk = Desk::new().await;
    desk.settings.alerts.channels.clear();
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    desk.in_minutes(1).await;
    let [only] = &desk.sent(&desk.incident().await).await[..] else {
        panic!("one row")
    };
    assert_eq!(
        (only.channel.as_str(), only.state.as_str()),
        ("", "undelivered")
    );
}

#[tokio::test]
async fn nobody_acknowledges_and_the_next_route_is_told() {
    let desk = Desk::with(serde_json::json!([
        {"name": "first", "channels": ["ops"], "severities": ["urgent"], "escalate_after_s": 600, "escalate_to": "second"},
        {"name": "second", "channels": ["chat"], "severities": ["info"]},
    ]))
    .await;
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    assert!(desk.incident().await.escalate_at.is_some());
    desk.in_minutes(9).await;
    assert_eq!(desk.told("chat").await, Vec::<String>::new());
    desk.in_minutes(11).await;
    assert_eq!(desk.told("chat").await, ["escalated"]);
    assert_eq!(desk.told("ops").await, ["firing"]);
    assert!(desk.incident().await.escalate_at.is_none());
}

#[tokio::test]
async fn old_incidents_go_with_their_alerts_and_no_open_one() {
    let desk = Desk::new().await;
    for _ in 0..3 {
        desk.raise(&trouble()).await;
    }
    desk.in_minutes(0).await;
    desk.raise(&well_again()).await;
    desk.in_minutes(0).await;
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    desk.schema
        .execute(
            "update incidents set resolved_at = resolved_at - interval 100 day, first_at = first_at - interval 100 day",
        )
        .await;
    let days = |days: u64| Duration::from_hours(24 * days);
    let keep = Keep {
        settled_work: days(30),
        log: days(90),
        alerts: days(90),
    };
    let retention = Retention::new(desk.db().clone(), keep);
    assert_eq!(retention.run_batch().await.unwrap(), 5);
    assert_eq!(retention.run_batch().await.unwrap(), 0);
    assert_eq!(desk.incident().await.state, State::Firing);
    assert_eq!(desk.number("select count(*) from alerts").await, 1);
}
