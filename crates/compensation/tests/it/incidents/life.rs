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
    assert_eq!(desk.told("chat").await, ["resolved"], "it was urgent");
    let delivered = "select count(*) from alert_outbox where state = 'delivered'";
    assert_eq!(desk.number(delivered).await, 1);
}

/// What the spool sent on a channel before MySQL knew of the alert.
async fn sent_from_the_spool(desk: &Desk, alert: &Alert, channel: &str, state: &str) {
    let mut db = desk.db().acquire().await.unwrap();
    outbox::insert_notice(&mut db, &[channel.to_owned()], &Notice::of(alert.clone()))
        .await
        .unwrap();
    sqlx::query(
        "update alert_outbox set state = ?, attempts = 1, delivered_at = if(? = 'delivered', utc_timestamp(3), null)
         where id = ?",
    )
    .bind(state)
    .bind(state)
    .bind(alert.id)
    .execute(&mut *db)
    .await
    .unwrap();
    record_spooled(&mut db, alert).await.unwrap();
}

fn earlier(alert: Alert, minutes: i64) -> Alert {
    Alert {
        at: alert.at - chrono::TimeDelta::minutes(minutes),
        ..alert
    }
}

/// Breaks when what comes late is only counted: whoever was told of it from the spool never hears that it is over, and what waits still
/// is sent after its end.
#[tokio::test]
async fn who_was_told_from_the_spool_of_what_is_over_by_then_hears_so() {
    for state in ["delivered", "pending"] {
        let desk = Desk::new().await;
        desk.raise(&earlier(trouble(), 9)).await;
        desk.in_minutes(0).await;
        desk.raise(&well_again()).await;
        desk.in_minutes(0).await;
        assert_eq!(desk.told("ops").await, ["firing", "resolved"]);
        let late = earlier(trouble(), 5);
        sent_from_the_spool(&desk, &late, "ops", state).await;
        desk.in_minutes(0).await;
        assert_eq!(
            desk.told("ops").await,
            ["firing", "resolved", "firing", "resolved"]
        );
        assert_eq!(desk.told("chat").await, ["firing", "resolved"]);
        assert_eq!(desk.incident().await.alerts, 2);
    }
}

/// Breaks when the end that came first swallows its beginning: it was news of its own, of another severity.
#[tokio::test]
async fn an_end_that_came_before_its_beginning_ends_what_the_spool_began() {
    let desk = Desk::new().await;
    desk.raise(&well_again()).await;
    desk.in_minutes(0).await;
    sent_from_the_spool(&desk, &earlier(trouble(), 3), "ops", "delivered").await;
    desk.in_minutes(0).await;
    let all = desk.incidents(Show::Resolved).await;
    let urgent = all
        .iter()
        .find(|it| it.severity == Severity::Urgent)
        .unwrap();
    let sent = desk.sent(urgent).await;
    let said: Vec<_> = sent
        .iter()
        .rev()
        .map(|it| (it.channel.as_str(), it.status.as_str()))
        .collect();
    assert_eq!(
        said,
        [("ops", "firing"), ("ops", "resolved"), ("chat", "resolved")]
    );
    assert_eq!(desk.incidents(Show::Open).await, []);
}

/// Breaks when what the spool sent of an incident that stands belongs to nobody: it would be sent once more, and after the end.
#[tokio::test]
async fn what_the_spool_sent_of_an_incident_that_stands_is_one_of_its_notices() {
    let desk = Desk::new().await;
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    let (told, waits) = (trouble(), trouble());
    sent_from_the_spool(&desk, &told, "ops", "delivered").await;
    sent_from_the_spool(&desk, &waits, "ops", "pending").await;
    desk.in_minutes(0).await;
    let sent = desk.sent(&desk.incident().await).await;
    let of = |id| sent.iter().find(|it| it.id == id).unwrap();
    assert_eq!(
        (of(told.id).state.as_str(), of(waits.id).state.as_str()),
        ("delivered", "superseded")
    );
    assert!(sent.iter().all(|it| it.sequence > 0));
    desk.in_minutes(6).await;
    assert_eq!(
        desk.told("ops").await,
        ["firing", "firing", "firing", "changed"]
    );
}

/// Breaks when each of several that saw it tells: an end of what is over is news of its own.
#[tokio::test]
async fn of_several_who_tell_of_one_end_the_first_is_told() {
    let desk = Desk::new().await;
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    for _ in 0..3 {
        desk.raise(&well_again()).await;
        desk.in_minutes(1).await;
    }
    assert_eq!(desk.told("ops").await, ["firing", "resolved"]);
    desk.raise(&well_again()).await;
    desk.in_minutes(10).await;
    assert_eq!(desk.incidents(Show::Resolved).await.len(), 2, "another end");
}

/// Breaks when one that cannot be settled is met with an error: it is due first for ever, and nobody is told of the others.
#[tokio::test]
async fn one_that_cannot_be_settled_keeps_no_other_waiting() {
    let desk = Desk::new().await;
    desk.raise(&trouble()).await;
    let other = Alert::new("system", Severity::Urgent, "other", "Other");
    desk.raise(&other).await;
    desk.in_minutes(0).await;
    desk.schema
        .execute("alter table incidents add constraint broken check (subject <> 'archive' or notices < 2)")
        .await;
    desk.in_minutes(241).await;
    let told = "select count(*) from alert_outbox where status = 'repeated' and subject = ";
    let told = |subject: &str| format!("{told}'{subject}'");
    let number = async |sql: String| -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(desk.db())
            .await
            .unwrap()
    };
    assert_eq!(
        (number(told("other")).await, number(told("archive")).await),
        (2, 0)
    );
    desk.schema
        .execute("alter table incidents drop constraint broken")
        .await;
    desk.in_minutes(241).await;
    assert_eq!(number(told("archive")).await, 0, "it waits for a minute");
    desk.in_minutes(243).await;
    assert_eq!(number(told("archive")).await, 2);
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
