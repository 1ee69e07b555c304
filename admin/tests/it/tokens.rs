//! Personal tokens: made once, shown once, narrower than their operator, over at their end; and who one is.

use crate::{
    accounts::secret,
    app::{Answer, PASSWORD, TestApp, answer},
    failed::Failed,
};
use identity::{
    OperatorRole,
    operator_tokens::{self, Scope, TokenError},
};
use reqwest::Method;
use serde_json::json;
use std::{str::FromStr as _, time::Duration};

impl TestApp {
    async fn made(&self, by: &str, name: &str, scope: &[&str]) -> Answer {
        let body = json!({"name": name, "scope": scope, "days": 7});
        self.post("/api/v1/tokens", by, &body).await
    }

    pub async fn made_token(&self, by: &str, name: &str, scope: &[&str]) -> String {
        let made = self.made(by, name, scope).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["token"].as_str().expect("a token").to_owned()
    }
}

/// Breaks when the scope is not looked at: then the token replays.
#[tokio::test]
async fn a_token_does_what_its_scope_says_and_no_more() {
    let app = TestApp::start().await;
    let order = Failed::new().insert(&app).await.id;
    let operator = app.token(OperatorRole::Operator).await;
    let token = app
        .made_token(&operator, "charts", &["archives.look"])
        .await;
    assert!(token.starts_with("rdt_"), "{token}");
    assert_eq!(app.get("/api/v1/archives", &token).await.status, 200);
    let body = json!({"kind": "replay", "order_id": order, "reason": "a try"});
    app.post("/api/v1/operations", &token, &body)
        .await
        .is_problem(403, "out_of_scope");
    app.get("/api/v1/archives.csv", &token)
        .await
        .is_problem(403, "out_of_scope");
    let me = app.get("/api/v1/me", &token).await.json();
    assert_eq!(
        me,
        json!({
            "name": "some-operator",
            "role": "operator",
            "must_change_password": false,
            "is_token": true,
            "permissions": ["archives.look"],
        })
    );
    let denied = app
        .number("select count(*) from audit_log where outcome = 'denied' and detail like '%not in the scope of this token'")
        .await;
    assert_eq!(denied, 2);
}

/// Breaks when a scope is taken as it is: then a viewer makes a token that replays, and a token makes others.
#[tokio::test]
async fn nobody_makes_a_token_that_does_more_than_they_may() {
    let app = TestApp::start().await;
    let viewer = app.token(OperatorRole::Viewer).await;
    for scope in [
        &["order.replay"][..],
        &["archives.look", "no.such"],
        &["tokens.manage"],
        &[],
    ] {
        app.made(&viewer, "more", scope)
            .await
            .is_problem(422, "invalid");
    }
    let days = json!({"name": "long", "scope": ["archives.look"], "days": 367});
    app.post("/api/v1/tokens", &viewer, &days)
        .await
        .is_problem(422, "invalid");
    let token = app.made_token(&viewer, "charts", &["archives.look"]).await;
    app.made(&viewer, "CHARTS", &["archives.look"])
        .await
        .is_problem(409, "taken");
    app.made(&token, "another", &["archives.look"])
        .await
        .is_problem(403, "out_of_scope");
}

#[tokio::test]
async fn what_its_operator_may_not_any_more_no_token_may() {
    let app = TestApp::start().await;
    app.operator("ann", OperatorRole::Operator).await;
    let log_in = app.log_in_script("ann", crate::app::PASSWORD).await.json();
    let ann = log_in["access_token"].as_str().unwrap();
    let token = app
        .made_token(ann, "night", &["order.replay", "archives.look"])
        .await;
    app.schema
        .execute("update operators set role = 'viewer' where username = 'ann'")
        .await;
    let body = json!({"kind": "replay", "order_id": uuid::Uuid::now_v7(), "reason": "a try"});
    app.post("/api/v1/operations", &token, &body)
        .await
        .is_problem(403, "forbidden");
    assert_eq!(app.get("/api/v1/archives", &token).await.status, 200);

    let id = app.id_of("ann").await;
    let admin = app.browser(OperatorRole::Admin).await;
    let reset = admin
        .submit(&format!("/operators/{id}/password"), &[])
        .await;
    reset.shows("has no tokens any more");
    app.get("/api/v1/archives", &token)
        .await
        .is_problem(401, "unauthorized");
}

