//! Whatever comes from outside is shown as text, whole, everywhere: markup, scripts, formulas, what nobody sees, what turns the direction,
//! numbers of any length, a megabyte.

use crate::{
    app::{Answer, TestApp},
    failed::Failed,
    permissions::{World, world},
    views::{all, at},
};
use compensation::{attempt::History, headers::Headers};
use identity::OperatorRole;
use uuid::Uuid;

const HOSTILE: &str = "=<script>alert(1)</script>\u{202e}gpj\u{202c}\u{1}\u{1b}[31m<img src=x onerror=alert(2)> \"'&lt; {{ x }} {% if %} 9223372036854775807";
const BEGINS: &str = "=&lt;script&gt;";
/// As JSON has it that no type of ours holds.
const NUMBERS: &str =
    r#""exact":9223372036854775807,"huge":18446744073709551616123,"price":0.10,"tiny":-0"#;

/// Texts that reach a view. What the tables' checks allow only some words for cannot be hostile.
const PLACES: [(&str, &str); 45] = [
    ("failed_order_archives", "error"),
    ("failed_order_archives", "step"),
    ("failed_order_archives", "error_class"),
    ("failed_order_archives", "location"),
    ("failure_groups", "pattern"),
    ("failure_groups", "error_code"),
    ("failure_groups", "step"),
    ("compensation_logs", "error"),
    ("compensation_logs", "worker"),
    ("compensation_logs", "outcome"),
    ("compensation_logs", "lane"),
    ("transactions", "last_error"),
    ("transactions", "reason"),
    ("transactions", "kind"),
    ("transaction_branches", "last_error"),
    ("transaction_branches", "participant"),
    ("operations", "reason"),
    ("operations", "asked_by"),
    ("operation_items", "reason"),
    ("alerts", "title"),
    ("alerts", "subject"),
    ("alert_outbox", "title"),
    ("alert_outbox", "subject"),
    ("alert_outbox", "kind"),
    ("alert_outbox", "channel"),
    ("alert_outbox", "last_error"),
    ("incidents", "title"),
    ("incidents", "subject"),
    ("incidents", "group_key"),
    ("incidents", "resolution"),
    ("incidents", "acknowledged_by"),
    ("incidents", "assigned_to"),
    ("incidents", "silenced_by"),
    ("incidents", "silence_reason"),
    ("alert_attempts", "error"),
    ("alert_attempts", "asked_by"),
    ("alert_channels", "off_why"),
    ("alert_channels", "last_error"),
    ("audit_log", "operator"),
    ("audit_log", "act"),
    ("audit_log", "subject"),
    ("audit_log", "detail"),
    ("audit_log", "address"),
    ("products", "name"),
    ("troubles", "said"),
];

async fn poisoned(app: &TestApp) -> World {
    let mut world = world(app).await;
    let mut failed = Failed::new();
    failed.payload = format!(
        "{{\"order_id\":\"{}\",{NUMBERS},\"remark\":{}}}",
        failed.id,
        serde_json::json!(HOSTILE)
    )
    .into_bytes();
    let mut history = History::default();
    for attempt in failed.history.attempts() {
        let mut attempt = attempt.clone();
        attempt.error = Some(HOSTILE.to_owned());
        HOSTILE.clone_into(&mut attempt.worker);
        HOSTILE.clone_into(&mut attempt.outcome);
        history.push(attempt);
    }
    failed.history = history;
    let failed = failed.with_sale(app, 5).await.insert(app).await;
    world.order = failed.id;
    app.count().await;
    let headers = Headers(vec![(
        HOSTILE.to_owned(),
        Some(HOSTILE.as_bytes().to_vec()),
    )]);
    let db = &app.schema.pool;
    sqlx::query("update failed_order_archives set headers = ?")
        .bind(headers.to_json())
        .execute(db)
        .await
        .unwrap();
    for rows in [
        "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker) \
         values (x'07', x'07', 0, 1, 'retry', 'failed', utc_timestamp(3), 5, 'w')",
        "insert into troubles (figure, occasion, said, since) values ('hanging', x'07', '', utc_timestamp(3))",
        "insert into alert_channels (name, tokens, refilled_at, burst, per_minute, off_at) values ('ops', 1, utc_timestamp(3), 1, 1, utc_timestamp(3))",
        "insert into alert_attempts (alert_id, channel, at, took_ms, outcome) select id, channel, utc_timestamp(3), 5, 'broken' from alert_outbox",
        "insert into transaction_branches (gid, participant, is_foreign, state, attempts, history, waits, created_at, changed_at) \
         select gid, 'x', 1, 'unknown', 1, '', 0, utc_timestamp(3), utc_timestamp(3) from transactions",
    ] {
        app.schema.execute(rows).await;
    }
    sqlx::query("insert into processes (name, instance, seen_at, counted) values (left(?, 32), 'x', utc_timestamp(3), '{}')")
        .bind(HOSTILE)
        .execute(db)
        .await
        .unwrap();
    sqlx::query("insert into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at) values (?, ?, ?, 1, 'refused', utc_timestamp(3), utc_timestamp(3))")
        .bind(world.operation)
        .bind(world.order)
        .bind(Uuid::now_v7())
        .execute(db)
        .await
        .unwrap();
    // Something to be exported and shown in the audit.
    app.browser(OperatorRole::Admin)
        .await
        .get("/archives.csv")
        .await;
    for (table, column) in PLACES {
        let length: i64 = sqlx::query_scalar(
            "select cast(character_maximum_length as signed) from information_schema.columns where table_schema = database() and table_name = ? and column_name = ?",
        )
        .bind(table)
        .bind(column)
        .fetch_one(db)
        .await
        .unwrap_or_else(|cause| panic!("{table}.{column}: {cause}"));
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "update {table} set {column} = left(?, ?)"
        )))
        .bind(HOSTILE)
        .bind(length)
        .execute(db)
        .await
        .unwrap_or_else(|cause| panic!("{table}.{column}: {cause}"));
    }
    sqlx::query("update operators set username = left(?, 64) where username = 'subject'")
        .bind(HOSTILE)
        .execute(db)
        .await
        .unwrap();
    world
}

