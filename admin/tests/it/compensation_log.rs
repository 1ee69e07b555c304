//! The log of tries: the latest first, page after page, whatever is filtered.

use crate::app::TestApp;
use identity::OperatorRole;
use uuid::Uuid;

impl TestApp {
    /// So many tries of an order, a millisecond apart, every third of which failed.
    async fn tried(&self, order: Uuid, times: u32) {
        sqlx::query(
            "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, error, started_at, duration_ms, next_after_ms, worker)
             select ?, ?, 0, seq, if(seq % 2 = 0, 'retry', 'first'), if(seq % 3 = 0, 'failed', 'confirmed'), if(seq % 3 = 0, '<b>lock</b>', null),
                    '2026-01-02 03:04:05' + interval (seq div 4) * 1000 microsecond, seq, if(seq % 3 = 0, 5000, null), 'compensator-1'
             from seq_1_to_1000 where seq <= ?",
        )
        .bind(Uuid::now_v7())
        .bind(order)
        .bind(times)
        .execute(&self.schema.pool)
        .await
        .unwrap();
    }

    /// All pages of the log after one another.
    async fn walked(&self, path: &str, token: &str) -> Vec<(String, u64)> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(&format!("{path}&cursor={cursor}"), token)
                .await
                .json();
            for item in page["items"].as_array().unwrap() {
                let order = item["order_id"].as_str().unwrap().to_owned();
                rows.push((order, item["attempt"].as_u64().unwrap()));
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return rows,
            }
        }
    }
}

/// Breaks when pages go by time alone: four tries have each millisecond.
#[tokio::test]
async fn pages_follow_one_another_and_have_each_try_once() {
    let app = TestApp::start().await;
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    app.tried(one, 100).await;
    app.tried(other, 50).await;
    let viewer = app.token(OperatorRole::Viewer).await;
    let all = app
        .walked("/api/v1/compensation-logs?limit=7", &viewer)
        .await;
    assert_eq!(all.len(), 150);
    let mut each = all.clone();
    each.sort();
    each.dedup();
    assert_eq!(each.len(), 150, "each once");
    assert_eq!(all[0], (one.to_string(), 100), "the latest first");

    let path = format!("/api/v1/compensation-logs?limit=7&order={other}");
    let of_order = app.walked(&path, &viewer).await;
    assert_eq!(
        of_order,
        (1..=50)
            .rev()
            .map(|it| (other.to_string(), it))
            .collect::<Vec<_>>()
    );
    let failed = app
        .walked(
            "/api/v1/compensation-logs?limit=9&outcome=failed&lane=retry",
            &viewer,
        )
        .await;
    assert!(
        failed.iter().all(|(_, attempt)| attempt % 6 == 0),
        "{failed:?}"
    );
    assert_eq!(failed.len(), 100 / 6 + 50 / 6);
    let until = app
        .walked(
            "/api/v1/compensation-logs?limit=9&until=2026-01-02T03:04:05.001Z",
            &viewer,
        )
        .await;
    assert_eq!(until.len(), 14, "of 0 and 1 ms: three and four of each");
}

/// Breaks when a page ends where the window does, without saying so.
#[tokio::test]
async fn few_among_many_are_found_a_window_at_a_time() {
    let app = TestApp::start().await;
    let rare = Uuid::now_v7();
    app.tried(rare, 3).await;
    app.schema
        .execute(
            "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
             select unhex(md5(seq)), unhex(md5(seq)), 0, 1, 'call', 'confirmed', '2026-02-02' + interval seq second, 1, 'x' from seq_1_to_12000",
        )
        .await;
    // So many in one millisecond, that the window's end falls into it, whatever lane they are in.
    app.schema
        .execute(
            "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, error, started_at, duration_ms, worker)
             select unhex(md5(concat('m', seq))), unhex(md5(concat('m', seq))), 0, 1, elt(1 + seq % 3, 'first', 'retry', 'call'),
                    if(seq % 500 = 0, 'failed', 'confirmed'), null, '2026-03-01', 1, 'x' from seq_1_to_7000",
        )
        .await;
    let viewer = app.token(OperatorRole::Viewer).await;
    let first = app
        .get("/api/v1/compensation-logs?outcome=failed", &viewer)
        .await
        .json();
    assert!(first["next"].is_string(), "{first}");
    let found = app
        .walked("/api/v1/compensation-logs?outcome=failed", &viewer)
        .await;
    assert_eq!(
        found.len(),
        15,
        "fourteen of the millisecond, and the rare one"
    );
    assert_eq!(found.last(), Some(&(rare.to_string(), 3)));
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser
        .get("/compensation-log?outcome=failed&until=2026-02-20T00:00")
        .await;
    page.shows("Nothing matches so far.");
}

#[tokio::test]
async fn the_page_shows_whose_where_and_why() {
    let app = TestApp::start_with(|settings| {
        settings.compensation.log_storage = service_kit::settings::LogStorage::File;
    })
    .await;
    let order = Uuid::now_v7();
    app.tried(order, 6).await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get("/compensation-log").await;
    page.shows(&format!("/compensation-log?order={order}"));
    page.shows("&lt;b&gt;lock&lt;/b&gt;");
    page.shows("written into the file alone");
    let wrong = browser.get("/compensation-log?lane=x").await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    wrong.shows("lane cannot be understood");
}
