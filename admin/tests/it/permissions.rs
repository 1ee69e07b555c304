//! Every route, with every role and without a log-in. What is not in the table below fails the first test.

use crate::{
    app::{Answer, TestApp, answer},
    failed::Failed,
    incidents::told_of,
    transactions::Known,
};
use identity::OperatorRole;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

const ROUTES: &str = include_str!("../../src/routes.rs");

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Anyone, also without a log-in.
    All,
    /// Anyone who is logged in.
    LoggedIn,
    /// From this role on.
    From(OperatorRole),
}

use OperatorRole::{Admin, Operator, Viewer};

/// Method, path (`*` is the id of an archived order, `+` of an operator, `?` of an operation, `!` of a transaction, `#` of an incident),
/// who may.
pub const TABLE: &[(&str, &str, Open)] = &[
    ("GET", "/", Open::From(Viewer)),
    ("GET", "/login", Open::All),
    ("POST", "/login", Open::All),
    ("POST", "/logout", Open::LoggedIn),
    ("GET", "/password", Open::LoggedIn),
    ("POST", "/password", Open::LoggedIn),
    ("GET", "/overview", Open::From(Viewer)),
    ("GET", "/archives", Open::From(Viewer)),
    ("GET", "/archives.csv", Open::From(Viewer)),
    ("GET", "/archives.jsonl", Open::From(Viewer)),
    ("GET", "/archives/*", Open::From(Viewer)),
    ("POST", "/archives/*/replay", Open::From(Operator)),
    ("POST", "/archives/*/notes", Open::From(Operator)),
    ("POST", "/archives/*/discard", Open::From(Operator)),
    ("GET", "/archives/*/edit", Open::From(Viewer)),
    ("POST", "/archives/*/edit", Open::From(Operator)),
    ("POST", "/archives/*/reconcile", Open::From(Operator)),
    ("GET", "/groups", Open::From(Viewer)),
    ("GET", "/groups/00000000000000ff", Open::From(Viewer)),
    ("POST", "/groups/00000000000000ff", Open::From(Operator)),
    ("GET", "/transactions", Open::From(Viewer)),
    ("GET", "/transactions/!", Open::From(Viewer)),
    ("POST", "/transactions/!/rollback", Open::From(Operator)),
    ("POST", "/transactions/!/resume", Open::From(Operator)),
    ("POST", "/transactions/!/stop", Open::From(Operator)),
    ("GET", "/operations", Open::From(Viewer)),
    ("POST", "/operations", Open::From(Operator)),
    ("GET", "/operations/preview", Open::From(Viewer)),
    ("GET", "/operations/?", Open::From(Viewer)),
    ("POST", "/operations/?/cancel", Open::From(Operator)),
    ("POST", "/operations/?/confirm", Open::From(Operator)),
    ("GET", "/alerts", Open::From(Viewer)),
    ("GET", "/alerts/channels", Open::From(Viewer)),
    ("POST", "/alerts/channels/ops/test", Open::From(Operator)),
    ("POST", "/alerts/channels/ops/on", Open::From(Operator)),
    ("GET", "/alerts/*", Open::From(Viewer)),
    ("POST", "/alerts/*/redeliver", Open::From(Operator)),
    ("GET", "/incidents", Open::From(Viewer)),
    ("GET", "/incidents/#", Open::From(Viewer)),
    ("POST", "/incidents/#/acknowledge", Open::From(Operator)),
    ("POST", "/incidents/#/assign", Open::From(Operator)),
    ("POST", "/incidents/#/silence", Open::From(Operator)),
    ("POST", "/incidents/#/unsilence", Open::From(Operator)),
    ("POST", "/incidents/#/close", Open::From(Operator)),
    ("GET", "/sales", Open::From(Viewer)),
    ("GET", "/sales/+", Open::From(Viewer)),
    ("POST", "/sales/+", Open::From(Operator)),
    ("GET", "/compensation-log", Open::From(Viewer)),
    ("GET", "/audit", Open::From(Viewer)),
    ("GET", "/audit.csv", Open::From(Viewer)),
    ("GET", "/audit.jsonl", Open::From(Operator)),
    ("GET", "/report", Open::From(Viewer)),
    ("GET", "/policy", Open::From(Viewer)),
    ("POST", "/policy", Open::From(Admin)),
    ("POST", "/policy/preview", Open::From(Viewer)),
    ("GET", "/operators", Open::From(Admin)),
    ("POST", "/operators", Open::From(Admin)),
    ("POST", "/operators/+/role", Open::From(Admin)),
    ("POST", "/operators/+/password", Open::From(Admin)),
    ("POST", "/operators/+/unlock", Open::From(Admin)),
    ("POST", "/operators/+/remove", Open::From(Admin)),
    ("GET", "/permissions", Open::LoggedIn),
    ("GET", "/tokens", Open::From(Viewer)),
    ("POST", "/tokens", Open::From(Viewer)),
    ("POST", "/tokens/+/end", Open::From(Viewer)),
    ("GET", "/api-docs/openapi.json", Open::All),
    ("GET", "/api/v1/me", Open::LoggedIn),
    ("GET", "/api/v1/tokens", Open::From(Viewer)),
    ("POST", "/api/v1/tokens", Open::From(Viewer)),
    ("DELETE", "/api/v1/tokens/+", Open::From(Viewer)),
    ("POST", "/api/v1/sessions", Open::All),
    ("DELETE", "/api/v1/sessions", Open::LoggedIn),
    ("GET", "/api/v1/overview", Open::From(Viewer)),
    ("GET", "/api/v1/archives", Open::From(Viewer)),
    ("GET", "/api/v1/archives.csv", Open::From(Viewer)),
    ("GET", "/api/v1/archives.jsonl", Open::From(Viewer)),
    ("GET", "/api/v1/archives/*", Open::From(Viewer)),
    ("GET", "/api/v1/archives/*/truth", Open::From(Viewer)),
    ("GET", "/api/v1/archives/*/preview", Open::From(Viewer)),
    ("GET", "/api/v1/archives/*/notes", Open::From(Viewer)),
    ("POST", "/api/v1/archives/*/notes", Open::From(Operator)),
    ("GET", "/api/v1/archives/*/versions", Open::From(Viewer)),
    ("POST", "/api/v1/archives/*/versions", Open::From(Operator)),
    ("POST", "/api/v1/archives/*/discard", Open::From(Operator)),
    ("POST", "/api/v1/archives/*/reconcile", Open::From(Operator)),
    ("GET", "/api/v1/groups", Open::From(Viewer)),
    ("GET", "/api/v1/groups/00000000000000ff", Open::From(Viewer)),
    (
        "PATCH",
        "/api/v1/groups/00000000000000ff",
        Open::From(Operator),
    ),
    ("GET", "/api/v1/transactions", Open::From(Viewer)),
    ("GET", "/api/v1/transactions/!", Open::From(Viewer)),
    (
        "POST",
        "/api/v1/transactions/!/rollback",
        Open::From(Operator),
    ),
    (
        "POST",
        "/api/v1/transactions/!/resume",
        Open::From(Operator),
    ),
    ("POST", "/api/v1/transactions/!/stop", Open::From(Operator)),
    ("GET", "/api/v1/operations", Open::From(Viewer)),
    ("POST", "/api/v1/operations", Open::From(Operator)),
    ("POST", "/api/v1/operations/preview", Open::From(Viewer)),
    ("GET", "/api/v1/operations/?", Open::From(Viewer)),
    ("GET", "/api/v1/operations/?/items", Open::From(Viewer)),
    ("POST", "/api/v1/operations/?/undo", Open::From(Operator)),
    ("POST", "/api/v1/operations/?/confirm", Open::From(Operator)),
    ("GET", "/api/v1/alerts", Open::From(Viewer)),
    ("GET", "/api/v1/alerts/channels", Open::From(Viewer)),
    (
        "POST",
        "/api/v1/alerts/channels/ops/test",
        Open::From(Operator),
    ),
    (
        "POST",
        "/api/v1/alerts/channels/ops/on",
        Open::From(Operator),
    ),
    ("GET", "/api/v1/alerts/*", Open::From(Viewer)),
    ("POST", "/api/v1/alerts/*/redeliver", Open::From(Operator)),
    ("GET", "/api/v1/incidents", Open::From(Viewer)),
    ("GET", "/api/v1/incidents/#", Open::From(Viewer)),
    ("GET", "/api/v1/incidents/#/alerts", Open::From(Viewer)),
    (
        "POST",
        "/api/v1/incidents/#/acknowledge",
        Open::From(Operator),
    ),
    ("POST", "/api/v1/incidents/#/assign", Open::From(Operator)),
    ("POST", "/api/v1/incidents/#/silence", Open::From(Operator)),
    (
        "POST",
        "/api/v1/incidents/#/unsilence",
        Open::From(Operator),
    ),
    ("POST", "/api/v1/incidents/#/close", Open::From(Operator)),
    ("GET", "/api/v1/sales", Open::From(Viewer)),
    ("GET", "/api/v1/sales/+", Open::From(Viewer)),
    ("PATCH", "/api/v1/sales/+", Open::From(Operator)),
    ("GET", "/api/v1/compensation-logs", Open::From(Viewer)),
    ("GET", "/api/v1/audit", Open::From(Viewer)),
    ("GET", "/api/v1/audit.csv", Open::From(Viewer)),
    ("GET", "/api/v1/audit.jsonl", Open::From(Operator)),
    ("GET", "/api/v1/reports/weekly", Open::From(Viewer)),
    ("GET", "/api/v1/settings/retry-policy", Open::From(Viewer)),
    ("PUT", "/api/v1/settings/retry-policy", Open::From(Admin)),
    (
        "POST",
        "/api/v1/settings/retry-policy/preview",
        Open::From(Viewer),
    ),
    ("POST", "/reprocess_order/*", Open::From(Operator)),
];

