//! The weekly report: the page, the JSON, earlier weeks by their address.

use crate::{app::TestApp, failed::Failed};
use compensation::report::{self, TriesKept, Week};
use identity::OperatorRole;

/// Stores a week with so many archived rows in it.
async fn store(app: &TestApp, week: Week, archived: u32) {
    let db = &app.schema.pool;
    for _ in 0..archived {
        let mut failed = Failed::new();
        "1213 (40001): Deadlock found".clone_into(&mut failed.error);
        failed.archived_at = week.starts_at();
        failed.insert(app).await;
    }
    app.count().await;
    let figures = report::measure(db, week, week.ends_at(), TriesKept::InTable)
        .await
        .unwrap();
    report::make(db, &figures).await.unwrap();
}

#[tokio::test]
async fn a_week_is_shown_beside_the_one_before_it_and_has_an_address() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let token = app.token(OperatorRole::Viewer).await;
    browser.get("/report").await.shows("No week is over yet.");
    let none = app.get("/api/v1/reports/weekly", &token).await;
    none.is_problem(404, "not_found");

    let (first, second): (Week, Week) = ("2026-W20".parse().unwrap(), "2026-W21".parse().unwrap());
    store(&app, first, 2).await;
    store(&app, second, 3).await;
    let page = browser.get("/report").await;
    assert_eq!(page.status, 200, "{page:?}");
    page.shows("Monday 2026-05-18 to Sunday 2026-05-24");
    page.shows("The week before");
    page.shows("Deadlock found");
    page.shows("/report?week=2026-W20");
    let earlier = browser.get("/report?week=2026-W20").await;
    earlier.shows("Monday 2026-05-11");
    earlier.shows_not("The week before");

    let last = app.get("/api/v1/reports/weekly", &token).await.json();
    assert_eq!(
        (&last["week"], &last["archived"]),
        (&"2026-W21".into(), &3.into())
    );
    assert_eq!(last["before"]["archived"], 2);
    assert_eq!(last["tries"]["made"], 0);
    assert_eq!(last["causes"][0]["count"], 3);
    assert_eq!(last["weeks"], serde_json::json!(["2026-W21", "2026-W20"]));
    let earlier = app
        .get("/api/v1/reports/weekly?week=2026-W20", &token)
        .await;
    assert_eq!(earlier.json()["before"], serde_json::Value::Null);

    for (week, status, code) in [
        ("2026-W54", 422, "invalid"),
        ("yesterday", 422, "invalid"),
        ("2026-W22", 404, "not_found"),
    ] {
        let answer = app
            .get(&format!("/api/v1/reports/weekly?week={week}"), &token)
            .await;
        answer.is_problem(status, code);
        let page = browser.get(&format!("/report?week={week}")).await;
        assert_eq!(page.status, status, "{week}");
    }
}
