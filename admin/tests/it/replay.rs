//! A replay is asked for once, and refused with the reason.

use crate::{
    app::{TestApp, answer},
    failed::Failed,
};
use identity::OperatorRole;
use ordering::{SaleId, keys, rebuild::Rebuilder};
use reqwest::Method;
use serde_json::json;
use testkit::redis::RedisServer;
use uuid::Uuid;

#[tokio::test]
async fn the_short_path_takes_a_replay_once() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let path = format!("/reprocess_order/{}", failed.id);
    let ask = async || answer(app.request(Method::POST, &path).bearer_auth(&token)).await;
    let accepted = ask().await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let operation = accepted.json()["operation_id"].as_str().unwrap().to_owned();
    assert_eq!(
        accepted.location,
        Some(format!("/api/v1/operations/{operation}"))
    );
    let again = ask().await;
    again.is_problem(409, "replaying");
    let body = again.json();
    assert_eq!(
        (&body["operation_id"], &body["by"]),
        (&json!(operation), &json!("some-operator"))
    );
    assert!(body["since"].as_str().unwrap().ends_with('Z'));

    let found = app
        .get(&format!("/api/v1/operations/{operation}"), &token)
        .await
        .json();
    assert_eq!(found["state"], "running");
    assert_eq!(found["items"][0]["order_id"], json!(failed.id));
    assert_eq!(found["items"][0]["state"], "requested");
    let subject = failed.id.to_string();
    let line = |outcome: &str| {
        (
            "order.replay".to_owned(),
            subject.clone(),
            outcome.to_owned(),
        )
    };
    assert_eq!(app.audited().await, [line("done"), line("refused")]);
}

#[tokio::test]
async fn of_many_clicks_at_once_one_is_taken() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let body = json!({"kind": "replay", "order_id": failed.id, "reason": "index added"});
    let ask = || app.post("/api/v1/operations", &token, &body);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let mut statuses = [a.status, b.status, c.status, d.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409, 409, 409]);
    assert_eq!(app.number("select count(*) from operations").await, 1);
    let reason: String = sqlx::query_scalar("select reason from operations")
        .fetch_one(&app.schema.pool)
        .await
        .unwrap();
    assert_eq!(reason, "index added");
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let mut handled = Failed::new();
    (handled.handled, handled.resolution) = (true, Some("rejected"));
    let handled = handled.insert(&app).await;
    let mut message = Failed::new();
    message.order = false;
    let message = message.insert(&app).await;
    let sold_out = Failed::new().with_sale(&app, 0).await.insert(&app).await;
    let short = Failed::new().with_sale(&app, 1).await.insert(&app).await;
    let paused = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    sqlx::query("update sales set state = 'paused' where id = ?")
        .bind(paused.sale)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    for (id, code) in [
        (handled.id, "already_resolved"),
        (message.id, "not_an_order"),
        (sold_out.id, "sold_out"),
        (short.id, "insufficient_stock"),
        (paused.id, "sale_paused"),
    ] {
        let path = format!("/reprocess_order/{id}");
        let refused = answer(app.request(Method::POST, &path).bearer_auth(&token)).await;
        refused.is_problem(409, code);
    }
    let nobody = format!("/reprocess_order/{}", Uuid::now_v7());
    let refused = answer(app.request(Method::POST, &nobody).bearer_auth(&token)).await;
    refused.is_problem(404, "not_found");
    assert_eq!(app.number("select count(*) from operations").await, 0);
    assert_eq!(app.audited().await.len(), 6);
}