#[test]
fn the_table_has_every_route() {
    let words = ROUTES.matches("get(").count()
        + ROUTES.matches("post(").count()
        + ROUTES.matches("put(").count()
        + ROUTES.matches("patch(").count()
        + ROUTES.matches("delete(").count();
    assert_eq!(TABLE.len(), words, "a route is missing here, or gone");
}

/// Things the routes are about.
pub struct World {
    pub order: Uuid,
    pub operator: String,
    pub operation: Uuid,
    pub transaction: Uuid,
    pub incident: Uuid,
}

pub async fn world(app: &TestApp) -> World {
    let order = Failed::new().insert(app).await.id;
    let operation = Uuid::now_v7();
    sqlx::query(
        "insert into operations (id, kind, asked_by, state, created_at) values (?, 'replay', 'ann', 'finished', utc_timestamp(3))",
    )
    .bind(operation)
    .execute(&app.schema.pool)
    .await
    .unwrap();
    app.operator("subject", Viewer).await;
    let operator: Uuid = sqlx::query_scalar("select id from operators where username = 'subject'")
        .fetch_one(&app.schema.pool)
        .await
        .unwrap();
    World {
        order,
        operator: operator.to_string(),
        operation,
        transaction: Known::new("stuck_committing").insert(app).await.gid,
        incident: told_of(app, "a server is away").await,
    }
}

