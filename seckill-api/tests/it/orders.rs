//! Orders: what is accepted, what is refused and why, and that repeats are safe.

use crate::app::{Answer, TestApp, answer};
use chrono::{TimeDelta, Utc};
use coordinator::Limits;
use ordering::{
    OrderOutcome, engine::OrderEngine, foreign::Foreign, message::OrderMessage, stock::Stock,
};
use rdkafka::Message as _;
use rdkafka::message::Headers as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{eventually, kafka::read_all};

const SOON: Duration = Duration::from_secs(30);

fn one() -> Value {
    json!({"quantity": 1})
}

/// Settles everything on the topic, as order-consumer does.
async fn settle(app: &TestApp) -> Vec<OrderOutcome> {
    let node = service_kit::redis::connect(&app.stock.url())
        .await
        .expect("Redis answers");
    let engine = OrderEngine::start(
        Limits::default(),
        service_kit::mysql::options(&app.schema.settings),
        Stock::new(node),
        Foreign::default(),
    );
    let mut outcomes = Vec::new();
    for message in read_all(&app.topics.brokers, &app.topics.orders).await {
        let message = OrderMessage::parse(message.payload().expect("a payload")).expect("an order");
        outcomes.push(engine.submit(message).await.expect("it is decided"));
    }
    engine.drain().await;
    outcomes
}

#[tokio::test]
async fn an_order_is_accepted_then_processing_then_confirmed() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 5).await, app.buyer());
    let accepted = app
        .order(
            &sale,
            &buyer,
            &json!({"quantity": 2, "remark": "gift"}),
            None,
        )
        .await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let (order, url) = (accepted.text("order_id"), accepted.text("status_url"));
    assert_eq!(
        accepted.body,
        json!({"order_id": order, "status": "processing", "status_url": format!("/api/v1/orders/{order}")})
    );
    assert_eq!(
        app.get(&format!("/api/v1/sales/{sale}/stock"), None)
            .await
            .body,
        json!({"total": 10, "available": 8, "held": 2, "sold": 0})
    );

    let seen = app.get(&url, Some(&buyer)).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let created_at = seen.text("created_at");
    assert_eq!(
        seen.body,
        json!({"id": order, "sale_id": sale, "quantity": 2, "status": "processing", "reason": null, "created_at": created_at})
    );

    assert_eq!(settle(&app).await, [OrderOutcome::Confirmed]);
    eventually(
        "the order is confirmed and counts as sold",
        SOON,
        || async {
            let (order, stock) = (
                app.get(&url, Some(&buyer)).await,
                app.get(&format!("/api/v1/sales/{sale}/stock"), None).await,
            );
            (order.body["status"] == "confirmed"
                && stock.body == json!({"total": 10, "available": 8, "held": 0, "sold": 2}))
            .then_some(())
        },
    )
    .await;
    let listed = app.get("/api/v1/orders", Some(&buyer)).await;
    assert_eq!(
        (
            listed.body["total"].as_u64(),
            &listed.body["items"][0]["id"]
        ),
        (Some(1), &json!(order)),
        "{listed:?}"
    );
    assert_eq!(
        app.get("/api/v1/orders", Some(&app.buyer())).await.body["total"],
        0,
        "others do not see it"
    );
}

#[tokio::test]
async fn the_message_carries_what_held_at_admission() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 5).await, app.buyer());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = app
        .request(
            reqwest::Method::POST,
            &format!("/api/v1/sales/{sale}/orders"),
            Some(&buyer),
        )
        .header("traceparent", trace)
        .header("Idempotency-Key", "k")
        .json(&json!({"quantity": 2, "remark": "gift"}));
    let order = crate::app::answer(request).await.text("order_id");
    let messages = read_all(&app.topics.brokers, &app.topics.orders).await;
    let [message] = &messages[..] else {
        panic!("one message")
    };
    assert_eq!(message.key(), Some(order.as_bytes()));
    let headers: Vec<(String, String)> = message
        .headers()
        .expect("headers")
        .iter()
        .map(|header| {
            (
                header.key.to_owned(),
                String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned(),
            )
        })
        .collect();
    let expected = [
        ("attempt", "1"),
        ("generation", "0"),
        ("traceparent", trace),
    ];
    assert_eq!(
        headers,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    let parsed = OrderMessage::parse(message.payload().expect("a payload")).expect("an order");
    assert_eq!(
        (parsed.order_id.to_string(), parsed.sale_id.to_string()),
        (order, sale)
    );
    assert_eq!(
        (parsed.quantity.get(), parsed.price, parsed.generation),
        (2, 999, 0)
    );
    assert_eq!(parsed.remark.as_deref(), Some("gift"));
    assert_eq!(parsed.idempotency.expect("a key").key, "k");
}

