//! Several couriers, dead ones, and alerts that nobody takes.

use super::{Desk, SOON, alert, ids, quick};
use compensation::alerts::{
    Policy,
    outbox::{State, counts},
};
use service_kit::settings::ChannelKind;
use std::{sync::Arc, time::Duration};
use testkit::{eventually, webhooks::Receiver};
use tokio_util::sync::CancellationToken;

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
    eventually("all are told of", SOON, || async {
        (counts(desk.db()).await.unwrap().pending == 0).then_some(())
    })
    .await;
    stop.cancel();
    for courier in running {
        courier.await.unwrap();
    }
    let mut ids = ids(&hook);
    let sent = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent, "none twice");
    let told: i64 = sqlx::query_scalar(
        "select count(*) from alert_outbox where state in ('delivered', 'digested') and kind <> 'digest'",
    )
    .fetch_one(desk.db())
    .await
    .unwrap();
    assert_eq!(told, 200);
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
