//! Notes beside an archived order.

use crate::{app::TestApp, failed::Failed};
use identity::OperatorRole;
use serde_json::json;
use uuid::Uuid;

/// Breaks when a second click is a second note, markup is not shown as text, or the audit tells what a note says.
#[tokio::test]
async fn a_note_is_kept_with_who_and_when_and_shown_as_text() {
    let app = TestApp::start().await;
    let failed = Failed::new().insert(&app).await;
    let page = format!("/archives/{}", failed.id);
    let path = format!("{page}/notes");
    let browser = app.browser(OperatorRole::Operator).await;
    browser
        .get(&page)
        .await
        .shows("Nobody has written anything yet.");
    let id = Uuid::now_v7().to_string();
    for _ in 0..2 {
        let written = browser
            .submit(
                &path,
                &[("id", &id), ("text", "called him\r\n<b>twice</b>")],
            )
            .await;
        assert_eq!(written.status, 303, "{written:?}");
    }
    let shown = browser.get(&page).await;
    shown.shows("called him\n&lt;b&gt;twice&lt;/b&gt;");
    shown.shows("some-operator");
    for text in ["", &"x".repeat(2_001)] {
        let other = Uuid::now_v7().to_string();
        let refused = browser
            .submit(&path, &[("id", &other), ("text", text)])
            .await;
        assert_eq!(refused.status, 422);
        refused.shows("Nothing was written: a note");
    }
    let viewer = app.browser(OperatorRole::Viewer).await;
    viewer
        .get(&page)
        .await
        .shows("Your role is viewer: this needs operator.");

    let token = app.token(OperatorRole::Operator).await;
    let api = format!("/api/v1{path}");
    let body = json!({"text": "it is settled by hand"});
    let written = app.post(&api, &token, &body).await;
    assert_eq!(written.status, 201, "{written:?}");
    let accepted = app
        .post(&api, &token, &json!({"id": id, "text": "another"}))
        .await;
    accepted.is_problem(409, "id_taken");
    let nowhere = format!("/api/v1/archives/{}/notes", Uuid::now_v7());
    app.post(&nowhere, &token, &body)
        .await
        .is_problem(404, "not_found");
    app.get(&nowhere, &token).await.is_problem(404, "not_found");
    let all = app.get(&api, &token).await.json();
    let texts: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["it is settled by hand", "called him\n<b>twice</b>"]);
    let lines: Vec<String> =
        sqlx::query_scalar("select detail from audit_log where act = 'order.note' order by id")
            .fetch_all(&app.schema.pool)
            .await
            .unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], format!("note {id}"));
}
