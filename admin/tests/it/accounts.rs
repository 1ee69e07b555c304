//! Logging in and out, in browsers and from scripts; passwords.

use crate::app::{ADMIN, PASSWORD, TestApp, answer};
use identity::OperatorRole;
use reqwest::Method;
use service_kit::settings::{Environment, Secret};

#[tokio::test]
async fn a_browser_logs_in_goes_where_it_wanted_to_and_logs_out() {
    let app = TestApp::start().await;
    let turned_away = answer(app.request(Method::GET, "/archives?q=a%20b&state=all")).await;
    assert_eq!(turned_away.status, 303);
    let door = turned_away.location.expect("the door");
    assert_eq!(door, "/login?next=/archives%3Fq%3Da%2520b%26state%3Dall");
    let form = answer(app.request(Method::GET, &door)).await;
    form.shows("name=\"next\" value=\"/archives?q=a%20b&amp;state=all\"");
    let fields = [
        ("username", "ROOT"),
        ("password", PASSWORD),
        ("next", "/archives?q=a%20b&state=all"),
    ];
    let logged_in = answer(app.request(Method::POST, "/login").form(&fields)).await;
    assert_eq!(
        (logged_in.status, logged_in.location.as_deref()),
        (303, Some("/archives?q=a%20b&state=all"))
    );
    let cookie = logged_in.cookie.clone().expect("a cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");

    let browser = app.browser_of(ADMIN, PASSWORD).await;
    let page = browser.get("/archives").await;
    assert_eq!(page.status, 200);
    page.shows("<strong>root</strong>");
    let again = browser.get("/login").await;
    assert_eq!((again.status, again.location.as_deref()), (303, Some("/")));
    let out = browser.submit("/logout", &[]).await;
    assert_eq!((out.status, out.location.as_deref()), (303, Some("/login")));
    assert!(out.cookie.expect("none").contains("Max-Age=0"));
    assert_eq!(browser.get("/archives").await.status, 303);
}

#[tokio::test]
async fn a_log_in_leads_nowhere_else() {
    let app = TestApp::start().await;
    for next in ["//evil.example/", "https://evil.example", "/\\evil.example"] {
        let fields = [("username", ADMIN), ("password", PASSWORD), ("next", next)];
        let logged_in = answer(app.request(Method::POST, "/login").form(&fields)).await;
        assert_eq!(
            (logged_in.status, logged_in.location.as_deref()),
            (303, Some("/")),
            "{next}"
        );
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_written_down() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        let wrong = app.log_in_browser(ADMIN, "not the password").await;
        assert_eq!(wrong.status, 401);
        wrong.shows("the password is wrong");
        assert!(wrong.cookie.is_none());
    }
    let throttled = app.log_in_browser(ADMIN, PASSWORD).await;
    assert_eq!(throttled.status, 429);
    let by_script = app.log_in_script("Root", PASSWORD).await;
    by_script.is_problem(429, "too_many_attempts");
    assert!(by_script.headers.contains_key("retry-after"));
    app.log_in_script("nobody", PASSWORD)
        .await
        .is_problem(401, "bad_credentials");
    let denied: Vec<(String, String, String)> = sqlx::query_as(
        "select subject, detail, address from audit_log where act = 'session.open' and outcome = 'denied' order by id",
    )
    .fetch_all(&app.schema.pool)
    .await
    .unwrap();
    assert_eq!(denied.len(), 6);
    let line = |subject: &str, detail: &str| {
        (
            subject.to_owned(),
            detail.to_owned(),
            "127.0.0.1".to_owned(),
        )
    };
    assert_eq!(denied[0], line("root", "wrong password"));
    assert_eq!(
        denied[5],
        line("", "no such operator"),
        "it may be a password"
    );
}

/// Breaks when the wait does not grow, or is kept by each process for itself.
#[tokio::test]
async fn each_further_wrong_password_waits_twice_as_long_until_an_admin_lets_them_in() {
    let app = TestApp::start().await;
    app.operator("ann", OperatorRole::Viewer).await;
    for _ in 0..5 {
        assert_eq!(app.log_in_browser("ann", "a wrong one").await.status, 401);
    }
    let waits = async || {
        app.number("select timestampdiff(second, tried_at, waits_until) from operator_lock_outs")
            .await
    };
    assert_eq!(waits().await, 60);
    // The minute is over.
    let over = "update operator_lock_outs set waits_until = utc_timestamp(3)";
    app.schema.execute(over).await;
    assert_eq!(app.log_in_browser("ann", "a wrong one").await.status, 401);
    assert_eq!(waits().await, 120);
    let right = app.log_in_browser("ann", PASSWORD).await;
    assert_eq!(right.status, 429);

    let admin = app.browser(OperatorRole::Admin).await;
    let page = admin.get("/operators").await;
    page.shows("no log-in before");
    page.shows("/unlock\"");
    let id = app.id_of("ann").await;
    let path = format!("/operators/{id}/unlock");
    admin
        .submit(&path, &[])
        .await
        .shows("ann may try again at once");
    assert_eq!(admin.submit(&path, &[]).await.status, 409);
    assert_eq!(app.log_in_browser("ann", PASSWORD).await.status, 303);
    assert_eq!(
        app.number("select count(*) from operator_lock_outs").await,
        0
    );
}

