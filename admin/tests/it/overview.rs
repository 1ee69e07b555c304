//! The overview: figures of all parts, each with the list behind it; parts that cannot be told; and what a million rows cost.

use crate::{
    app::{TestApp, answer},
    failed::Failed,
    incidents::told_of,
    transactions::Known,
};
use chrono::{TimeDelta, Utc};
use identity::OperatorRole;
use reqwest::Method;
use serde_json::{Value, json};
use service_kit::heartbeat::{self, Counted};
use std::time::Duration;
use testkit::{eventually, mysql::Schema};
use uuid::Uuid;

async fn overview(app: &TestApp) -> Value {
    let token = app.token(OperatorRole::Viewer).await;
    let answer = app.get("/api/v1/overview", &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Once its last hours are counted, which goes on beside.
async fn counted(app: &TestApp) -> Value {
    eventually("the hours are counted", Duration::from_mins(1), || async {
        let found = overview(app).await;
        let hours = found["hours"]["known"].as_array().expect("hours");
        hours
            .iter()
            .all(|it| it["counted"] == true)
            .then_some(found)
    })
    .await
}

async fn work(schema: &Schema, state: &str, due_s_ago: i64) {
    sqlx::query(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id, history, created_at) \
         values (?, 'order', ?, 0, ?, ?, ?, 1, utc_timestamp(3) - interval ? second, ?, '[]', utc_timestamp(3))",
    )
    .bind(Uuid::now_v7())
    .bind(Uuid::now_v7())
    .bind(Uuid::now_v7())
    .bind(Uuid::now_v7())
    .bind(state)
    .bind(due_s_ago)
    .bind(Uuid::now_v7())
    .execute(&schema.pool)
    .await
    .unwrap();
}

async fn tried(schema: &Schema, outcome: &str, hours_ago: i64) {
    sqlx::query(
        "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker) \
         values (?, ?, 0, 2, 'retry', ?, ?, 5, 'w')",
    )
    .bind(Uuid::now_v7())
    .bind(Uuid::now_v7())
    .bind(outcome)
    .bind((Utc::now() - TimeDelta::hours(hours_ago)).naive_utc())
    .execute(&schema.pool)
    .await
    .unwrap();
}

/// Something of every kind, and the order that failed.
async fn something_of_all(app: &TestApp) -> Failed {
    for (state, due) in [
        ("scheduled", 90),
        ("scheduled", -60),
        ("dead", -60),
        ("held", 0),
    ] {
        work(&app.schema, state, due).await;
    }
    Known::new("stuck_committing").insert(app).await;
    let mut failed = Failed::new();
    "coupon: HTTP 503".clone_into(&mut failed.error);
    let failed = failed.with_sale(app, 5).await.insert(app).await;
    app.count().await;
    told_of(app, "The archive does not answer").await;
    for (outcome, hours) in [
        ("confirmed", 0),
        ("failed", 3),
        ("failed", 3),
        ("confirmed", 80),
    ] {
        tried(&app.schema, outcome, hours).await;
    }
    let mut db = app.schema.pool.acquire().await.unwrap();
    heartbeat::give(&mut db, "compensator", "one", &Counted::new())
        .await
        .unwrap();
    app.schema
        .execute("insert into troubles (figure, occasion, said, since) values ('hanging', x'07', '11 <hang>', utc_timestamp(3) - interval 1 hour)")
        .await;
    app.schema
        .execute(&format!(
            "insert into stock_drifts (id, sale_id, open_sale, units, redis_available, redis_held, redis_sold, redis_owed, mysql_available, \
             mysql_sold, fenced, found_at) values (x'07', x'{0}', x'{0}', 1, 1, 0, 0, 0, 0, 0, 0, utc_timestamp(3) - interval 2 hour)",
            failed.sale.simple()
        ))
        .await;
    failed
}

#[tokio::test]
async fn every_figure_is_there_with_its_unit_its_age_and_the_list_behind_it() {
    let app = TestApp::start().await;
    let failed = something_of_all(&app).await;
    let found = counted(&app).await;
    let waiting = &found["waiting"]["known"];
    assert_eq!(
        (&waiting[0]["state"], &waiting[0]["count"]),
        (&json!("scheduled"), &json!(2))
    );
    let due = waiting[0]["due_for_s"].as_u64().unwrap();
    assert!((90..600).contains(&due), "{due}");
    assert_eq!(
        (&waiting[1]["count"], &waiting[1]["due_for_s"]),
        (&json!(1), &Value::Null)
    );
    let transactions = &found["transactions"]["known"];
    assert_eq!(transactions.as_array().unwrap().len(), 1);
    assert_eq!(
        (&transactions[0]["state"], &transactions[0]["count"]),
        (&json!("stuck_committing"), &json!(1))
    );
    let archive = &found["archive"]["known"];
    assert_eq!(
        (&archive["open"], &archive["causes"][0]["open"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(found["drift"]["known"]["sales"], 1);
    assert_eq!(found["stock_node"]["unknown"], "no node is configured here");
    assert_eq!(found["alerts"]["known"]["incidents"], 1);
    assert_eq!(
        found["processes"]["known"][0],
        json!({"name": "compensator", "running": 1, "silent_s": found["processes"]["known"][0]["silent_s"]})
    );
    assert_eq!(
        found["processes"]["known"][1],
        json!({"name": "order-consumer", "running": 0, "silent_s": null})
    );
    assert_eq!(found["troubles"]["known"][0]["said"], "11 <hang>");
    let hours = found["hours"]["known"].as_array().unwrap();
    assert_eq!(hours.len(), 72);
    let sum = |of: &str| hours.iter().map(|it| it[of].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("tries"), sum("settled"), sum("archived")), (3, 1, 1));

    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get("/overview").await;
    page.shows("aria-current=\"page\">Overview</a>");
    page.shows("ask for somebody");
    page.shows("the first has been due for");
    page.shows("the first was found 2 h ago");
    page.shows("11 &lt;hang&gt;");
    page.shows("coupon: HTTP &lt;number&gt;");
    page.shows("33.33 %");
    page.shows("<svg viewBox=\"0 0 720 100\"");
    page.shows("As a table");
    // Each link leads to a list that has what the figure counted.
    for (link, has) in [
        ("/compensation-log?lane=retry", "failed"),
        ("/transactions?state=stuck", "stuck committing"),
        ("/groups", "coupon"),
        ("/sales?show=drifting", &failed.sale.to_string()),
        ("/incidents", "The archive does not answer"),
        ("/alerts?show=undelivered", "The archive does not answer"),
        ("/alerts/channels", "hannel"),
    ] {
        if link != "/alerts/channels" {
            page.shows(&format!("href=\"{link}\""));
        }
        browser.get(link).await.shows(has);
    }
    let (_, rest) = page
        .text
        .split_once("/archives?state=open&amp;fingerprint=")
        .expect("the cause's list");
    let list = format!(
        "/archives?state=open&fingerprint={}",
        rest.split('"').next().unwrap()
    );
    browser.get(&list).await.shows(&failed.id.to_string());
}

#[tokio::test]
async fn nothing_asks_for_anybody_where_all_is_well_and_groups_are_the_landing() {
    let app = TestApp::start().await;
    let mut db = app.schema.pool.acquire().await.unwrap();
    for name in ["compensator", "order-consumer", "seckill-api"] {
        heartbeat::give(&mut db, name, "one", &Counted::new())
            .await
            .unwrap();
    }
    let browser = app.browser(OperatorRole::Viewer).await;
    browser
        .get("/overview")
        .await
        .shows("Nothing asks for anybody.");
    let landing = answer(browser.request(Method::GET, "/")).await;
    assert_eq!(
        (landing.status, landing.location.as_deref()),
        (303, Some("/groups"))
    );
}

/// Breaks when one part's failure fails the page: 503.
#[tokio::test]
async fn a_part_that_cannot_be_told_says_so_and_the_others_are_shown() {
    let app = TestApp::start().await;
    Failed::new().insert(&app).await;
    app.count().await;
    for table in [
        "troubles",
        "alert_outbox",
        "compensations",
        "compensation_logs",
    ] {
        app.schema
            .execute(&format!("rename table {table} to {table}_away"))
            .await;
    }
    let found = overview(&app).await;
    for part in ["troubles", "alerts", "waiting", "hours"] {
        assert!(found[part]["unknown"].is_string(), "{part} {found}");
    }
    assert_eq!(found["archive"]["known"]["open"], 1);
    let page = app
        .browser(OperatorRole::Viewer)
        .await
        .get("/overview")
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    page.shows("Not known: MySQL does not tell");
    page.shows("1</strong> rows");
}
