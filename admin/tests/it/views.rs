//! Every page, list, document and export there is, gone through by somebody.

use crate::{
    app::{Answer, TestApp, answer},
    permissions::{TABLE, World, is_json},
};
use identity::OperatorRole;
use reqwest::Method;

/// Views that show more than their route's plain address does.
const MORE: [&str; 10] = [
    "/archives?state=all",
    "/groups?show=all",
    "/groups?show=all&sort=last_seen",
    "/alerts?show=undelivered",
    "/incidents?show=resolved",
    "/transactions?state=all",
    "/api/v1/groups?show=all",
    "/api/v1/incidents?show=resolved",
    "/operations/preview?state=all",
    "/archives?state=all&fingerprint=0000000000000007",
];

/// Gone through by somebody of this role: the address and what came, of all that may be seen.
pub async fn all(app: &TestApp, world: &World, role: OperatorRole) -> Vec<(String, Answer)> {
    let notices: Vec<uuid::Uuid> = sqlx::query_scalar("select distinct id from alert_outbox")
        .fetch_all(&app.schema.pool)
        .await
        .unwrap();
    let gets = TABLE.iter().filter(|(method, ..)| *method == "GET");
    let mut paths: Vec<String> = gets.map(|(_, path, _)| world.path(path)).collect();
    paths.extend(MORE.map(str::to_owned));
    for id in notices {
        paths.extend([format!("/alerts/{id}"), format!("/api/v1/alerts/{id}")]);
    }
    let groups: Vec<u64> = sqlx::query_scalar("select fingerprint from failure_groups")
        .fetch_all(&app.schema.pool)
        .await
        .unwrap();
    for group in groups {
        paths.extend([
            format!("/groups/{group:016x}"),
            format!("/api/v1/groups/{group:016x}"),
        ]);
    }
    let (browser, token) = (app.browser(role).await, app.token(role).await);
    let mut seen = Vec::new();
    for path in paths {
        let view = if is_json(&path) {
            app.get(&path, &token).await
        } else {
            answer(browser.request(Method::GET, &path)).await
        };
        assert!(view.status < 500, "{path} {view:?}");
        seen.push((path, view));
    }
    seen
}

/// What was seen at an address.
#[track_caller]
pub fn at<'a>(seen: &'a [(String, Answer)], path: &str) -> &'a Answer {
    let found = seen.iter().find(|(at, _)| at == path);
    &found
        .unwrap_or_else(|| panic!("{path} was not gone through"))
        .1
}
