//! The audit, on its page and as JSON.

use crate::{app::TestApp, failed::Failed};
use identity::OperatorRole;

#[tokio::test]
async fn every_act_is_there_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    for number in 0..120 {
        app.schema
            .execute(&format!(
                "insert into audit_log (at, operator, role, act, subject, outcome, detail, address) \
                 values (utc_timestamp(3), 'ann', 'admin', 'act', 'subject {}', 'done', '{number}', '::1')",
                number % 2
            ))
            .await;
    }
    let mut details = Vec::new();
    let mut path = "/api/v1/audit?subject=subject%201".to_owned();
    loop {
        let page = app.get(&path, &token).await.json();
        let items = page["items"].as_array().expect("items").clone();
        details.extend(items.iter().map(|item| {
            let number: u32 = item["detail"].as_str().unwrap().parse().unwrap();
            number
        }));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/audit?subject=subject%201&before={next}");
    }
    let expected: Vec<u32> = (0..120).rev().filter(|number| number % 2 == 1).collect();
    assert_eq!(details, expected);
    app.get("/api/v1/audit?before=x", &token)
        .await
        .is_problem(422, "invalid");
}

#[tokio::test]
async fn the_page_links_what_was_done_to_what() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 0).await.insert(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    browser
        .submit(&format!("/archives/{}/replay", failed.id), &[])
        .await;
    let page = browser.get("/audit").await;
    page.shows(&format!("href=\"/archives/{}\"", failed.id));
    page.shows("order.replay");
    page.shows("sold_out");
    page.shows("session.open");
    let filtered = browser.get(&format!("/audit?subject={}", failed.id)).await;
    filtered.shows("order.replay");
    filtered.shows_not("session.open");
    browser
        .get("/audit?subject=nobody")
        .await
        .shows("Nothing was done.");
    let bad = browser.get("/audit?before=x").await;
    assert_eq!(bad.status, 422);
    bad.shows("cannot be understood");
}