impl World {
    pub fn path(&self, path: &str) -> String {
        path.replace('*', &self.order.to_string())
            .replace('+', &self.operator)
            .replace('?', &self.operation.to_string())
            .replace('!', &self.transaction.to_string())
            .replace('#', &self.incident.to_string())
    }
}

/// Whether the route speaks to programs.
pub fn is_json(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/reprocess_order/")
}

/// Whether the answer means that the caller may not.
fn turned_away(path: &str, answer: &Answer) -> bool {
    if is_json(path) {
        matches!(answer.status, 401 | 403)
    } else {
        let at_the_door = answer
            .location
            .as_deref()
            .is_some_and(|to| to.starts_with("/login"));
        answer.status == 403 || (at_the_door && path != "/logout")
    }
}

#[tokio::test]
async fn nobody_who_is_not_logged_in_gets_in() {
    let app = TestApp::start().await;
    let world = world(&app).await;
    for (method, path, open) in TABLE {
        let request = app.request(method.parse().unwrap(), &world.path(path));
        let answer = answer(request.header("Accept", "text/html")).await;
        match open {
            Open::All => assert!(
                !matches!(answer.status, 403 | 303),
                "{method} {path} {answer:?}"
            ),
            _ if is_json(path) => answer.is_problem(401, "unauthorized"),
            _ => {
                assert_eq!(answer.status, 303, "{method} {path} {answer:?}");
                assert!(
                    answer.location.unwrap().starts_with("/login"),
                    "{method} {path}"
                );
            }
        }
    }
    let denied = app
        .number("select count(*) from audit_log where outcome = 'denied' and operator = ''")
        .await;
    assert_eq!(
        denied, 5,
        "a few acts of strangers are written down, not all"
    );
    assert_eq!(
        app.number("select count(*) from operators").await,
        2,
        "nothing was done"
    );
}

#[tokio::test]
async fn every_role_may_do_what_it_may_and_no_more() {
    let app = TestApp::start().await;
    let world = world(&app).await;
    for role in OperatorRole::ALL {
        for (method, path, open) in TABLE {
            if *path == "/logout" || (*method, *path) == ("DELETE", "/api/v1/sessions") {
                continue;
            }
            let browser = app.browser(role).await;
            let method: Method = method.parse().unwrap();
            let mut request = browser
                .request(method.clone(), &world.path(path))
                .header("X-CSRF-Token", &browser.csrf);
            if method == Method::POST {
                request = if is_json(path) {
                    request.json(&json!({}))
                } else {
                    request.form(&[("nothing", "fit")])
                };
            }
            let answer = answer(request).await;
            let may = match open {
                Open::All | Open::LoggedIn => true,
                Open::From(least) => role >= *least,
            };
            let turned_away =
                turned_away(path, &answer) && !answer.text.contains("bad_credentials");
            assert_eq!(!turned_away, may, "{role} {method} {path} {answer:?}");
            assert!(answer.status < 500, "{role} {method} {path} {answer:?}");
        }
    }
}

