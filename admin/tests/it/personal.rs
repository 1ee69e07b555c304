//! What is personal is seen by those who may see it, and by nobody else: wherever it is.

use crate::{
    app::TestApp,
    failed::Failed,
    permissions::{World, world},
    views::{all, at},
};
use compensation::{
    attempt::History,
    headers::Headers,
    report::{self, TriesKept, Week},
};
use identity::OperatorRole;
use serde_json::{Value, json};
use uuid::Uuid;

const MAIL: &str = "marked.person@shop.example";
const PHONE: &str = "+491512345678";
const REMARK: &str = "ring at the marked door";
const STREET: &str = "Marked Street 7";

/// Everything there is, with what is personal in each place that may have it.
async fn marked(app: &TestApp) -> (World, Uuid) {
    let mut world = world(app).await;
    let mut failed = Failed::new();
    failed.error = format!(
        "limit of {}: remark={REMARK}; {MAIL} or {PHONE}",
        failed.user
    );
    let said = failed.error.clone();
    failed.payload = json!({"order_id": failed.id, "user_id": failed.user, "remark": REMARK, "phone": PHONE, "nested": {"address": {"street": STREET}},
        "note": format!("mail {MAIL}")})
    .to_string()
    .into_bytes();
    let mut history = History::default();
    for attempt in failed.history.attempts() {
        let mut attempt = attempt.clone();
        attempt.error = Some(said.clone());
        history.push(attempt);
    }
    failed.history = history;
    let week = Week::of(chrono::Utc::now()).before();
    failed.archived_at = week.starts_at();
    let failed = failed.with_sale(app, 5).await.insert(app).await;
    world.order = failed.id;
    let headers = Headers(vec![
        (
            "user-id".to_owned(),
            Some(failed.user.to_string().into_bytes()),
        ),
        (
            "kafka_exception-message".to_owned(),
            Some(said.clone().into_bytes()),
        ),
    ]);
    sqlx::query("update failed_order_archives set headers = ? where id = ?")
        .bind(headers.to_json())
        .bind(failed.id)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    app.count().await;
    let figures = report::measure(&app.schema.pool, week, week.ends_at(), TriesKept::InTable)
        .await
        .unwrap();
    report::make(&app.schema.pool, &figures).await.unwrap();
    written_by_an_older_build(app, &failed).await;
    // What somebody searched for, and had done.
    let root = app.browser(OperatorRole::Admin).await;
    root.get(&format!("/archives.csv?state=all&q={}", failed.user))
        .await;
    root.get("/archives.csv?state=all&q=marked.person%40shop.example")
        .await;
    let token = app.token(OperatorRole::Operator).await;
    let body = json!({
        "id": Uuid::now_v7(), "kind": "discard", "filter": {"q": failed.user.to_string(), "state": "all"},
        "reason": format!("asked {MAIL}"), "rate": 5, "canary": false, "stop_percent": 50, "grace_s": 600
    });
    let asked = app.post("/api/v1/operations", &token, &body).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    world.operation = asked.json()["operation_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    (world, failed.user)
}

/// What hid nothing.
async fn written_by_an_older_build(app: &TestApp, failed: &Failed) {
    let without_id = format!("remark={REMARK}; {MAIL} or {PHONE}");
    for (table, column) in [
        ("transactions", "last_error"),
        ("transaction_branches", "last_error"),
        ("alerts", "title"),
        ("alert_outbox", "title"),
        ("alert_outbox", "last_error"),
        ("incidents", "title"),
        ("incidents", "resolution"),
        ("operations", "reason"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "update {table} set {column} = left(?, 200)"
        )))
        .bind(&without_id)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    }
    sqlx::query("update alert_outbox set body = replace(body, 'a server is away', ?)")
        .bind(&without_id)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    sqlx::query("update transactions set payload = ?")
        .bind(json!({"user": {"userId": failed.user}, "remark": REMARK}).to_string())
        .execute(&app.schema.pool)
        .await
        .unwrap();
    sqlx::query("insert into troubles (figure, occasion, said, since) values ('hanging', x'07', ?, utc_timestamp(3))")
        .bind(MAIL)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, error, started_at, duration_ms, worker) \
         values (?, ?, 0, 1, 'retry', 'failed', ?, utc_timestamp(3), 5, 'w')",
    )
    .bind(failed.gid)
    .bind(failed.id)
    .bind(format!("user {}: {without_id}", failed.user))
    .execute(&app.schema.pool)
    .await
    .unwrap();
}

