//! The list and one of it.

use crate::{
    app::{Answer, TestApp},
    failed::{Failed, history},
};
use chrono::{TimeDelta, Utc};
use identity::OperatorRole;
use uuid::Uuid;

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().expect("items");
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn the_list_is_searched_by_ids_and_words_of_the_error() {
    let app = TestApp::start().await;
    let mut deadlock = Failed::new();
    deadlock.error = "Deadlock found: 100%_sure".to_owned();
    let deadlock = deadlock.insert(&app).await;
    let other = Failed::new().insert(&app).await;
    let token = app.token(OperatorRole::Viewer).await;
    let found =
        async |query: &str| ids(&app.get(&format!("/api/v1/archives?{query}"), &token).await);
    let (first, second) = (deadlock.id.to_string(), other.id.to_string());
    assert_eq!(found("").await.len(), 2);
    assert_eq!(found(&format!("q={first}")).await, [first.as_str()]);
    assert_eq!(
        found(&format!("q={}", deadlock.sale)).await,
        [first.as_str()]
    );
    assert_eq!(
        found(&format!("q={}", other.user.simple())).await,
        [second.as_str()]
    );
    assert_eq!(found("q=dEADLOCK").await, [first.as_str()]);
    assert_eq!(found("q=100%25_").await, [first.as_str()]);
    assert_eq!(found("q=%25").await, [first.as_str()], "no wildcard");
    assert_eq!(found("q=nothing").await, [""; 0]);
    assert_eq!(
        found(&format!("sale={}", other.sale)).await,
        [second.as_str()]
    );
    assert_eq!(found("step=parse").await, [""; 0]);
    assert_eq!(found("step=decide&q=lock%20wait").await, [second.as_str()]);
    for bad in ["state=x", "sale=x", "after=x"] {
        let path = format!("/api/v1/archives?{bad}");
        app.get(&path, &token).await.is_problem(422, "invalid");
    }
}

#[tokio::test]
async fn the_list_has_a_tab_for_each_state_with_its_number() {
    let app = TestApp::start().await;
    let open = Failed::new().insert(&app).await;
    let replaying = Failed::new().insert(&app).await;
    let mut handled = Failed::new();
    (handled.handled, handled.resolution) = (true, Some("confirmed"));
    let handled = handled.insert(&app).await;
    sqlx::query("update failed_order_archives set operation_id = id where id = ?")
        .bind(replaying.id)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    let browser = app.browser(OperatorRole::Viewer).await;
    for (state, shown) in [
        ("open", vec![open.id]),
        ("replaying", vec![replaying.id]),
        ("handled", vec![handled.id]),
        ("all", vec![open.id, replaying.id, handled.id]),
    ] {
        let page = browser.get(&format!("/archives?state={state}")).await;
        assert_eq!(page.status, 200);
        for id in [open.id, replaying.id, handled.id] {
            let there = page.text.contains(&id.to_string());
            assert_eq!(there, shown.contains(&id), "{state} {id}");
        }
        for tab in [
            "Open <span class=\"count\">1<",
            "Replaying <span class=\"count\">1<",
            "All <span class=\"count\">3<",
        ] {
            page.shows(tab);
        }
    }
    browser.get("/archives").await.shows(&open.id.to_string());
}

