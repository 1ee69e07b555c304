//! Admins make operators and take them away; one admin always stays.

use crate::{
    accounts::secret,
    app::{PASSWORD, TestApp},
};
use identity::OperatorRole;
use uuid::Uuid;

async fn id_of(app: &TestApp, name: &str) -> Uuid {
    sqlx::query_scalar("select id from operators where username = ?")
        .bind(name)
        .fetch_one(&app.schema.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_operator_is_made_changed_and_removed_and_all_of_it_is_audited() {
    let app = TestApp::start().await;
    let admin = app.browser(OperatorRole::Admin).await;
    let made = admin
        .submit("/operators", &[("username", " ann "), ("role", "viewer")])
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    let first = secret(&made.text);
    let again = admin
        .submit("/operators", &[("username", "ANN"), ("role", "admin")])
        .await;
    assert_eq!(again.status, 409);
    again.shows("has this name already");
    let bad = admin
        .submit("/operators", &[("username", "a b"), ("role", "admin")])
        .await;
    assert_eq!(bad.status, 409);
    bad.shows("username must be 3 to 64");
    let no_role = admin
        .submit("/operators", &[("username", "bob"), ("role", "king")])
        .await;
    assert_eq!(no_role.status, 422);

    let ann = id_of(&app, "ann").await;
    let role = admin
        .submit(&format!("/operators/{ann}/role"), &[("role", "operator")])
        .await;
    role.shows("ann is an operator from now on");
    let reset = admin
        .submit(&format!("/operators/{ann}/password"), &[])
        .await;
    let second = secret(&reset.text);
    assert_ne!(first, second);
    assert_eq!(app.log_in_browser("ann", &first).await.status, 401);
    let session = app.browser_of("ann", &second).await;
    let removed = admin.submit(&format!("/operators/{ann}/remove"), &[]).await;
    removed.shows("Removed ann.");
    assert_eq!(session.get("/password").await.status, 303, "logged out");
    let gone = admin.submit(&format!("/operators/{ann}/remove"), &[]).await;
    assert_eq!(gone.status, 404);

    let acts: Vec<String> = app
        .audited()
        .await
        .into_iter()
        .map(|(act, subject, outcome)| format!("{act} {subject} {outcome}"))
        .collect();
    assert_eq!(
        acts,
        [
            "operator.create ann done",
            "operator.create ANN refused",
            "operator.create a b refused",
            "operator.set_role ann done",
            "operator.reset_password ann done",
            "operator.remove ann done",
        ]
    );
    let leaked = app
        .number(&format!(
            "select count(*) from audit_log where detail like '%{first}%' or detail like '%{second}%'"
        ))
        .await;
    assert_eq!(leaked, 0);
}

#[tokio::test]
async fn the_last_admin_stays_and_nobody_removes_oneself() {
    let app = TestApp::start().await;
    let admin = app.browser(OperatorRole::Admin).await;
    let root = id_of(&app, "root").await;
    let demoted = admin
        .submit(&format!("/operators/{root}/role"), &[("role", "viewer")])
        .await;
    assert_eq!(demoted.status, 409);
    demoted.shows("this is the last admin");
    let removed = admin
        .submit(&format!("/operators/{root}/remove"), &[])
        .await;
    assert_eq!(removed.status, 409);
    let reset = admin
        .submit(&format!("/operators/{root}/password"), &[])
        .await;
    assert_eq!(reset.status, 409);
    app.operator("second", OperatorRole::Admin).await;
    let second = app.browser_of("second", PASSWORD).await;
    second
        .submit(&format!("/operators/{root}/role"), &[("role", "viewer")])
        .await
        .shows("root is a viewer from now on");
    assert_eq!(admin.get("/operators").await.status, 403);
}
