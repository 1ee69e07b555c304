//! The whole filtered list for a spreadsheet.

use crate::{app::TestApp, failed::Failed};
use identity::OperatorRole;
use uuid::Uuid;

#[tokio::test]
async fn the_whole_filtered_list_is_exported_whatever_its_length() {
    let app = TestApp::start().await;
    let sale = Uuid::now_v7();
    let mut expected = Vec::new();
    let pool = &app.schema.pool;
    // 1201 rows by copying one: two full pages and a last one.
    let mut first = Failed::new();
    first.sale = sale;
    first.error = "one".to_owned();
    expected.push(first.insert(&app).await.id.to_string());
    for _ in 0..1200 {
        expected.push(Uuid::now_v7().to_string());
    }
    for chunk in expected[1..].chunks(400) {
        let mut insert = sqlx::QueryBuilder::<sqlx::MySql>::new(
            "insert into failed_order_archives (id, order_id, generation, sale_id, step, error, attempts, history, storage, held, handled, \
             times_archived, first_failed_at, archived_at) ",
        );
        insert.push_values(chunk, |mut row, id| {
            let id: Uuid = id.parse().unwrap();
            row.push_bind(id).push_bind(id).push_bind(0).push_bind(sale);
            row.push(
                "'decide', 'one', 3, '[]', 'mysql', 0, 0, 1, utc_timestamp(3), utc_timestamp(3)",
            );
        });
        insert.build().execute(pool).await.unwrap();
    }
    Failed::new().insert(&app).await;
    let token = app.token(OperatorRole::Viewer).await;
    let export = app
        .get(&format!("/api/v1/archives.csv?sale={sale}"), &token)
        .await;
    assert_eq!(
        (export.status, export.media_type.as_str()),
        (200, "text/csv; charset=utf-8")
    );
    let text = export
        .text
        .strip_prefix('\u{feff}')
        .expect("a byte order mark");
    let mut rows = csv_rows(text);
    assert_eq!(rows.remove(0)[..3], ["id", "order_id", "state"]);
    let mut ids: Vec<_> = rows.into_iter().map(|row| row[0].clone()).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let act: (String, String) =
        sqlx::query_as("select act, detail from audit_log order by id desc limit 1")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(
        act,
        (
            "archives.export".to_owned(),
            format!("/archives?state=all&sale={sale}")
        )
    );
}

#[tokio::test]
async fn a_spreadsheet_runs_nothing_and_breaks_at_nothing() {
    let app = TestApp::start().await;
    let mut failed = Failed::new();
    failed.error = "=cmd|' /C calc'!A0, \"quoted\"\nsecond line é".to_owned();
    failed.insert(&app).await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let export = browser.get("/archives.csv?state=open").await;
    let disposition = export.headers["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\"archives-2"),
        "{disposition}"
    );
    let rows = csv_rows(export.text.trim_start_matches('\u{feff}'));
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[1][10],
        "'=cmd|' /C calc'!A0, \"quoted\"\nsecond line é"
    );
    assert_eq!(rows[1][2], "open");
    let none = browser.get("/archives.csv?state=handled").await;
    assert_eq!(csv_rows(none.text.trim_start_matches('\u{feff}')).len(), 1);
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    ::csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes())
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

#[tokio::test]
async fn columns_are_chosen_for_a_spreadsheet_and_for_programs() {
    let app = TestApp::start().await;
    let failed = Failed::new().insert(&app).await;
    let token = app.token(OperatorRole::Viewer).await;
    let path = "/api/v1/archives.csv?columns=step,id";
    let export = app.get(path, &token).await;
    let text = format!("\u{feff}id,step\r\n{},decide\r\n", failed.id);
    assert_eq!((export.status, export.text), (200, text));
    let path = "/api/v1/archives.jsonl?columns=attempts,id";
    let export = app.get(path, &token).await;
    assert_eq!(export.media_type, "application/jsonl; charset=utf-8");
    let line = format!("{{\"attempts\":3,\"id\":\"{}\"}}\n", failed.id);
    assert_eq!(export.text, line);
    let whole = app.get("/api/v1/archives.jsonl", &token).await.json();
    assert_eq!(
        (&whole["kind"], &whole["held"]),
        (&"order".into(), &false.into())
    );
    let unknown = app
        .get("/api/v1/archives.csv?columns=payload", &token)
        .await;
    unknown.is_problem(422, "invalid");
    // The page's boxes.
    let browser = app.browser(OperatorRole::Viewer).await;
    browser.get("/archives").await.shows("name=\"column.id\"");
    let ticked = browser
        .get("/archives.csv?state=open&q=&column.id=on")
        .await;
    assert_eq!(ticked.text, format!("\u{feff}id\r\n{}\r\n", failed.id));
}
