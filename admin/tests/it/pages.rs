//! What every page has: it renders, it is kept by nobody, it loads nothing from elsewhere; and what the process serves besides.

use crate::{
    app::{Answer, TestApp, answer},
    failed::Failed,
    transactions::Known,
};
use admin::App;
use chrono::{TimeZone as _, Utc};
use identity::OperatorRole;
use reqwest::Method;
use service_kit::settings::Settings;
use std::time::Duration;
use testkit::eventually;
use uuid::Uuid;

#[tokio::test]
async fn every_page_renders_empty_and_full() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Admin).await;
    let pages = [
        "/overview",
        "/archives",
        "/archives?state=all&q=x&sale=0197a000-0000-7000-8000-000000000001&step=decide",
        "/archives?state=handled",
        "/archives?state=all&fingerprint=0000000000000007",
        "/groups",
        "/groups?show=all&sort=last_seen&limit=1",
        "/groups?show=open&sort=open",
        "/groups?show=ignored",
        "/groups?show=resolved&sort=last_seen",
        "/transactions",
        "/transactions?state=stuck&label=0197a000-0000-7000-8000-000000000001&kind=order&participant=x&older_than_s=1",
        "/transactions?state=finished",
        "/operations",
        "/operations/preview",
        "/operations/preview?kind=discard&q=lock&state=all&sale=0197a000-0000-7000-8000-000000000001&step=decide",
        "/alerts",
        "/alerts?show=undelivered",
        "/alerts/channels",
        "/sales",
        "/sales?show=live&limit=1",
        "/sales?show=drifting",
        "/compensation-log",
        "/compensation-log?lane=retry&outcome=failed&until=2026-01-02T03:04",
        "/audit",
        "/audit?subject=nobody",
        "/audit?operator=root&act=x&outcome=denied&operation=0197a000-0000-7000-8000-000000000001&from=2026-07-03&to=2026-07-03T10:00",
        "/policy",
        "/report",
        "/operators",
        "/permissions",
        "/tokens",
        "/password",
        "/nowhere",
    ];
    for full in [false, true] {
        if full {
            let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
            app.count().await;
            for path in ["edit", "edit?from=0"] {
                let page = browser
                    .get(&format!("/archives/{}/{path}", failed.id))
                    .await;
                assert_eq!(page.status, 200, "{page:?}");
                page.shows_not("style=\"");
            }
            let page = browser.get(&format!("/archives/{}", failed.id)).await;
            assert_eq!(page.status, 200, "{page:?}");
            for state in ["begun", "committing", "stuck_committing", "rolled_back"] {
                let mut known = Known::new(state);
                known.branches = vec![("coupon", "unknown")];
                let known = known.insert(&app).await;
                let page = browser.get(&known.page()).await;
                assert_eq!(page.status, 200, "{page:?}");
            }
        }
        for path in pages {
            let page = browser.get(path).await;
            let fine = page.status == 200 || path == "/nowhere";
            assert!(fine, "{path} {page:?}");
            assert_eq!(page.media_type, "text/html; charset=utf-8", "{path}");
            assert_eq!(page.text.matches("</html>").count(), 1, "{path}");
            // The policy forbids both, so the browser would ignore them.
            page.shows_not("style=\"");
            page.shows_not("onclick");
        }
    }
}

#[tokio::test]
async fn pages_are_kept_by_nobody_and_load_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    for path in ["/archives", "/login", "/api/v1/archives", "/health/live"] {
        let page = browser.get(path).await;
        let header = |name: &str| page.headers[name].to_str().expect("text");
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'nonce-",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path} {policy}");
        }
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
    }
    let page = browser.get("/archives").await;
    // The page's own script is the only one that runs, and nobody can know its word beforehand.
    let nonce = |page: &Answer| {
        let policy = page.headers["content-security-policy"].to_str();
        let (_, after) = policy.expect("text").split_once("'nonce-").expect("one");
        after.split('\'').next().unwrap_or_default().to_owned()
    };
    page.shows(&format!("nonce=\"{}\" defer", nonce(&page)));
    assert_eq!(page.text.matches("<script").count(), 1);
    assert_ne!(nonce(&page), nonce(&browser.get("/archives").await));
    for (begin, media_type) in [
        ("href=\"/assets/style-", "text/css; charset=utf-8"),
        ("src=\"/assets/script-", "text/javascript; charset=utf-8"),
        ("href=\"/assets/icon-", "image/svg+xml"),
    ] {
        let (_, after) = page.text.split_once(begin).expect("an asset");
        let name = after.split('"').next().expect("its name");
        let path = format!("{}{name}", &begin[begin.find('/').expect("a path")..]);
        let asset = answer(app.request(Method::GET, &path)).await;
        assert_eq!((asset.status, asset.media_type.as_str()), (200, media_type));
        assert!(
            asset.headers["cache-control"]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
    }
}