#[tokio::test]
async fn a_repeat_with_its_key_gives_the_first_answer_before_and_after_it_is_settled() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 5).await, app.buyer());
    let first = app.order(&sale, &buyer, &one(), Some("k")).await;
    assert_eq!(
        app.order(&sale, &buyer, &one(), Some("k")).await.body,
        first.body
    );
    assert_eq!(
        app.published().await,
        2,
        "still reserved: its message is published again"
    );
    assert_eq!(
        settle(&app).await,
        [OrderOutcome::Confirmed, OrderOutcome::Confirmed],
        "the repeat has the same outcome"
    );
    assert_eq!(
        app.order(&sale, &buyer, &one(), Some("k")).await.body,
        first.body
    );
    assert_eq!(app.published().await, 2, "settled: nothing is published");
    let stock = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(
        stock.body,
        json!({"total": 10, "available": 9, "held": 0, "sold": 1})
    );
}

#[tokio::test]
async fn the_winner_of_the_last_unit_sent_again_gets_the_same_answer_for_good() {
    let app = TestApp::start().await;
    let (sale, winner) = (app.sale(1, 1).await, app.buyer());
    let first = app.order(&sale, &winner, &one(), Some("mine")).await;
    assert_eq!(first.status, 202, "{first:?}");
    // Now it is known here that nothing is left.
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(409, "sold_out");
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(409, "sold_out");
    app.order(&sale, &app.buyer(), &one(), Some("late"))
        .await
        .is_problem(409, "sold_out");
    assert_eq!(
        app.order(&sale, &winner, &one(), Some("mine")).await.body,
        first.body
    );
    settle(&app).await;
    assert_eq!(
        app.order(&sale, &winner, &one(), Some("mine")).await.body,
        first.body
    );
    app.rebuild().await;
    let rebuilt = eventually("the sale is open again", SOON, || async {
        Some(app.order(&sale, &winner, &one(), Some("mine")).await)
            .filter(|answer| answer.status != 503)
    })
    .await;
    assert_eq!(rebuilt.body, first.body, "the rebuild brings keys back");
}

#[tokio::test]
async fn limits_hold_for_each_buyer() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(100, 3).await, app.buyer());
    let two = app
        .order(&sale, &buyer, &json!({"quantity": 2}), None)
        .await;
    assert_eq!(two.status, 202, "{two:?}");
    app.order(&sale, &buyer, &json!({"quantity": 2}), None)
        .await
        .is_problem(409, "limit_exceeded");
    let third = app.order(&sale, &buyer, &one(), None).await;
    assert_eq!(third.status, 202, "{third:?}");
    let over = app.order(&sale, &buyer, &one(), None).await;
    over.is_problem(409, "already_ordered");
    assert_eq!(
        over.text("order_id"),
        third.text("order_id"),
        "the latest one"
    );
    app.order(&sale, &app.buyer(), &json!({"quantity": 4}), None)
        .await
        .is_problem(409, "limit_exceeded");
    let other = app
        .order(&sale, &app.buyer(), &json!({"quantity": 3}), None)
        .await;
    assert_eq!(other.status, 202, "others are not touched: {other:?}");
}

