//! What receivers answer, or do not: the alert arrives in the end, and no other channel waits for it.

use super::{Desk, SOON, alert, assert_signed, ids, quick};
use compensation::alerts::{
    Policy,
    outbox::{State, counts},
};
use service_kit::settings::ChannelKind;
use std::time::{Duration, Instant};
use testkit::{eventually, webhooks::Receiver};
use tokio_util::sync::CancellationToken;

/// Status, headers and body of an answer that is none to be content with, and how the error begins that is shown of it.
type Refusal = (
    ChannelKind,
    u16,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const REFUSALS: [Refusal; 9] = [
    (ChannelKind::Webhook, 500, &[], "", "failed: HTTP 500"),
    (
        ChannelKind::Webhook,
        302,
        &[("location", "/elsewhere")],
        "",
        "failed: HTTP 302: redirects",
    ),
    (
        ChannelKind::Webhook,
        404,
        &[],
        "",
        "channel broken: HTTP 404",
    ),
    (
        ChannelKind::Webhook,
        429,
        &[("retry-after", "0")],
        "",
        "slow down: HTTP 429",
    ),
    (
        ChannelKind::Dingtalk,
        200,
        &[],
        r#"{"errmsg":"ok"}"#,
        "failed: the answer has no errcode",
    ),
    (
        ChannelKind::Dingtalk,
        200,
        &[],
        r#"{"errcode":-1,"errmsg":"busy TOKEN"}"#,
        "failed: errcode -1: busy ***",
    ),
    (
        ChannelKind::Dingtalk,
        200,
        &[],
        r#"{"errcode":310000,"errmsg":"sign not match"}"#,
        "channel broken: errcode 310000",
    ),
    (
        ChannelKind::Dingtalk,
        200,
        &[],
        r#"{"errcode":130101,"errmsg":"too fast"}"#,
        "slow down: errcode 130101",
    ),
    (
        ChannelKind::Dingtalk,
        500,
        &[],
        r#"{"errcode":0}"#,
        "failed: HTTP 500",
    ),
];

/// Rests that end when the test says so.
fn unhurried() -> Policy {
    let rest = Duration::from_mins(1);
    Policy {
        first: rest,
        longest: rest,
        slow_down: rest,
        broken: rest,
        ..quick()
    }
}

#[tokio::test]
async fn whatever_a_receiver_answers_the_alert_is_sent_until_it_arrived() {
    for (kind, status, headers, body, named) in REFUSALS {
        let receiver = Receiver::start().await;
        let desk = Desk::with(&[("it", kind, &receiver)]).await;
        receiver.answer_next_with(status, headers, body);
        let alert = alert("order-1");
        desk.write(&alert).await;
        let courier = desk.courier(unhurried());
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
        for rested in [
            "update alert_channels set rests_until = utc_timestamp(3)",
            "update alert_outbox set due_at = utc_timestamp(3)",
        ] {
            desk.schema.execute(rested).await;
        }
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

/// Breaks when redirects are followed: a receiver could send us anywhere.
#[tokio::test]
async fn where_a_redirect_points_nobody_asks() {
    let (hook, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let alert = alert("order-1");
    desk.write(&alert).await;
    let courier = desk.courier(quick());
    for status in [301, 302, 303, 307, 308] {
        hook.answer_next_with(status, &[("location", &elsewhere.url())], "");
    }
    desk.delivered(&courier, &alert, "ops").await;
    assert_eq!((hook.requests().len(), elsewhere.requests().len()), (6, 0));
}

/// Three processes, and a channel that hangs beside one that resets and one that is well. Breaks when lanes share their turns.
#[tokio::test]
async fn a_channel_that_hangs_loses_nothing_and_delays_no_other() {
    let (hung, reset, well) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let desk = Desk::with(&[
        ("hung", ChannelKind::Webhook, &hung),
        ("reset", ChannelKind::Webhook, &reset),
        ("well", ChannelKind::Webhook, &well),
    ])
    .await;
    hung.hang();
    reset.reset();
    let stop = CancellationToken::new();
    let running: Vec<_> = (0..3)
        .map(|_| tokio::spawn(desk.courier(quick()).run(stop.clone())))
        .collect();
    for number in 0..20 {
        desk.write(&alert(&format!("order-{number}"))).await;
    }
    let asked = Instant::now();
    eventually("the well one has them all", SOON, || async {
        (well.requests().len() == 20).then_some(())
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    assert!(
        hung.requests().len() <= 12,
        "requests under way are bounded"
    );
    hung.answer_with(200, &[], "");
    reset.answer_with(200, &[], "");
    eventually(
        "the others have them too",
        Duration::from_mins(1),
        || async { (counts(desk.db()).await.unwrap().pending == 0).then_some(()) },
    )
    .await;
    stop.cancel();
    for courier in running {
        courier.await.unwrap();
    }
    for request in hung.requests() {
        assert_signed(&request);
    }
}
