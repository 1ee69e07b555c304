//! The retry policy, on its page and as JSON: seen, tried out, changed, and who changed it.

use crate::app::{ADMIN, Answer, TestApp, answer};
use identity::OperatorRole;
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/settings/retry-policy";

impl TestApp {
    async fn put_policy(&self, token: &str, version: u32, policy: &Value, reason: &str) -> Answer {
        let body = json!({"version": version, "policy": policy, "reason": reason});
        answer(
            self.request(Method::PUT, PATH)
                .bearer_auth(token)
                .json(&body),
        )
        .await
    }

    async fn policy_audit(&self) -> Vec<(String, String, String)> {
        sqlx::query_as(
            "select operator, outcome, detail from audit_log where act = 'policy.change' order by id",
        )
        .fetch_all(&self.schema.pool)
        .await
        .expect("the audit")
    }
}

#[tokio::test]
async fn the_settings_file_is_the_first_version_and_a_change_is_the_next_with_who_and_why() {
    let app = TestApp::start_with(|settings| settings.compensation.jitter = 0.1).await;
    let token = app.token(OperatorRole::Admin).await;
    let first = app.get(PATH, &token).await;
    assert_eq!(first.status, 200, "{first:?}");
    let first = first.json();
    assert_eq!(
        (&first["version"], &first["changed_by"]),
        (&json!(1), &json!("settings file"))
    );
    let mut policy = first["policy"].clone();
    assert_eq!(policy["jitter"], 0.1);
    assert_eq!(
        first["schedule"]["tries"][0],
        json!({"try": 2, "lane": "retry", "wait": {"earliest_s": 9.0, "latest_s": 11.0},
               "since_first": {"earliest_s": 9.0, "latest_s": 11.0}})
    );
    policy["compensation"] = json!({"max_retries": 1, "retry_delay": [5]});
    let changed = app.put_policy(&token, 1, &policy, " it heals fast ").await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["changed_by"], ADMIN);
    assert_eq!(changed["reason"], "it heals fast");
    assert_eq!(changed["schedule"]["tries"].as_array().unwrap().len(), 3);
    assert_eq!(app.get(PATH, &token).await.json(), changed);
    let versions: Vec<u64> = changed["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|past| past["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [2, 1]);
    let [(by, outcome, detail)] = &app.policy_audit().await[..] else {
        panic!("one line")
    };
    assert_eq!((&by[..], &outcome[..]), (ADMIN, "done"));
    assert_eq!(
        detail,
        "version 2: compensation.max_retries 3 → 1, compensation.retry_delay [10.0,30.0,60.0] → [5.0]; it heals fast"
    );
}

/// Breaks when the version a change was made from is not looked at: the second change takes the first one back unseen.
#[tokio::test]
async fn a_change_made_from_an_old_version_is_refused_and_says_whose_is_newer() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Admin).await;
    let mut policy = app.get(PATH, &token).await.json()["policy"].clone();
    policy["jitter"] = json!(0.3);
    assert_eq!(app.put_policy(&token, 1, &policy, "x").await.status, 200);
    policy["jitter"] = json!(0.4);
    let late = app.put_policy(&token, 1, &policy, "y").await;
    late.is_problem(409, "changed_meanwhile");
    assert_eq!(late.json()["version"], 2);
    assert_eq!(late.json()["by"], ADMIN);
    // From the future is no better.
    app.put_policy(&token, 7, &policy, "y")
        .await
        .is_problem(409, "changed_meanwhile");
    assert_eq!(app.get(PATH, &token).await.json()["policy"]["jitter"], 0.3);
    let outcomes: Vec<String> = app
        .policy_audit()
        .await
        .into_iter()
        .map(|(_, outcome, _)| outcome)
        .collect();
    assert_eq!(outcomes, ["done", "refused", "refused"]);
}

#[tokio::test]
async fn of_many_changes_at_once_one_is_made() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Admin).await;
    let policy = app.get(PATH, &token).await.json()["policy"].clone();
    let answers = futures::future::join_all((0..8).map(|number| {
        let mut policy = policy.clone();
        policy["compensation"]["retry_delay"] = json!([number + 1]);
        let (app, token) = (&app, &token);
        async move { app.put_policy(token, 1, &policy, "race").await.status }
    }))
    .await;
    let done = answers.iter().filter(|status| **status == 200).count();
    assert_eq!(done, 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 409)));
    assert_eq!(app.number("select count(*) from settings").await, 2);
}