#[tokio::test]
async fn too_few_and_none_are_told_apart_and_a_unit_that_comes_back_is_found() {
    let app = TestApp::start().await;
    let (sale, first) = (app.sale(3, 3).await, app.buyer());
    assert_eq!(
        app.order(&sale, &first, &json!({"quantity": 2}), None)
            .await
            .status,
        202
    );
    let few = app
        .order(&sale, &app.buyer(), &json!({"quantity": 2}), None)
        .await;
    few.is_problem(409, "insufficient_stock");
    assert_eq!(few.body["available"], 1);
    assert_eq!(
        app.order(&sale, &app.buyer(), &one(), None).await.status,
        202,
        "too few is not remembered as none"
    );
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(409, "sold_out");
    let mut stock = app.stock.connection().await;
    let hash = format!("{{{sale}}}:stock");
    let () = redis::pipe()
        .hincr(&hash, "available", 1)
        .hincr(&hash, "held", -1)
        .query_async(&mut stock)
        .await
        .expect("Redis answers");
    eventually("one request a second finds it", SOON, || async {
        (app.order(&sale, &app.buyer(), &one(), None).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hundred_buyers_at_once_get_what_there_is_and_no_more() {
    let app = TestApp::start().await;
    let sale = app.sale(30, 1).await;
    let body = one();
    let buyers: Vec<String> = (0..100).map(|_| app.buyer()).collect();
    let answers = futures::future::join_all(
        buyers
            .iter()
            .map(|buyer| app.order(&sale, buyer, &body, None)),
    )
    .await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    answers
        .iter()
        .filter(|answer| answer.status != 202)
        .for_each(|refused| refused.is_problem(409, "sold_out"));
    assert_eq!((accepted, app.published().await), (30, 30));
    settle(&app).await;
    let stock = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(
        stock.body,
        json!({"total": 30, "available": 0, "held": 0, "sold": 30})
    );
}

#[tokio::test]
async fn a_buyer_who_clicks_twice_at_once_gets_one_order() {
    let app = TestApp::start().await;
    let (sale, buyer, body) = (app.sale(30, 1).await, app.buyer(), one());
    let answers =
        futures::future::join_all((0..10).map(|_| app.order(&sale, &buyer, &body, Some("k"))))
            .await;
    let accepted: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status == 202)
        .collect();
    assert!(!accepted.is_empty());
    assert!(
        accepted
            .iter()
            .all(|answer| answer.body == accepted[0].body),
        "{answers:?}"
    );
    answers
        .iter()
        .filter(|answer| answer.status != 202)
        .for_each(|refused| refused.is_problem(409, "in_progress"));
    let stock = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(
        stock.body,
        json!({"total": 30, "available": 29, "held": 1, "sold": 0})
    );
}

#[tokio::test]
async fn a_sale_takes_orders_only_within_its_window_but_repeats_at_any_time() {
    let app = TestApp::start().await;
    let (now, hour) = (Utc::now(), TimeDelta::hours(1));
    let upcoming = app.sale_between(10, 1, now + hour, now + hour * 2).await;
    let over = app.sale_between(10, 1, now - hour * 2, now - hour).await;
    for sale in [&upcoming, &over] {
        app.order(sale, &app.buyer(), &one(), None)
            .await
            .is_problem(403, "sale_not_open");
        app.order(sale, &app.buyer(), &one(), Some("k"))
            .await
            .is_problem(403, "sale_not_open");
    }
    let soon = Utc::now() + TimeDelta::seconds(8);
    let (short, buyer) = (app.sale_between(10, 1, now - hour, soon).await, app.buyer());
    let first = app.order(&short, &buyer, &one(), Some("k")).await;
    assert_eq!(first.status, 202, "{first:?}");
    eventually("the sale is over", SOON, || async {
        (app.order(&short, &app.buyer(), &one(), None).await.status == 403).then_some(())
    })
    .await;
    assert_eq!(
        app.order(&short, &buyer, &one(), Some("k")).await.body,
        first.body
    );
}

#[tokio::test]
async fn a_confirmed_order_can_be_cancelled_and_its_units_bought_again() {
    let app = TestApp::start().await;
    let (sale, buyer, other) = (app.sale(1, 1).await, app.buyer(), app.buyer());
    let accepted = app.order(&sale, &buyer, &one(), None).await;
    let url = accepted.text("status_url");
    let cancel = async |token: &str| {
        let path = format!("{url}/cancel");
        answer(app.request(Method::POST, &path, Some(token))).await
    };
    cancel(&buyer).await.is_problem(409, "not_settled");
    settle(&app).await;
    cancel(&other).await.is_problem(404, "not_found");
    for _ in 0..2 {
        let cancelled = cancel(&buyer).await;
        assert_eq!(cancelled.status, 200, "{cancelled:?}");
        assert_eq!(cancelled.text("status"), "cancelled");
    }
    let again = eventually("the unit can be bought again", SOON, || async {
        let answer = app.order(&sale, &other, &one(), None).await;
        (answer.status == 202).then_some(answer)
    })
    .await;
    app.order(&sale, &buyer, &one(), None)
        .await
        .is_problem(409, "sold_out");
    settle(&app).await;
    app.schema
        .execute("update orders set status = 'paid' where status = 'confirmed'")
        .await;
    let paid = format!("{}/cancel", again.text("status_url"));
    let refused = answer(app.request(Method::POST, &paid, Some(&other))).await;
    refused.is_problem(409, "not_cancellable");
    assert_eq!(refused.text("order_status"), "paid");
    let malformed = "/api/v1/orders/7/cancel";
    let refused = answer(app.request(Method::POST, malformed, Some(&buyer))).await;
    assert_eq!(refused.status, 400);
}