#[tokio::test]
async fn scripts_have_the_same_roles_and_need_no_csrf_token() {
    let app = TestApp::start().await;
    let world = world(&app).await;
    for role in OperatorRole::ALL {
        let token = app.token(role).await;
        for (method, path, open) in TABLE {
            let Open::From(least) = open else { continue };
            let request = app
                .request(method.parse().unwrap(), &world.path(path))
                .bearer_auth(&token);
            let answer = answer(request).await;
            assert_eq!(
                !turned_away(path, &answer),
                role >= *least,
                "{role} {method} {path} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let app = TestApp::start().await;
    let world = world(&app).await;
    let browser = app.browser(Admin).await;
    let other = app.browser(Viewer).await;
    for (method, path, _) in TABLE {
        let method: Method = method.parse().unwrap();
        if method == Method::GET {
            continue;
        }
        for csrf in [None, Some(""), Some(other.csrf.as_str())] {
            let request = browser.request(method.clone(), &world.path(path));
            let request = match csrf {
                None => request,
                Some(csrf) if is_json(path) => request.header("X-CSRF-Token", csrf),
                Some(csrf) => request.form(&[("csrf", csrf)]),
            };
            let answer = answer(request).await;
            assert_eq!(answer.status, 403, "{method} {path} {csrf:?} {answer:?}");
            if is_json(path) {
                answer.is_problem(403, "csrf");
            }
        }
        let from_elsewhere = browser
            .request(method.clone(), &world.path(path))
            .header("X-CSRF-Token", &browser.csrf)
            .header("Sec-Fetch-Site", "cross-site");
        assert_eq!(answer(from_elsewhere).await.status, 403, "{method} {path}");
    }
    assert_eq!(
        browser.get("/archives").await.status,
        200,
        "still logged in"
    );
    assert_eq!(app.number("select count(*) from operations").await, 1);
    assert_eq!(app.number("select count(*) from operators").await, 3);
}

#[tokio::test]
async fn what_was_denied_is_audited() {
    let app = TestApp::start().await;
    let world = world(&app).await;
    let viewer = app.browser(Viewer).await;
    let path = world.path("/archives/*/replay");
    let refused = viewer.submit(&path, &[]).await;
    assert_eq!(refused.status, 403);
    refused.shows("order.replay");
    let line: (String, String, String, String, String) = sqlx::query_as(
        "select operator, role, act, subject, outcome from audit_log order by id desc limit 1",
    )
    .fetch_one(&app.schema.pool)
    .await
    .unwrap();
    assert_eq!(
        line,
        (
            "some-viewer".to_owned(),
            "viewer".to_owned(),
            "order.replay".to_owned(),
            path,
            "denied".to_owned()
        )
    );
}

#[tokio::test]
async fn a_role_that_was_taken_away_is_gone_at_the_next_request() {
    let app = TestApp::start().await;
    let browser = app.browser(Operator).await;
    app.schema
        .execute("update operators set role = 'viewer' where username = 'some-operator'")
        .await;
    let world = world(&app).await;
    let path = world.path("/archives/*/replay");
    assert_eq!(browser.submit(&path, &[]).await.status, 403);
}

#[tokio::test]
async fn no_get_changes_anything() {
    let app = TestApp::start().await;
    let world = world(&app).await;
    let browser = app.browser(Admin).await;
    let state = async || {
        let mut sums = Vec::new();
        for table in [
            "operators",
            "sales",
            "operator_sessions",
            "operator_tokens",
            "operator_lock_outs",
            "operations",
            "operation_items",
            "failed_order_archives",
            "archive_versions",
            "archive_notes",
            "failure_groups",
            "group_marks",
            "transactions",
            "transaction_branches",
            "compensations",
            "compensation_messages",
            "audit_log",
            "audit_head",
            "settings",
            "weekly_reports",
            "alert_outbox",
            "alert_channels",
        ] {
            let row: (String, Option<i64>) =
                sqlx::query_as(sqlx::AssertSqlSafe(format!("checksum table {table}")))
                    .fetch_one(&app.schema.pool)
                    .await
                    .unwrap();
            sums.push(row);
        }
        sums
    };
    let before = state().await;
    for (method, path, _) in TABLE {
        // An export is written down.
        if *method == "GET" && !path.contains(".csv") && !path.contains(".jsonl") {
            browser.get(&world.path(path)).await;
        }
    }
    assert_eq!(state().await, before);
}