#[tokio::test]
async fn a_bad_value_is_refused_with_its_name_and_nothing_is_changed() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Admin).await;
    let policy = app.get(PATH, &token).await.json()["policy"].clone();
    for (pointer, value, field) in [
        (
            "/compensation/max_retries",
            json!(2),
            "compensation.retry_delay",
        ),
        ("/dlq/max_retries", json!(21), "dlq.max_retries"),
        ("/jitter", json!(0.91), "jitter"),
        ("/budget/floor_per_s", json!(0), "budget.floor_per_s"),
        ("/breaker/max_wait_s", json!(0.5), "breaker.max_wait_s"),
    ] {
        let mut bad = policy.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let refused = app.put_policy(&token, 1, &bad, "x").await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.json()["field"], field, "{refused:?}");
        let body = json!({"policy": bad});
        app.post(&format!("{PATH}/preview"), &token, &body)
            .await
            .is_problem(422, "invalid");
    }
    let mut unknown = policy.clone();
    unknown["jitters"] = json!(1);
    for refused in [
        app.put_policy(&token, 1, &policy, "  ").await,
        app.put_policy(&token, 1, &policy, &"x".repeat(501)).await,
        app.put_policy(&token, 1, &unknown, "x").await,
        app.put_policy(&token, 1, &json!({}), "x").await,
    ] {
        refused.is_problem(422, "invalid");
    }
    assert_eq!(app.number("select count(*) from settings").await, 1);
}

#[tokio::test]
async fn a_preview_is_computed_and_changes_nothing() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    let mut policy = app.get(PATH, &token).await.json()["policy"].clone();
    policy["dlq"] = json!({"max_retries": 0, "retry_delay": []});
    let preview = app
        .post(
            &format!("{PATH}/preview"),
            &token,
            &json!({"policy": policy}),
        )
        .await;
    assert_eq!(preview.status, 200, "{preview:?}");
    let preview = preview.json();
    assert_eq!(
        preview["schedule"]["archived"],
        json!({"earliest_s": 80.0, "latest_s": 120.0})
    );
    assert_eq!(app.number("select count(*) from settings").await, 1);
    assert!(app.policy_audit().await.is_empty());
}

#[tokio::test]
async fn the_page_shows_previews_changes_and_says_why_not() {
    let app = TestApp::start().await;
    let admin = app.browser(OperatorRole::Admin).await;
    let page = admin.get("/policy").await;
    page.shows("What rules: version 1");
    page.shows("8 s to 12 s");
    page.shows("6.1 min to 9.2 min");
    let form = |jitter, reason| {
        vec![
            ("version", "1"),
            ("reason", reason),
            ("retries", "2"),
            ("retry_delay", "1, 2"),
            ("dead_retries", "0"),
            ("dead_retry_delay", ""),
            ("jitter", jitter),
            ("retry_after_max", "300"),
            ("budget_share", "0.2"),
            ("budget_floor", "20"),
            ("breaker_orders", "20"),
            ("breaker_within", "10"),
            ("breaker_first_wait", "1"),
            ("breaker_max_wait", "60"),
            ("breaker_open_at_most", "7200"),
            ("release", "10"),
            ("release_at_most", "2000"),
        ]
    };
    let preview = admin.submit("/policy/preview", &form("0", "")).await;
    assert_eq!(preview.status, 200, "{preview:?}");
    preview.shows("What the values below would do");
    preview.shows("jitter 0.2 → 0.0");
    preview.shows("What rules: version 1");
    for (jitter, reason, why) in [
        ("2", "x", "jitter must be between 0 and 0.9, not 2"),
        ("much", "x", "Jitter: &quot;much&quot; is no number"),
        ("0", " ", "reason is missing"),
    ] {
        let refused = admin.submit("/policy", &form(jitter, reason)).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        refused.shows(why);
        refused.shows(&format!("name=\"jitter\" value=\"{jitter}\""));
    }
    let done = admin.submit("/policy", &form("0", "<fast>")).await;
    assert_eq!(done.status, 200, "{done:?}");
    done.shows("Version 2 rules.");
    done.shows("&lt;fast&gt;");
    let late = admin.submit("/policy", &form("0.5", "y")).await;
    assert_eq!(late.status, 409, "{late:?}");
    late.shows("made version 2 meanwhile");
    // Pressed again, it is late again: what was typed is no change of a version nobody has looked at.
    late.shows(r#"name="version" value="1""#);
    late.shows("Begin from version 2");
    let viewer = app.browser(OperatorRole::Viewer).await;
    viewer
        .get("/policy")
        .await
        .shows("disabled title=\"It needs the permission policy.change");
    assert_eq!(viewer.submit("/policy", &form("0", "x")).await.status, 403);
}