#[tokio::test]
async fn pages_follow_one_another_while_rows_come_and_keep_the_filter() {
    let app = TestApp::start().await;
    let sale = Uuid::now_v7();
    let mut expected = Vec::new();
    for minute in 0..120 {
        let mut failed = Failed::new();
        failed.sale = sale;
        // Several in the same millisecond.
        failed.archived_at = Utc::now() - TimeDelta::minutes(10 + minute / 7);
        expected.push(failed.insert(&app).await.id.to_string());
    }
    let browser = app.browser(OperatorRole::Viewer).await;
    let mut path = Some(format!("/archives?state=open&sale={sale}"));
    let (mut seen, mut pages) = (Vec::new(), 0);
    while let Some(next) = path {
        let page = browser.get(&next).await;
        assert_eq!(page.status, 200, "{page:?}");
        let links = page.text.split("<a class=\"id\" href=\"/archives/").skip(1);
        seen.extend(links.map(|link| link[..36].to_owned()));
        path = page.text.split_once("\">Older</a>").map(|(before, _)| {
            let start = before.rfind("href=\"").expect("a link") + 6;
            before[start..].replace("&amp;", "&")
        });
        pages += 1;
        // Newer ones do not push the rest off their pages.
        let mut newer = Failed::new();
        newer.sale = sale;
        newer.archived_at = Utc::now();
        newer.insert(&app).await;
    }
    assert_eq!(pages, 3);
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn one_of_it_is_shown_with_all_that_happened() {
    let app = TestApp::start().await;
    let mut failed = Failed::new();
    let mut all = history(failed.archived_at - TimeDelta::hours(1), 0);
    for attempt in history(failed.archived_at, 1).attempts() {
        all.push(attempt.clone());
    }
    failed.history = all;
    let failed = failed.with_sale(&app, 5).await.insert(&app).await;
    let operation = Uuid::now_v7();
    app.schema.execute(&format!(
        "insert into operations (id, kind, asked_by, reason, state, created_at) values (x'{0}', 'replay', 'ann', 'index <added>', 'finished', utc_timestamp(3))",
        operation.simple()
    )).await;
    app.schema.execute(&format!(
        "insert into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at) \
         values (x'{0}', x'{1}', x'{0}', 1, 'archived', utc_timestamp(3), utc_timestamp(3))",
        operation.simple(), failed.id.simple()
    )).await;
    app.schema.execute(&format!(
        "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, last_error, created_at) \
         values (x'{0}', 'ops', 'archived', 'urgent', '{1}', 'An order was given up', '{{}}', 'undelivered', 3, utc_timestamp(3), 'timed out', utc_timestamp(3))",
        operation.simple(), failed.id
    )).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let back = "/archives%3Fstate%3Dopen%26q%3Dlock";
    let page = browser
        .get(&format!("/archives/{}?back={back}", failed.id))
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    for text in [
        "href=\"/archives?state=open&amp;q=lock\"",
        "The buyer&#39;s request",
        "Replay 1",
        "index &lt;added&gt;",
        "1. First try",
        "2. Retry",
        "3. Try as a dead letter",
        "took 1.2 s",
        "next after 10 s",
        "&lt;b&gt;ring twice&lt;/b&gt;",
        "kafka_dlt-original-partition",
        "<pre>3</pre>",
        "An order was given up",
        "timed out",
        "Replay this order",
    ] {
        page.shows(text);
    }
    for text in ["<b>ring", "secret-key", "disabled>Replay"] {
        page.shows_not(text);
    }
    let elsewhere = browser
        .get(&format!("/archives/{}?back=//evil.example", failed.id))
        .await;
    elsewhere.shows_not("evil.example");
}

#[tokio::test]
async fn viewers_see_less_of_the_message_and_a_button_that_says_why() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get(&format!("/archives/{}", failed.id)).await;
    page.shows_not("ring twice");
    page.shows("&quot;remark&quot;: &quot;***&quot;");
    page.shows("disabled>Replay this order");
    page.shows("Your role is viewer: replaying an order needs operator.");
    let token = app.token(OperatorRole::Viewer).await;
    let json = app
        .get(&format!("/api/v1/archives/{}", failed.id), &token)
        .await
        .json();
    assert_eq!(json["payload"]["remark"], "***");
    assert_eq!(json["payload"]["idempotency"], "***");
    assert_eq!(json["payload"]["quantity"], 2);
    assert_eq!(json["history"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["state"], "open");
    assert_eq!(json["replay_refusal"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_message_that_is_no_order_is_shown_and_cannot_be_replayed() {
    let app = TestApp::start().await;
    let mut failed = Failed::new();
    (failed.order, failed.step) = (false, "parse");
    failed.payload = b"\xff{no json <script>".to_vec();
    let failed = failed.insert(&app).await;
    let browser = app.browser(OperatorRole::Admin).await;
    let page = browser.get(&format!("/archives/{}", failed.id)).await;
    page.shows("not an order");
    page.shows("{no json &lt;script&gt;");
    page.shows("nothing to replay");
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_does_not_hide_the_rest() {
    let app = TestApp::start().await;
    let failed = Failed::new().insert(&app).await;
    app.schema
        .execute("update failed_order_archives set storage = 'file', location = '/nowhere/archive.jsonl#0', payload = null")
        .await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get(&format!("/archives/{}", failed.id)).await;
    assert_eq!(page.status, 200);
    page.shows("It cannot be read: the archive in file has nothing at");
    page.shows("Lock wait timeout exceeded");
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let app = TestApp::start().await;
    let (browser, token) = (
        app.browser(OperatorRole::Viewer).await,
        app.token(OperatorRole::Viewer).await,
    );
    let id = Uuid::now_v7();
    for path in [
        format!("/archives/{id}"),
        "/archives/x".to_owned(),
        format!("/operations/{id}"),
        "/nowhere".to_owned(),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 404, "{path}");
        page.shows("<h1>Not found</h1>");
    }
    app.get(&format!("/api/v1/archives/{id}"), &token)
        .await
        .is_problem(404, "not_found");
    app.get(&format!("/api/v1/operations/{id}"), &token)
        .await
        .is_problem(404, "not_found");
    app.get("/api/v1/archives/x", &token)
        .await
        .is_problem(400, "malformed_id");
    app.get("/api/v1/nowhere", &token)
        .await
        .is_problem(404, "not_found");
}