#[tokio::test]
async fn health_and_metrics_are_served() {
    let app = TestApp::start().await;
    // A probe has 300 ms: a slow machine takes more now and then.
    let ready = eventually("it is ready", Duration::from_mins(1), || async {
        let ready = answer(app.request(Method::GET, "/health/ready")).await;
        (ready.status == 200).then_some(ready)
    })
    .await;
    assert_eq!(ready.json()["checks"]["mysql"], "ok");
    app.token(OperatorRole::Admin).await;
    let metrics = answer(app.request(Method::GET, "/metrics")).await;
    metrics.shows("build_info");
    metrics.shows("admin_log_ins_total");
    let wrong_method = answer(app.request(Method::PUT, "/archives")).await;
    wrong_method.is_problem(405, "method_not_allowed");
    answer(app.request(Method::GET, "/nowhere"))
        .await
        .is_problem(404, "not_found");
}

#[tokio::test]
async fn without_mysql_it_says_so_and_says_it_is_not_ready() {
    let mut settings = Settings::default();
    // Nobody listens there.
    settings.database.mysql.port = 1;
    let router = admin::router(
        App::new(&settings),
        service_kit::telemetry::metrics("admin").unwrap(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let http = reqwest::Client::new();
    let ready = answer(http.get(format!("{url}/health/ready"))).await;
    assert_eq!(ready.status, 503);
    let page = answer(
        http.get(format!("{url}/archives"))
            .header("Cookie", "redress_session=abc"),
    )
    .await;
    assert_eq!(page.status, 503);
    page.shows("MySQL does not answer");
    let json = answer(
        http.get(format!("{url}/api/v1/archives"))
            .bearer_auth("abc"),
    )
    .await;
    json.is_problem(503, "unavailable");
    assert_eq!(answer(http.get(format!("{url}/login"))).await.status, 200);
}

#[tokio::test]
async fn the_page_of_an_order_looks_as_it_did() {
    let app = TestApp::start().await;
    let mut failed = Failed::new();
    (failed.id, failed.sale) = (Uuid::from_u128(1), Uuid::from_u128(2));
    (failed.user, failed.gid) = (Uuid::from_u128(3), Uuid::from_u128(4));
    failed.archived_at = Utc.with_ymd_and_hms(2026, 7, 3, 10, 0, 0).unwrap();
    failed.history = crate::failed::history(failed.archived_at, 0);
    failed.payload = format!(
        "{{\"version\":1,\"order_id\":\"{}\",\"gid\":\"{}\",\"generation\":0,\"sale_id\":\"{}\",\"user_id\":\"{}\",\"quantity\":2,\"price\":999,\
         \"remark\":\"ring twice\",\"idempotency\":null,\"created_at\":\"2026-07-03T09:00:00Z\"}}",
        failed.id, failed.gid, failed.sale, failed.user
    )
    .into_bytes();
    let failed = failed.with_sale(&app, 5).await.insert(&app).await;
    app.schema
        .execute("update orders set gid = unhex('00000000000000000000000000000005')")
        .await;
    app.schema
        .execute(
            "update sales set starts_at = '2026-07-03 09:00:00', ends_at = '2026-07-03 12:00:00'",
        )
        .await;
    let browser = app.browser(OperatorRole::Operator).await;
    let page = browser.get(&format!("/archives/{}", failed.id)).await;
    let main = between(&page.text, "<main id=\"content\">", "</main>");
    let note = between(main, "name=\"id\" value=\"", "\"");
    let main = main.replace(&browser.csrf, "CSRF").replace(note, "NOTE");
    insta::assert_snapshot!(without_ages(&main));
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, after) = text.split_once(begin).expect("the beginning");
    after.split_once(end).expect("the end").0
}

/// What depends on when the test runs.
fn without_ages(page: &str) -> String {
    let mut parts = page.split("<span class=\"age\">");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("<span class=\"age\">AGE");
        kept.push_str(part.find("</span>").map_or(part, |end| &part[end..]));
    }
    kept
}