/// Breaks when the end is not looked at.
#[tokio::test]
async fn a_token_is_over_at_its_end_and_when_it_is_ended() {
    let app = TestApp::start().await;
    let viewer = app.token(OperatorRole::Viewer).await;
    let one = app.made_token(&viewer, "one", &["archives.look"]).await;
    let other = app.made_token(&viewer, "other", &["archives.look"]).await;
    app.get("/api/v1/archives", &one).await;
    let listed = app.get("/api/v1/tokens", &viewer).await.json();
    let rows = listed["tokens"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["name"], &rows[1]["name"]),
        (&json!("other"), &json!("one"))
    );
    assert!(rows[1]["seen_at"].is_string() && rows[0]["seen_at"].is_null());
    assert!(!listed.to_string().contains("rdt_"), "{listed}");

    app.schema
        .execute("update operator_tokens set ends_at = utc_timestamp(3) where name = 'one'")
        .await;
    app.get("/api/v1/archives", &one)
        .await
        .is_problem(401, "unauthorized");
    let id = rows[0]["id"].as_str().unwrap();
    let end = async |by: &str| {
        let path = format!("/api/v1/tokens/{id}");
        answer(app.request(Method::DELETE, &path).bearer_auth(by)).await
    };
    let stranger = app.token(OperatorRole::Operator).await;
    end(&stranger).await.is_problem(404, "not_found");
    assert_eq!(end(&viewer).await.status, 204);
    app.get("/api/v1/archives", &other)
        .await
        .is_problem(401, "unauthorized");
    end(&viewer).await.is_problem(404, "not_found");
    assert_eq!(
        app.audited().await,
        [
            ("token.create", "some-viewer", "done"),
            ("token.create", "some-viewer", "done"),
            ("token.end", "some-viewer", "done"),
        ]
        .map(|(act, subject, outcome)| (
            act.to_owned(),
            subject.to_owned(),
            outcome.to_owned()
        ))
    );
}

#[tokio::test]
async fn a_token_is_none_in_a_cookie_and_no_log_in() {
    let app = TestApp::start().await;
    let viewer = app.token(OperatorRole::Viewer).await;
    let token = app.made_token(&viewer, "one", &["archives.look"]).await;
    let in_a_cookie = app
        .request(Method::GET, "/archives")
        .header("Cookie", format!("redress_session={token}"))
        .header("Accept", "text/html");
    assert_eq!(answer(in_a_cookie).await.status, 303);
    let log_out = app.request(Method::DELETE, "/api/v1/sessions");
    answer(log_out.bearer_auth(&token))
        .await
        .is_problem(409, "token");
    assert_eq!(app.get("/api/v1/archives", &token).await.status, 200);
    for path in ["/password", "/logout"] {
        let fields = [
            ("current", PASSWORD),
            ("new", "another one"),
            ("again", "another one"),
        ];
        let asked = app.request(Method::POST, path).form(&fields);
        let turned_away = answer(asked.bearer_auth(&token)).await;
        assert_eq!(turned_away.status, 409, "{path} {turned_away:?}");
    }
    assert_eq!(app.log_in_script("some-viewer", PASSWORD).await.status, 200);
    assert_eq!(
        app.number(
            "select count(*) from audit_log where act in ('session.end', 'password.change')"
        )
        .await,
        0
    );
}

/// Breaks when the account is not looked at again, and locked: then a token made while the password is reset outlives that.
#[tokio::test]
async fn whose_password_was_reset_meanwhile_makes_no_token() {
    let app = TestApp::start().await;
    app.operator("ann", OperatorRole::Viewer).await;
    app.schema
        .execute("update operators set must_change = 1 where username = 'ann'")
        .await;
    let id = identity::OperatorId::from_str(&app.id_of("ann").await.to_string()).unwrap();
    let scope = Scope::new(["archives.look".to_owned()]).unwrap();
    let mut db = app.schema.pool.acquire().await.unwrap();
    let made = operator_tokens::create(&mut db, id, "late", &scope, Duration::from_hours(24)).await;
    assert!(
        matches!(made, Err(TokenError::Invalid(why)) if why.contains("reset")),
        "{made:?}"
    );
}

#[tokio::test]
async fn the_page_makes_them_shows_them_once_and_ends_them() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    browser.get("/tokens").await.shows("No tokens");
    let page = browser.get("/tokens").await;
    page.shows("name=\"archives.export\"");
    page.shows_not("name=\"order.replay\"");
    let fields = [
        ("name", "charts <b>"),
        ("days", "30"),
        ("archives.look", "on"),
    ];
    let made = browser.submit("/tokens", &fields).await;
    assert_eq!(made.status, 200, "{made:?}");
    let token = secret(&made.text);
    assert_eq!(app.get("/api/v1/archives", &token).await.status, 200);
    let page = browser.get("/tokens").await;
    page.shows("charts &lt;b&gt;");
    page.shows_not(&token);
    let none = browser
        .submit("/tokens", &[("name", "x"), ("days", "7")])
        .await;
    assert_eq!(none.status, 422);
    none.shows("choose at least one");
    let soon = [("name", "x"), ("days", "soon"), ("archives.look", "on")];
    assert_eq!(browser.submit("/tokens", &soon).await.status, 422);

    let (_, after) = page.text.split_once("action=\"/tokens/").unwrap();
    let id = after.split('/').next().unwrap();
    let ended = browser.submit(&format!("/tokens/{id}/end"), &[]).await;
    ended.shows("it opens nothing any more");
    app.get("/api/v1/archives", &token)
        .await
        .is_problem(401, "unauthorized");
}

#[tokio::test]
async fn everyone_sees_what_they_may() {
    let app = TestApp::start().await;
    let page = app
        .browser(OperatorRole::Viewer)
        .await
        .get("/permissions")
        .await;
    page.shows("order.replay");
    page.shows("with the role viewer");
    let me = app
        .get("/api/v1/me", &app.token(OperatorRole::Admin).await)
        .await
        .json();
    let all = me["permissions"].as_array().unwrap();
    assert!(all.contains(&json!("operators.manage")) && all.contains(&json!("archives.look")));
}
