//! Written down with what it tells of, delivered once to every channel, and shown.

use super::{Desk, alert, assert_signed, assert_signed_by_robot, quick};
use compensation::alerts::{
    Notice,
    outbox::{Delivery, Show, State, counts, insert_notice, list},
};
use service_kit::settings::ChannelKind;
use testkit::webhooks::Receiver;

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
    let notice = Notice::of(alert("order-1"));
    insert_notice(&mut tx, desk.channels.names(), &notice)
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
    let listed = list(desk.db(), Show::NotDelivered, 10, None).await.unwrap();
    assert_eq!(listed, [desk.delivery(&alert, "").await]);
    assert_eq!(listed[0].state, State::Undelivered);
    assert_eq!(
        listed[0].last_error.as_deref(),
        Some("no channel is configured")
    );
    assert_eq!(counts(desk.db()).await.unwrap().undelivered, 1);
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
    let all = list(desk.db(), Show::All, 100, None).await.unwrap();
    assert_eq!(all.len(), 12);
    let mut paged: Vec<Delivery> = Vec::new();
    loop {
        let before = paged.last().map(Delivery::position);
        let page = list(desk.db(), Show::NotDelivered, 5, before.as_ref())
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(counts(desk.db()).await.unwrap().pending, 12);
}
