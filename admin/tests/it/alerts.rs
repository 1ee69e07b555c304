//! Alerts: what nobody got stands first.

use crate::app::TestApp;
use identity::OperatorRole;
use uuid::Uuid;

async fn alert(app: &TestApp, title: &str, channel: &str, state: &str, minutes: u32) {
    let (id, subject) = (Uuid::now_v7().simple().to_string(), Uuid::now_v7());
    app.schema
        .execute(&format!(
            "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, last_error, created_at) \
             values (x'{id}', '{channel}', 'archived', 'urgent', '{subject}', '{title}', '{{}}', '{state}', 2, utc_timestamp(3), \
             if('{state}' = 'delivered', null, 'connection refused'), utc_timestamp(3) - interval {minutes} minute)"
        ))
        .await;
}

#[tokio::test]
async fn what_nobody_got_stands_first_and_in_the_navigation() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    browser.get("/alerts").await.shows("No alert was raised.");
    alert(&app, "new and delivered", "ops", "delivered", 1).await;
    alert(&app, "old and lost", "", "undelivered", 600).await;
    alert(&app, "waits", "ops", "pending", 5).await;
    let page = browser.get("/alerts").await;
    let place = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(place("old and lost") < place("new and delivered"));
    assert!(place("waits") < place("new and delivered"));
    page.shows("connection refused");
    page.shows("none configured");
    page.shows("<span class=\"count bad\" title=\"alerts nobody got\">1</span>");
    let lost = browser.get("/alerts?show=undelivered").await;
    lost.shows("old and lost");
    lost.shows_not("new and delivered");
    assert_eq!(browser.get("/alerts?show=x").await.status, 422);
}

#[tokio::test]
async fn programs_read_them_page_by_page() {
    let app = TestApp::start().await;
    for number in 0..60 {
        alert(
            &app,
            &format!("alert {number}"),
            "ops.b",
            "delivered",
            number / 5,
        )
        .await;
    }
    let token = app.token(OperatorRole::Viewer).await;
    let first = app.get("/api/v1/alerts", &token).await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(50));
    let next = first["next"].as_str().expect("there are more");
    let second = app
        .get(&format!("/api/v1/alerts?before={next}"), &token)
        .await
        .json();
    assert_eq!(second["items"].as_array().map(Vec::len), Some(10));
    assert!(second["next"].is_null());
    app.get("/api/v1/alerts?before=x", &token)
        .await
        .is_problem(422, "invalid");
}
