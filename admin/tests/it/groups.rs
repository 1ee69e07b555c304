//! Groups of what was given up for the same cause: the page, the JSON, and the way from one to the rows and back.

use crate::{app::TestApp, failed::Failed};
use chrono::{TimeDelta, Utc};
use identity::OperatorRole;
use serde_json::Value;

const DEADLOCK: &str = "order 17: 1213 (40001): Deadlock found";

async fn failed_with(app: &TestApp, error: &str) -> Failed {
    let mut failed = Failed::new();
    error.clone_into(&mut failed.error);
    failed.insert(app).await
}

async fn groups(app: &TestApp, token: &str, query: &str) -> Value {
    let answer = app.get(&format!("/api/v1/groups{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn what_failed_alike_is_one_group_with_its_counts_and_why() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    for number in 0..3 {
        failed_with(
            &app,
            &format!("order {number}: 1213 (40001): Deadlock found"),
        )
        .await;
    }
    let mut handled = Failed::new();
    DEADLOCK.clone_into(&mut handled.error);
    (handled.handled, handled.resolution) = (true, Some("confirmed"));
    handled.archived_at = Utc::now();
    let handled = handled.insert(&app).await;
    let other = failed_with(&app, "coupon: HTTP 503").await;
    assert_eq!(groups(&app, &token, "").await["uncounted"], 5);
    app.count().await;

    let found = groups(&app, &token, "").await;
    assert_eq!(
        (&found["uncounted"], &found["next"]),
        (&0.into(), &Value::Null)
    );
    let [first, second] = found["items"].as_array().unwrap().as_slice() else {
        panic!("{found}");
    };
    assert_eq!((&first["open"], &first["total"]), (&3.into(), &4.into()));
    assert_eq!(first["step"], "decide");
    assert_eq!(first["code"], "database 1213");
    assert_eq!(
        first["pattern"],
        "order <number>: <number> (<number>): Deadlock found"
    );
    assert_eq!(first["example_id"], handled.id.to_string(), "the latest");
    assert_eq!(first["version"], 1);
    let why = first["why_grouped"].as_str().unwrap();
    assert!(why.contains("numbers") && why.contains("“decide”"), "{why}");
    assert_eq!(second["example_id"], other.id.to_string());
    let latest = groups(&app, &token, "?sort=last_seen").await;
    assert_eq!(latest["items"][0]["fingerprint"], first["fingerprint"]);

    let fingerprint = first["fingerprint"].as_str().unwrap();
    let rows = app
        .get(
            &format!("/api/v1/archives?fingerprint={fingerprint}"),
            &token,
        )
        .await
        .json();
    assert_eq!(rows["items"].as_array().unwrap().len(), 4);
    let whole = app
        .get(&format!("/api/v1/archives/{}", handled.id), &token)
        .await
        .json();
    assert_eq!(whole["fingerprint"], fingerprint);
    assert_eq!(whole["why_grouped"], why);
    for bad in ["show=x", "sort=x", "after=1", "limit=0", "limit=101"] {
        let path = format!("/api/v1/groups?{bad}");
        app.get(&path, &token).await.is_problem(422, "invalid");
    }
    app.get("/api/v1/archives?fingerprint=12", &token)
        .await
        .is_problem(422, "invalid");
}

#[tokio::test]
async fn groups_whose_rows_are_all_handled_are_shown_when_asked_for() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    let mut handled = Failed::new();
    (handled.handled, handled.resolution) = (true, Some("confirmed"));
    handled.insert(&app).await;
    app.count().await;
    assert_eq!(
        groups(&app, &token, "").await["items"],
        Value::Array(Vec::new())
    );
    let all = groups(&app, &token, "?show=all").await;
    assert_eq!(
        (&all["items"][0]["open"], &all["items"][0]["total"]),
        (&0.into(), &1.into())
    );
    let browser = app.browser(OperatorRole::Viewer).await;
    browser.get("/groups").await.shows("Nothing is open.");
    browser.get("/groups?show=all").await.shows("1 in all");
}