/// Breaks wherever a view shows a row as it was read: it is named, with what it shows.
#[tokio::test]
async fn nobody_without_the_permission_finds_anything_personal_in_any_view() {
    let app = TestApp::start().await;
    let (world, user) = marked(&app).await;
    let never = [
        MAIL.to_owned(),
        "marked.person".to_owned(),
        PHONE.to_owned(),
        PHONE[1..].to_owned(),
        REMARK.to_owned(),
        STREET.to_owned(),
        user.to_string(),
        user.simple().to_string(),
        "secret-key".to_owned(),
    ];
    for (path, view) in all(&app, &world, OperatorRole::Viewer).await {
        for text in &never {
            let at = view.text.find(text.as_str());
            let around = at.map(|at| {
                let begin = view.text.floor_char_boundary(at.saturating_sub(200));
                let end = view
                    .text
                    .floor_char_boundary((at + 200).min(view.text.len()));
                &view.text[begin..end]
            });
            assert_eq!(around, None, "{path} shows {text:?}");
        }
    }
}

/// Breaks when it is hidden from everybody, or numbers go with it.
#[tokio::test]
async fn whoever_has_the_permission_finds_it_where_it_belongs() {
    let app = TestApp::start().await;
    let (world, user) = marked(&app).await;
    let seen = all(&app, &world, OperatorRole::Admin).await;
    let order = world.path("/archives/*");
    let page = at(&seen, &order);
    for text in [MAIL, PHONE, REMARK, STREET, &user.to_string()] {
        page.shows(text);
    }
    page.shows_not("secret-key");
    let json: Value = at(&seen, &format!("/api/v1{order}")).json();
    assert_eq!(json["user_id"], user.to_string());
    assert_eq!(json["payload"]["nested"]["address"]["street"], STREET);
    assert!(json["history"][0]["error"].as_str().unwrap().contains(MAIL));
    for path in ["/archives?state=all", "/archives.csv", "/api/v1/archives"] {
        at(&seen, path).shows(&user.to_string());
        at(&seen, path).shows(MAIL);
    }
    at(&seen, "/compensation-log").shows(REMARK);
    at(&seen, &world.path("/transactions/!")).shows(REMARK);
    at(&seen, &world.path("/operations/?")).shows(&user.to_string());
}

/// A script has what its operator has and its scope names, and no more.
#[tokio::test]
async fn a_token_without_the_permission_sees_as_little_as_a_viewer() {
    let app = TestApp::start().await;
    let failed = Failed::new().insert(&app).await;
    let browser = app.browser(OperatorRole::Admin).await;
    for (scope, sees) in [
        ("archives.look", false),
        ("archives.look personal.see", true),
    ] {
        let scope: Vec<&str> = scope.split(' ').collect();
        let body = json!({"name": scope.join(" "), "scope": scope, "days": 1});
        let made = crate::app::answer(
            browser
                .request(reqwest::Method::POST, "/api/v1/tokens")
                .header("X-CSRF-Token", &browser.csrf)
                .json(&body),
        )
        .await;
        let made = made.json();
        let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}"));
        let row = app
            .get(&format!("/api/v1/archives/{}", failed.id), token)
            .await
            .json();
        let whole = failed.user.to_string();
        assert_eq!(row["user_id"] == whole.as_str(), sees, "{scope:?}");
        assert_eq!(row["payload"]["remark"] == "***", !sees);
        assert!(row["user_id"].as_str().unwrap().ends_with(&whole[32..]));
    }
}