#[tokio::test]
async fn units_that_are_still_held_are_not_looked_for() {
    let app = TestApp::start().await;
    let mut held = Failed::new();
    held.held = true;
    let held = held.insert(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let path = format!("/reprocess_order/{}", held.id);
    let accepted = answer(app.request(Method::POST, &path).bearer_auth(&token)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
}

#[tokio::test]
async fn an_operation_says_what_it_wants() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let id = Uuid::now_v7();
    for body in [
        json!({"kind": "discard", "order_id": id}),
        json!({"kind": "replay"}),
        json!({"kind": "replay", "order_id": id, "what": 1}),
        json!({"kind": "replay", "order_id": id, "reason": "x".repeat(501)}),
        json!([]),
    ] {
        let refused = app.post("/api/v1/operations", &token, &body).await;
        refused.is_problem(422, "invalid");
    }
}

#[tokio::test]
async fn the_button_leads_to_the_operation_and_says_why_it_does_not() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let path = format!("/archives/{}/replay", failed.id);
    let asked = browser.submit(&path, &[("reason", " index added ")]).await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let operation = asked.location.expect("the operation");
    let page = browser.get(&operation).await;
    for text in [
        "index added",
        "some-operator",
        "http-equiv=\"refresh\"",
        "class=\"now\">requested",
        "class=\"ahead\">processing",
    ] {
        page.shows(text);
    }
    let again = browser.submit(&path, &[("reason", "")]).await;
    assert_eq!(again.status, 409);
    again.shows("some-operator is replaying it since");
    let detail = browser.get(&format!("/archives/{}", failed.id)).await;
    detail.shows("An operation has it in hand.");
    detail.shows(&operation);
    browser.get("/operations").await.shows(&operation);

    app.schema
        .execute("update operation_items set state = 'refused', reason = 'sold_out', finished_at = utc_timestamp(3)")
        .await;
    app.schema
        .execute("update operations set state = 'finished', finished_at = utc_timestamp(3)")
        .await;
    let page = browser.get(&operation).await;
    page.shows("It was not tried. The sale is sold out");
    page.shows_not("http-equiv=\"refresh\"");
}

/// Breaks when the page's button and the act ask different things, or Redis is not asked.
#[tokio::test]
async fn what_stops_a_replay_is_told_before_it_is_asked_for_and_stops_it() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let app = TestApp::start_with(|settings| settings.redis.stock.urls = vec![url]).await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let client = redis::Client::open(redis.url()).unwrap();
    Rebuilder::new(app.schema.pool.clone(), client, 1000)
        .node()
        .await
        .unwrap();
    let browser = app.browser(OperatorRole::Operator).await;
    let token = app.token(OperatorRole::Viewer).await;
    let (page, preview) = (
        format!("/archives/{}", failed.id),
        format!("/api/v1/archives/{}/preview", failed.id),
    );
    let fine = browser.get(&page).await;
    for text in [
        "It is an order of 2 units.",
        "It is failed: nobody has its units.",
        "It takes orders until",
        "Has 0 of 5.",
        "5 free, 0 held by others.",
        "2 units would be reserved again under generation 1",
        "<button class=\"main\" data-key=\"r\">Replay this order</button>",
    ] {
        fine.shows(text);
    }
    let json = app.get(&preview, &token).await.json();
    assert_eq!(
        (&json["replay"]["refusal"], &json["replay"]["units"]),
        (&serde_json::Value::Null, &json!(2))
    );

    // Others hold four of the five.
    let hash = keys::stock(SaleId::from_uuid(failed.sale));
    for (field, units) in [("available", "-4"), ("held", "4")] {
        redis.command(&["HINCRBY", &hash, field, units]).await;
    }
    let held = browser.get(&page).await;
    let sentence = "The units that are left are held by orders on their way";
    held.shows(sentence);
    held.shows("disabled>Replay this order");
    assert_eq!(
        app.get(&preview, &token).await.json()["replay"]["refusal"],
        "units_held"
    );
    let refused = browser.submit(&format!("{page}/replay"), &[]).await;
    assert_eq!(refused.status, 409);
    refused.shows(&format!("Nothing was done: {sentence}"));
    assert_eq!(app.number("select count(*) from operations").await, 0);

    let unreadable = "update failed_order_archives set payload = '{\"version\": 1}'";
    app.schema.execute(unreadable).await;
    browser
        .get(&page)
        .await
        .shows("Its message cannot be read as an order.");
    let path = format!("/reprocess_order/{}", failed.id);
    let operator = app.token(OperatorRole::Operator).await;
    answer(app.request(Method::POST, &path).bearer_auth(&operator))
        .await
        .is_problem(409, "message_unreadable");
}
