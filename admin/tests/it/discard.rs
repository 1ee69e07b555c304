//! One order given up for good: what it would mean, the button, the JSON, and what is refused.

use crate::{app::TestApp, failed::Failed, transactions::Known};
use identity::OperatorRole;
use serde_json::{Value, json};
use uuid::Uuid;

/// Breaks when a reason is not asked for, a second click is a second operation, or an act or its refusal is not audited.
#[tokio::test]
async fn one_click_with_a_reason_discards_and_the_second_is_told_who_and_when() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let page = format!("/archives/{}", failed.id);
    let viewer = app.browser(OperatorRole::Viewer).await;
    viewer
        .get(&page)
        .await
        .shows("Your role is viewer: this needs operator.");
    let browser = app.browser(OperatorRole::Operator).await;
    browser
        .get(&page)
        .await
        .shows("The order stays failed: it has no units, and its buyer gets none.");
    let path = format!("{page}/discard");
    for reason in [" ", &"x".repeat(501)] {
        let refused = browser.submit(&path, &[("reason", reason)]).await;
        assert_eq!(refused.status, 422);
        refused.shows("Nothing was done: a reason");
    }
    assert_eq!(app.number("select count(*) from operations").await, 0);

    let asked = browser
        .submit(&path, &[("reason", " it was paid by hand ")])
        .await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let operation = asked.location.expect("the operation");
    let shown = browser.get(&operation).await;
    for text in ["Discard", "it was paid by hand", "some-operator"] {
        shown.shows(text);
    }
    let again = browser.submit(&path, &[("reason", "me too")]).await;
    assert_eq!(again.status, 409);
    again.shows("some-operator is discarding it since");
    let token = app.token(OperatorRole::Operator).await;
    let body = json!({"reason": "me too"});
    let again = app.post(&format!("/api/v1{path}"), &token, &body).await;
    again.is_problem(409, "discarding");
    assert_eq!(again.json()["by"], "some-operator");
    let subject = failed.id.to_string();
    let line = |outcome: &str| {
        (
            "order.discard".to_owned(),
            subject.clone(),
            outcome.to_owned(),
        )
    };
    assert_eq!(
        app.audited().await,
        [line("done"), line("refused"), line("refused")]
    );
    for (state, reason, sentence) in [
        ("discarded", "null", "It was given up for good."),
        (
            "refused",
            "'already_resolved'",
            "It was not discarded. The order is settled",
        ),
    ] {
        let end = format!(
            "update operation_items set state = '{state}', reason = {reason}, finished_at = utc_timestamp(3)"
        );
        app.schema.execute(&end).await;
        browser.get(&operation).await.shows(sentence);
    }
}

#[tokio::test]
async fn programs_discard_one_the_same_two_ways() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let one = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let mut message = Failed::new();
    message.order = false;
    let message = message.insert(&app).await;
    let bare = json!({"kind": "discard", "order_id": one.id});
    let refused = app.post("/api/v1/operations", &token, &bare).await;
    refused.is_problem(422, "invalid");
    let whole = json!({"kind": "discard", "order_id": one.id, "reason": "it was paid by hand"});
    let accepted = app.post("/api/v1/operations", &token, &whole).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let path = format!("/api/v1/archives/{}/discard", message.id);
    for body in [json!({}), json!({"reason": "x", "rate": 3})] {
        app.post(&path, &token, &body)
            .await
            .is_problem(422, "invalid");
    }
    let accepted = app
        .post(&path, &token, &json!({"reason": "it is noise"}))
        .await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let kinds = "select count(*) from operations where kind = 'discard' and state = 'running' and filter is null";
    assert_eq!(app.number(kinds).await, 2);
}

#[tokio::test]
async fn what_cannot_be_discarded_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let mut handled = Failed::new();
    (handled.handled, handled.resolution) = (true, Some("rejected"));
    let handled = handled.insert(&app).await.id;
    let settled = Failed::new().with_sale(&app, 5).await.insert(&app).await.id;
    app.schema
        .execute("update orders set status = 'confirmed'")
        .await;
    let unknown = Failed::new().insert(&app).await.id;
    let stuck = Known::new("stuck_committing").insert(&app).await;
    let letter = compensation::archive::transaction::id_of(stuck.gid);
    let mut transaction = Failed::new();
    (transaction.id, transaction.order) = (letter, false);
    let transaction = transaction.insert(&app).await.id;
    sqlx::query("update failed_order_archives set gid = ? where id = ?")
        .bind(stuck.gid)
        .bind(transaction)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    for (id, code) in [
        (handled, "already_resolved"),
        (settled, "already_resolved"),
        (unknown, "not_found"),
        (transaction, "a_transaction"),
    ] {
        let preview = app
            .get(&format!("/api/v1/archives/{id}/preview"), &token)
            .await;
        assert_eq!(preview.json()["discard"]["refusal"], code, "{preview:?}");
        let path = format!("/api/v1/archives/{id}/discard");
        let refused = app.post(&path, &token, &json!({"reason": "x"})).await;
        refused.is_problem(409, code);
    }
    let nobody = format!("/api/v1/archives/{}/discard", Uuid::now_v7());
    let refused = app.post(&nobody, &token, &json!({"reason": "x"})).await;
    refused.is_problem(404, "not_found");
    let mut held = Failed::new();
    held.held = true;
    let held = held.insert(&app).await.id;
    let preview = app
        .get(&format!("/api/v1/archives/{held}/preview"), &token)
        .await
        .json();
    assert_eq!(preview["discard"]["refusal"], Value::Null);
    assert!(
        preview["discard"]["sentence"]
            .as_str()
            .unwrap()
            .contains("go back to the sale")
    );
    assert_eq!(app.number("select count(*) from operations").await, 0);
}