#[tokio::test]
async fn a_script_logs_in_and_out() {
    let app = TestApp::start().await;
    let logged_in = app.log_in_script(ADMIN, PASSWORD).await;
    assert_eq!(logged_in.status, 200);
    let body = logged_in.json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&"Bearer".into(), &43200.into())
    );
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(app.get("/api/v1/archives", token).await.status, 200);
    let out = answer(
        app.request(Method::DELETE, "/api/v1/sessions")
            .bearer_auth(token),
    )
    .await;
    assert_eq!(out.status, 204);
    app.get("/api/v1/archives", token)
        .await
        .is_problem(401, "unauthorized");
    let acts: Vec<_> = app.audited().await.into_iter().map(|line| line.0).collect();
    assert_eq!(acts, ["session.end"]);
}

#[tokio::test]
async fn a_cookies_secret_is_no_bearer_token_nor_the_other_way_round() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Admin).await;
    app.get("/api/v1/archives", &browser.cookie)
        .await
        .is_problem(401, "unauthorized");
    let token = app.token(OperatorRole::Admin).await;
    let as_cookie = app
        .request(Method::GET, "/api/v1/archives")
        .header("Cookie", format!("redress_session={token}"));
    answer(as_cookie).await.is_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_password_made_by_somebody_else_opens_only_the_page_that_changes_it() {
    let app = TestApp::start().await;
    let admin = app.browser(OperatorRole::Admin).await;
    let made = admin
        .submit("/operators", &[("username", "ann"), ("role", "operator")])
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    let password = secret(&made.text);

    let ann = app.browser_of("ann", &password).await;
    for path in ["/", "/archives", "/audit", "/archives.csv"] {
        let turned_away = ann.get(path).await;
        assert_eq!(
            (turned_away.status, turned_away.location.as_deref()),
            (303, Some("/password")),
            "{path}"
        );
    }
    ann.get("/api/v1/archives")
        .await
        .is_problem(403, "must_change_password");
    ann.get("/password")
        .await
        .shows("was made by somebody else");

    let change = |current: &str, new: &str, again: &str| {
        [
            ("current", current.to_owned()),
            ("new", new.to_owned()),
            ("again", again.to_owned()),
        ]
    };
    for (fields, complaint) in [
        (
            change(&password, "new password", "other"),
            "not the same twice",
        ),
        (
            change("wrong", "new password", "new password"),
            "current password is wrong",
        ),
        (change(&password, "short", "short"), "8 to 128"),
        (change(&password, &password, &password), "is the old one"),
    ] {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let refused = ann.submit("/password", &fields).await;
        assert_eq!(refused.status, 422);
        refused.shows(complaint);
    }
    let fields = [
        ("current", password.as_str()),
        ("new", "new password"),
        ("again", "new password"),
    ];
    let changed = ann.submit("/password", &fields).await;
    assert_eq!(
        (changed.status, changed.location.as_deref()),
        (303, Some("/"))
    );
    assert_eq!(
        ann.get("/archives").await.status,
        303,
        "the old log-in ended"
    );
    let ann = app.browser_of("ann", "new password").await;
    assert_eq!(ann.get("/archives").await.status, 200);
    assert_eq!(app.log_in_browser("ann", &password).await.status, 401);
}

/// The password that is shown once.
pub fn secret(page: &str) -> String {
    let (_, after) = page.split_once("data-copy>").expect("a password");
    after.split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn in_production_the_cookie_goes_over_https_only() {
    let app = TestApp::start_with(|settings| settings.environment = Environment::Production).await;
    let logged_in = app.log_in_browser(ADMIN, PASSWORD).await;
    assert!(logged_in.cookie.expect("a cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn a_screen_somebody_walked_away_from_is_logged_out() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Admin).await;
    app.schema
        .execute("update operator_sessions set seen_at = utc_timestamp(3) - interval 31 minute")
        .await;
    assert_eq!(browser.get("/archives").await.status, 303);
}

/// Breaks when a request that no person made counts as one.
#[tokio::test]
async fn a_page_that_looks_again_by_itself_keeps_no_screen_logged_in() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Admin).await;
    let unseen = async || {
        app.number("select timestampdiff(minute, seen_at, utc_timestamp(3)) from operator_sessions")
            .await
    };
    app.schema
        .execute("update operator_sessions set seen_at = utc_timestamp(3) - interval 20 minute")
        .await;
    let live = browser
        .request(Method::GET, "/overview")
        .header("X-Live", "1");
    let page = answer(live).await;
    assert_eq!(page.status, 200);
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("connect-src 'self'")
    );
    page.shows("id=\"figures\" data-live");
    assert!(unseen().await >= 20);
    assert_eq!(browser.get("/overview").await.status, 200);
    assert!(unseen().await < 20, "a person was there");
    app.schema
        .execute("update operator_sessions set seen_at = utc_timestamp(3) - interval 31 minute")
        .await;
    let live = browser
        .request(Method::GET, "/overview")
        .header("X-Live", "1");
    assert_eq!(answer(live).await.status, 303);
}

#[tokio::test]
async fn the_first_admin_is_made_once_and_a_generated_password_must_be_changed() {
    let app = TestApp::start_with(|settings| {
        settings.admin.first_admin.password = Secret::default();
    })
    .await;
    let made = app
        .number("select count(*) from operators where role = 'admin' and must_change = 1")
        .await;
    assert_eq!(made, 1);
    assert_eq!(app.log_in_browser(ADMIN, "").await.status, 401);
}