/// Without what a form sends back, which is left as it came.
fn without_fields(page: &str) -> String {
    let mut kept = String::new();
    let mut rest = page;
    while let Some(at) = ["<input", "<option", "<textarea"]
        .iter()
        .filter_map(|tag| rest.find(tag))
        .min()
    {
        kept.push_str(&rest[..at]);
        let end = if rest[at..].starts_with("<textarea") {
            "</textarea>"
        } else {
            ">"
        };
        let length = rest[at..].find(end).expect("it ends");
        rest = &rest[at + length..];
    }
    kept.push_str(rest);
    kept
}

fn is_plain(path: &str, view: &Answer) {
    let text = without_fields(&view.text);
    for markup in ["<script>", "<img src=x", "onerror=alert(2)>"] {
        assert!(!view.text.contains(markup), "{path} has {markup}");
    }
    for unseen in ['\u{202e}', '\u{202c}', '\u{1}', '\u{1b}'] {
        assert!(!text.contains(unseen), "{path} has {unseen:?}");
    }
}

/// Breaks when a template leaves a text as it is (`| safe`), or a page is not gone through for what nobody sees.
#[tokio::test]
async fn hostile_texts_are_texts_in_every_view() {
    let app = TestApp::start().await;
    let world = poisoned(&app).await;
    let seen = all(&app, &world, OperatorRole::Admin).await;
    for (path, view) in &seen {
        if view.media_type.starts_with("text/html") {
            is_plain(path, view);
        } else if view.media_type == "application/json" {
            view.json();
        }
    }
    let order = world.path("/archives/*");
    for path in [
        &order,
        "/archives",
        "/archives?state=all",
        "/groups",
        "/compensation-log",
        "/transactions",
        &world.path("/transactions/!"),
        "/operations",
        &world.path("/operations/?"),
        "/alerts",
        "/alerts/channels",
        "/incidents",
        &world.path("/incidents/#"),
        "/audit",
        "/overview",
        "/operators",
        "/sales",
    ] {
        at(&seen, path).shows(BEGINS);
        assert_eq!(at(&seen, path).status, 200, "{path}");
    }
    // Whole, with what nobody sees made seen.
    at(&seen, &order)
        .shows("⟦U+202E⟧gpj⟦U+202C⟧⟦U+0001⟧⟦U+001B⟧[31m&lt;img src=x onerror=alert(2)&gt;");
    at(&seen, &order).shows("{{ x }} {% if %} 9223372036854775807");
    let page = app
        .browser(OperatorRole::Admin)
        .await
        .get("/archives?state=%3Cscript%3E&q=%3Cscript%3E")
        .await;
    assert_eq!(page.status, 422);
    is_plain("an error", &page);
}

/// Breaks when a field of an export is written as it is.
#[tokio::test]
async fn no_export_is_run_by_a_spreadsheet() {
    let app = TestApp::start().await;
    let world = poisoned(&app).await;
    let seen = all(&app, &world, OperatorRole::Admin).await;
    for path in [
        "/archives.csv",
        "/api/v1/archives.csv",
        "/audit.csv",
        "/api/v1/audit.csv",
    ] {
        let view = at(&seen, path);
        let text = view.text.trim_start_matches('\u{feff}');
        let mut hostile = 0;
        for row in ::csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes())
            .records()
        {
            for field in &row.unwrap() {
                assert!(
                    !field.starts_with(['=', '+', '-', '@', '\t', '\r']),
                    "{path}: {field}"
                );
                assert!(!field.contains(['\u{202e}', '\u{1}']), "{path}: {field}");
                hostile += u32::from(field.starts_with("'=<script>alert(1)</script>⟦U+202E⟧"));
            }
        }
        assert!(hostile > 0, "{path} has it, as a text");
    }
}

/// Breaks when a payload is read into numbers and written again, or is cut.
#[tokio::test]
async fn numbers_of_any_length_and_a_megabyte_are_shown_whole() {
    let app = TestApp::start().await;
    let mut failed = Failed::new();
    let long = "0123456789abcdef".repeat(1 << 16);
    failed.payload =
        format!("{{{NUMBERS},\"text\":\"{long}\",\"end\":\"of the message\"}}").into_bytes();
    assert!(failed.payload.len() > 1 << 20);
    let failed = failed.insert(&app).await;
    for role in [OperatorRole::Viewer, OperatorRole::Admin] {
        let page = app
            .browser(role)
            .await
            .get(&format!("/archives/{}", failed.id))
            .await;
        assert_eq!(page.status, 200);
        let json = app
            .get(
                &format!("/api/v1/archives/{}", failed.id),
                &app.token(role).await,
            )
            .await;
        for number in [
            "9223372036854775807",
            "18446744073709551616123",
            "0.10",
            "-0",
        ] {
            page.shows(&format!("&quot;: {number},"));
            json.shows(&format!("\":{number},"));
        }
        page.shows(&long);
        page.shows("of the message");
        json.shows(&long);
        json.shows("of the message");
    }
}