#[tokio::test]
async fn pages_of_groups_follow_one_another() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    for number in 0..7_usize {
        let mut failed = Failed::new();
        failed.error = "no ".repeat(1 + number);
        failed.archived_at = Utc::now() - TimeDelta::minutes(number.try_into().unwrap());
        failed.insert(&app).await;
    }
    app.count().await;
    for sort in ["open", "last_seen"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = groups(&app, &token, &format!("?limit=3&sort={sort}&after={after}")).await;
            for item in page["items"].as_array().unwrap() {
                seen.push(item["fingerprint"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else {
                break;
            };
            next.clone_into(&mut after);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 7, "{sort}");
    }
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get("/groups?limit=3").await;
    page.shows(">More</a>");
    page.shows("limit=3&amp;after=1.");
}

/// From a group to its rows, from a row to its group; and hostile words stay words.
#[tokio::test]
async fn one_walks_from_a_group_to_its_rows_and_hostile_words_are_shown_as_words() {
    let app = TestApp::start().await;
    let hostile = "<script>alert(1)</script> \u{202e}{{ x }} for table `<b>`";
    let failed = failed_with(&app, hostile).await;
    let mut huge = Failed::new();
    huge.error = "\u{1}<img src=x>".repeat(80);
    huge.insert(&app).await;
    app.count().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get("/groups").await;
    assert_eq!(page.status, 200);
    page.shows("aria-current=\"page\">Groups</a>");
    page.shows("&lt;script&gt;alert(&lt;number&gt;)");
    page.shows("{{ x }}");
    page.shows("Why these are a group");
    for never in ["<script>alert", "<img src=x", "\u{202e}", "\u{1}"] {
        page.shows_not(never);
    }
    let found = groups(&app, &app.token(OperatorRole::Viewer).await, "").await;
    let of_script = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["example_id"] == failed.id.to_string());
    let fingerprint = of_script.unwrap()["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = format!("/archives?state=open&amp;fingerprint={fingerprint}");
    page.shows(&list);
    let list = browser.get(&list.replace("&amp;", "&")).await;
    list.shows(&failed.id.to_string());
    list.shows(&format!("group {fingerprint}"));
    list.shows("Everything in this group failed at the step “decide”");
    list.shows_not("<script>alert");
    let page = browser.get(&format!("/archives/{}", failed.id)).await;
    page.shows("Why grouped <span class=\"muted\">1 open of 1</span>");
    page.shows(&format!(
        "/archives?state=all&amp;fingerprint={fingerprint}"
    ));
    page.shows_not("<script>alert");
}

/// As it is for a moment after an older build's rows were taken over.
#[tokio::test]
async fn a_row_that_was_not_compared_yet_says_so() {
    let app = TestApp::start().await;
    let failed = Failed::new().insert(&app).await;
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get(&format!("/archives/{}", failed.id)).await;
    page.shows("It is not compared with others yet.");
    browser.get("/groups").await.shows("1 row not counted yet");
}

#[tokio::test]
async fn a_message_without_a_value_and_its_key_are_shown_to_whom_they_may() {
    let app = TestApp::start().await;
    let mut failed = Failed::new();
    (failed.order, failed.step) = (false, "parse");
    failed.payload = Vec::new();
    let failed = failed.insert(&app).await;
    app.schema
        .execute("update failed_order_archives set tombstone = 1, message_key = 'customer <7>'")
        .await;
    let path = format!("/archives/{}", failed.id);
    let page = app.browser(OperatorRole::Operator).await.get(&path).await;
    page.shows("It came without a value");
    page.shows("customer &lt;7&gt;");
    let page = app.browser(OperatorRole::Viewer).await.get(&path).await;
    page.shows_not("customer");
    let token = app.token(OperatorRole::Operator).await;
    let json = app.get(&format!("/api/v1{path}"), &token).await.json();
    assert_eq!(
        (&json["tombstone"], &json["payload"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(json["key"], "customer <7>");
}

/// One group, and its page.
async fn one_group(app: &TestApp) -> (String, String) {
    failed_with(app, "coupon: HTTP 503").await;
    app.count().await;
    let token = app.token(OperatorRole::Viewer).await;
    let found = groups(app, &token, "").await;
    let group = found["items"][0]["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let page = format!("/groups/{group}");
    (group, page)
}

/// Breaks when a group that failed again stays resolved, or one that is left alone comes back.
#[tokio::test]
async fn what_is_said_of_a_group_moves_it_and_a_new_failure_opens_what_was_resolved() {
    let app = TestApp::start().await;
    let (group, page) = one_group(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let say = async |status: &str, version: &str, reason: &str| {
        let fields = [
            ("status", status),
            ("assignee", "root"),
            ("reason", reason),
            ("version", version),
        ];
        browser.submit(&page, &fields).await
    };
    let none = say("ignored", "0", " ").await;
    assert_eq!(none.status, 422);
    none.shows("a reason is needed");
    let said = say("ignored", "0", "known since <May>").await;
    assert_eq!((said.status, said.location.as_deref()), (303, Some(&*page)));
    let list = browser.get("/groups").await;
    list.shows("Nothing is open.");
    let list = browser.get("/groups?show=ignored").await;
    list.shows("looked after by root");
    list.shows("known since &lt;May&gt;");
    // It fails again, and is left alone all the same.
    failed_with(&app, "coupon: HTTP 503").await;
    app.count().await;
    browser.get("/groups").await.shows("Nothing is open.");
    assert_eq!(say("resolved", "1", "deployed 7").await.status, 303);
    browser
        .get("/groups?show=resolved")
        .await
        .shows("deployed 7");
    let mut later = Failed::new();
    "coupon: HTTP 503".clone_into(&mut later.error);
    later.archived_at = Utc::now() + TimeDelta::seconds(5);
    later.insert(&app).await;
    app.count().await;
    let list = browser.get("/groups").await;
    list.shows("failed again after it was resolved");
    browser
        .get("/groups?show=resolved")
        .await
        .shows("No group is marked so.");
    let token = app.token(OperatorRole::Viewer).await;
    let json = app.get(&format!("/api/v1{page}"), &token).await.json();
    assert_eq!(
        (&json["status"], &json["is_back"], &json["mark_version"]),
        (&"open".into(), &true.into(), &2.into())
    );
    assert_eq!(
        app.audited().await,
        [
            ("group.mark", "refused"),
            ("group.mark", "done"),
            ("group.mark", "done"),
        ]
        .map(|(act, outcome)| (act.to_owned(), group.clone(), outcome.to_owned()))
    );
    browser
        .get(&page)
        .await
        .shows("resolved after ignored: deployed 7");
    browser
        .get("/audit")
        .await
        .shows(&format!("href=\"{page}\""));
}

/// Breaks when the version that was seen is not compared.
#[tokio::test]
async fn of_two_who_say_something_at_once_the_second_is_told_by_whom_and_when() {
    let app = TestApp::start().await;
    let (_, page) = one_group(&app).await;
    let path = format!("/api/v1{page}");
    let (operator, root) = (
        app.token(OperatorRole::Operator).await,
        app.token(OperatorRole::Admin).await,
    );
    let say = async |token: &str, body: Value| {
        crate::app::answer(
            app.request(reqwest::Method::PATCH, &path)
                .bearer_auth(token)
                .json(&body),
        )
        .await
    };
    let both = tokio::join!(
        say(
            &operator,
            serde_json::json!({"status": "ignored", "reason": "a", "mark_version": 0})
        ),
        say(
            &root,
            serde_json::json!({"status": "resolved", "reason": "b", "mark_version": 0})
        )
    );
    let (done, refused) = if both.0.status == 200 {
        both
    } else {
        (both.1, both.0)
    };
    assert_eq!(done.status, 200, "{done:?}");
    refused.is_problem(409, "changed");
    let by = done.json()["marked_by"].clone();
    assert_eq!(refused.json()["by"], by);
    assert!(refused.text.contains("look again"));
    // Saying the same again changes nothing, and is no act.
    let status = done.json()["status"].clone();
    let again = say(&root, serde_json::json!({"status": status, "reason": "c"})).await;
    assert_eq!(again.json()["mark_version"], 1);
    let nobody = say(&root, serde_json::json!({"assignee": "no-one-of-ours"})).await;
    nobody.is_problem(422, "invalid");
    let assigned = say(&root, serde_json::json!({"assignee": "root"}))
        .await
        .json();
    assert_eq!(
        (&assigned["assignee"], &assigned["mark_version"]),
        (&"root".into(), &2.into())
    );
    let left = say(&root, serde_json::json!({"assignee": ""})).await.json();
    assert_eq!(left["assignee"], Value::Null);
    for (body, code) in [
        (serde_json::json!({"status": "x"}), "invalid"),
        (serde_json::json!({"odd": 1}), "invalid"),
    ] {
        say(&root, body).await.is_problem(422, code);
    }
    let nothing = app
        .request(reqwest::Method::PATCH, "/api/v1/groups/00000000000000ff")
        .bearer_auth(&root);
    crate::app::answer(nothing.json(&serde_json::json!({"assignee": ""})))
        .await
        .is_problem(404, "not_found");
    let acts = app
        .audited()
        .await
        .into_iter()
        .filter(|(act, ..)| act == "group.mark")
        .count();
    assert_eq!(
        acts, 5,
        "one done, one too late, one unknown, two assignments"
    );
}

/// Breaks when a replay that was undone counts, or one of another group.
#[tokio::test]
async fn how_often_a_group_was_replayed_is_on_its_card() {
    let app = TestApp::start().await;
    let (group, page) = one_group(&app).await;
    for (filter, state) in [
        (&group, "finished"),
        (&group, "running"),
        (&group, "undone"),
        (&"00000000000000ff".to_owned(), "finished"),
    ] {
        sqlx::query("insert into operations (id, kind, asked_by, state, created_at, filter) values (?, 'replay', 'ann', ?, utc_timestamp(3), ?)")
            .bind(uuid::Uuid::now_v7())
            .bind(state)
            .bind(format!("{{\"fingerprint\":\"{filter}\"}}"))
            .execute(&app.schema.pool)
            .await
            .unwrap();
    }
    let viewer = app.browser(OperatorRole::Viewer).await;
    viewer.get("/groups").await.shows("replayed twice");
    let page = viewer.get(&page).await;
    page.shows("replayed twice");
    page.shows("Your role is viewer: this needs operator.");
}
