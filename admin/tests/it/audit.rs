//! The audit, on its page, as JSON, and taken away whole.

use crate::{app::TestApp, failed::Failed};
use audit::{
    Entry, Line, Outcome,
    check::{Broken, Check, Whole},
    record_all,
};
use identity::OperatorRole;
use serde_json::Value;
use uuid::Uuid;

fn entry<'a>(subject: &'a str, detail: &'a str) -> Entry<'a> {
    Entry {
        operator: "ann",
        role: "admin",
        act: "act",
        subject,
        outcome: Outcome::Done,
        detail,
        address: "::1",
        operation: None,
    }
}

async fn write(app: &TestApp, entries: &[Entry<'_>]) {
    let mut tx = app.schema.pool.begin().await.unwrap();
    record_all(&mut tx, entries).await.unwrap();
    tx.commit().await.unwrap();
}

/// An export's lines, and what ends it.
fn export(text: &str) -> (Vec<Line>, Value) {
    let mut lines: Vec<&str> = text.lines().collect();
    let end = lines.pop().expect("an end");
    let lines = lines
        .into_iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no line: {line}")))
        .collect();
    (lines, serde_json::from_str(end).expect("JSON"))
}

fn checked(text: &str) -> Result<Whole, Broken> {
    let (lines, end) = export(text);
    let mut check = Check::new(None);
    for line in &lines {
        check.line(line)?;
    }
    check.end(serde_json::from_value(end["head"].clone()).ok())
}

#[tokio::test]
async fn every_act_is_there_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    for number in 0..120 {
        let (subject, detail) = (format!("subject {}", number % 2), number.to_string());
        write(&app, &[entry(&subject, &detail)]).await;
    }
    let mut details = Vec::new();
    let mut path = "/api/v1/audit?subject=subject%201&operator=ann".to_owned();
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
        path = format!("/api/v1/audit?subject=subject%201&operator=ann&before={next}");
    }
    let expected: Vec<u32> = (0..120).rev().filter(|number| number % 2 == 1).collect();
    assert_eq!(details, expected);
    for bad in ["before=x", "outcome=well", "operation=7", "from=yesterday"] {
        app.get(&format!("/api/v1/audit?{bad}"), &token)
            .await
            .is_problem(422, "invalid");
    }
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
    filtered.shows_not("<code>session.open");
    browser
        .get("/audit?subject=nobody")
        .await
        .shows("Nothing was done.");
    for bad in ["before=x", "outcome=well", "operation=7", "to=tomorrow"] {
        let bad = browser.get(&format!("/audit?{bad}")).await;
        assert_eq!(bad.status, 422);
        bad.shows("cannot be understood");
    }
}

/// What was asked for, how it was steered and what became of its items is found by the operation; the filter is kept where it leads on.
#[tokio::test]
async fn an_operation_has_all_its_lines_together() {
    let app = TestApp::start().await;
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let of = |operation, detail| Entry {
        operation: Some(operation),
        ..entry("x", detail)
    };
    write(
        &app,
        &[of(one, "asked"), of(other, "another"), of(one, "ended")],
    )
    .await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser
        .get(&format!("/audit?operation={one}&operator=ann"))
        .await;
    page.shows("asked");
    page.shows("ended");
    page.shows_not("another");
    page.shows(&format!("/operations/{one}"));
    page.shows(&format!("/audit.csv?operator=ann&amp;operation={one}"));
    let lines: Vec<Line> = {
        let token = app.token(OperatorRole::Viewer).await;
        let json = app.get("/api/v1/audit?operator=ann", &token).await.json();
        serde_json::from_value(json["items"].clone()).unwrap()
    };
    let hash = lines[0].hash.expect("a hash").to_string();
    page.shows(&hash[..12]);
}

/// The export of everything checks out by itself, with its own line in it; one of a part says that it is one.
///
/// Caught: an export that leaves lines out between two of its pages, and one whose head is read after its lines.
#[tokio::test]
async fn what_is_taken_away_can_be_checked() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let entries = vec![entry("x", "=1+1"); 1_100];
    write(&app, &entries).await;
    let all = app.get("/api/v1/audit.jsonl", &token).await;
    assert_eq!(
        (all.status, all.media_type.as_str()),
        (200, "application/jsonl; charset=utf-8")
    );
    let (lines, end) = export(&all.text);
    assert_eq!(lines.last().unwrap().act, "audit.export");
    assert_eq!(end["filtered"], false);
    let whole = checked(&all.text).expect("one chain");
    assert_eq!(whole.lines, lines.len() as u64);
    let part = app.get("/api/v1/audit.jsonl?act=act", &token).await;
    let (lines, end) = export(&part.text);
    assert_eq!((lines.len(), &end["filtered"]), (1_100, &Value::Bool(true)));

    let browser = app.browser(OperatorRole::Viewer).await;
    let sheet = browser.get("/audit.csv?act=act").await;
    assert_eq!(sheet.media_type, "text/csv; charset=utf-8");
    let disposition = sheet.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"audit-2"));
    let text = sheet.text.strip_prefix('\u{feff}').expect("a mark");
    let mut rows = ::csv::ReaderBuilder::new();
    let rows = rows.has_headers(true).from_reader(text.as_bytes());
    let rows: Vec<_> = rows.into_records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1_100);
    assert_eq!(&rows[0][7], "'=1+1", "a spreadsheet runs nothing");
    assert_eq!(&rows[0][11], &lines[0].hash.unwrap().to_string());
    let exports: Vec<_> = app.audited().await;
    let exports = exports.iter().filter(|(act, ..)| act == "audit.export");
    assert_eq!(exports.count(), 3);
    for path in ["/api/v1/audit.csv?from=x", "/api/v1/audit.jsonl?from=x"] {
        app.get(path, &token).await.is_problem(422, "invalid");
    }
}

/// Many acts, refused and denied ones at once, with exports between them: one chain, and each export is whole.
#[tokio::test]
async fn acts_at_once_make_one_chain() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 0).await.insert(&app).await;
    let path = format!("/api/v1/archives/{}", failed.id);
    let replay = format!("/reprocess_order/{}", failed.id);
    let operator = app.token(OperatorRole::Operator).await;
    let viewer = app.token(OperatorRole::Viewer).await;
    let body = serde_json::json!({});
    for _ in 0..12 {
        // The pool is small, and all of them wait for the one head: no more at once than it has connections.
        let (refused, denied, again, export) = tokio::join!(
            app.post(&replay, &operator, &body),
            app.post(&replay, &viewer, &body),
            app.post(&replay, &viewer, &body),
            app.get("/api/v1/audit.jsonl", &operator),
        );
        assert_eq!(
            (refused.status, denied.status, again.status),
            (409, 403, 403),
            "{refused:?}"
        );
        assert!(checked(&export.text).is_ok(), "{}", export.text);
    }
    let all = app.get("/api/v1/audit.jsonl", &operator).await;
    let whole = checked(&all.text).expect("one chain");
    assert!(whole.lines > 48, "{whole:?}");
    assert_eq!(app.get(&path, &viewer).await.status, 200);
}
