//! Operations on all that match: looked at first, asked for once, steered by one of two, shown page by page.

use crate::{
    app::{Answer, TestApp, answer},
    failed::Failed,
};
use compensation::operations::{self, State, tick};
use identity::OperatorRole;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Eight rows that each come to something else.
async fn archive(app: &TestApp) -> Vec<Failed> {
    let mut rows = Vec::new();
    // Two orders of two units, and three units left: the second finds too few.
    let first = Failed::new().with_sale(app, 3).await.insert(app).await;
    let mut second = Failed::new();
    second.sale = first.sale;
    let second = second.insert(app).await;
    sqlx::query(
        "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, created_at, decided_at) \
         values (?, ?, 0, ?, ?, 2, 999, 'failed', 'archived', utc_timestamp(3), utc_timestamp(3))",
    )
    .bind(second.id)
    .bind(Uuid::now_v7())
    .bind(second.user)
    .bind(second.sale)
    .execute(&app.schema.pool)
    .await
    .unwrap();
    rows.extend([first, second]);
    rows.push(Failed::new().with_sale(app, 0).await.insert(app).await);
    let settled = Failed::new().with_sale(app, 5).await.insert(app).await;
    sqlx::query("update orders set status = 'confirmed' where id = ?")
        .bind(settled.id)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    rows.push(settled);
    let mut held = Failed::new();
    held.held = true;
    rows.push(held.insert(app).await);
    let mut message = Failed::new();
    message.order = false;
    rows.push(message.insert(app).await);
    let mut handled = Failed::new();
    (handled.handled, handled.resolution) = (true, Some("rejected"));
    rows.push(handled.insert(app).await);
    rows.push(Failed::new().insert(app).await);
    rows
}

/// As the compensator does, until nothing is due.
async fn turns(app: &TestApp) {
    loop {
        let mut tx = app.schema.pool.begin().await.unwrap();
        let Some(mut due) = tick::due(&mut tx).await.unwrap() else {
            return;
        };
        if due.state == State::Waiting && !due.selected_all {
            tick::select_some(&mut tx, &mut due).await.unwrap();
        } else {
            let _ = tick::add_up(&mut tx, &mut due).await.unwrap();
            tick::judge(&mut due).unwrap();
            tick::begin_some(&mut tx, &mut due).await.unwrap();
        }
        tick::save(&mut tx, &due).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn id_of(accepted: &Answer) -> String {
    assert_eq!(accepted.status, 202, "{accepted:?}");
    accepted.json()["operation_id"].as_str().unwrap().to_owned()
}

/// Breaks when the units of a sale are given to each order anew.
#[tokio::test]
async fn a_look_ahead_counts_what_each_would_come_to_and_changes_nothing() {
    let app = TestApp::start().await;
    archive(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let look = async |body: Value| app.post("/api/v1/operations/preview", &token, &body).await;
    let replays = look(json!({"kind": "replay", "filter": {"state": "all"}})).await;
    assert_eq!(replays.status, 200, "{replays:?}");
    assert_eq!(
        replays.json(),
        json!({
            "matches": 8, "more_than": false, "second_person": false, "counted_at_most": 10_000, "replayed": 2, "discarded": 0,
            "refused": {
                "insufficient_stock": 1, "sold_out": 1, "already_resolved": 2, "not_an_order": 1, "not_found": 1
            }
        })
    );
    let discards = look(json!({"kind": "discard", "filter": {}})).await.json();
    assert_eq!(discards["matches"], 7, "open ones when nothing is said");
    assert_eq!(discards["discarded"], 5);
    assert_eq!(
        discards["refused"],
        json!({"already_resolved": 1, "not_found": 1})
    );
    for table in ["operations", "operation_items"] {
        assert_eq!(
            app.number(&format!("select count(*) from {table}")).await,
            0
        );
    }
}

/// Breaks when the group is lost on the way from the list to the preview to the form: the operation would be on all rows.
#[tokio::test]
async fn a_group_is_operated_on_and_nothing_beside_it() {
    let app = TestApp::start().await;
    let rows = archive(&app).await;
    sqlx::query("update failed_order_archives set fingerprint = 7 where id = ?")
        .bind(rows[0].id)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    let group = "0000000000000007";
    let token = app.token(OperatorRole::Operator).await;
    let body = json!({"kind": "replay", "filter": {"state": "all", "fingerprint": group}});
    let seen = app.post("/api/v1/operations/preview", &token, &body).await;
    assert_eq!(seen.json()["matches"], 1, "{seen:?}");
    let bad = json!({"kind": "replay", "filter": {"fingerprint": "7"}});
    let refused = app.post("/api/v1/operations/preview", &token, &bad).await;
    assert_eq!(refused.status, 422, "{refused:?}");

    let browser = app.browser(OperatorRole::Operator).await;
    let list = browser
        .get(&format!("/archives?state=all&fingerprint={group}"))
        .await;
    let hidden = format!(r#"<input type="hidden" name="fingerprint" value="{group}">"#);
    let form = list.text.split("/operations/preview").nth(1).unwrap();
    assert!(form.split("</form>").next().unwrap().contains(&hidden));
    let preview = browser
        .get(&format!(
            "/operations/preview?kind=discard&state=all&fingerprint={group}"
        ))
        .await;
    let form = preview
        .text
        .split(r#"action="/operations""#)
        .nth(1)
        .unwrap();
    assert!(form.contains(&hidden), "{}", preview.text);
    let asked = [
        ("id", Uuid::now_v7().to_string()),
        ("kind", "discard".to_owned()),
        ("state", "all".to_owned()),
        ("fingerprint", group.to_owned()),
        ("reason", "only these".to_owned()),
    ];
    let asked: Vec<(&str, &str)> = asked
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let accepted = browser.submit("/operations", &asked).await;
    assert_eq!(accepted.status, 303, "{accepted:?}");
    let kept: String = sqlx::query_scalar("select cast(filter as char) from operations")
        .fetch_one(&app.schema.pool)
        .await
        .unwrap();
    assert!(kept.contains(group), "{kept}");
}

#[tokio::test]
async fn beyond_what_is_counted_it_says_more_than() {
    let app = TestApp::start().await;
    let digits = "(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 \
                  union all select 6 union all select 7 union all select 8 union all select 9)";
    app.schema
        .execute(&format!(
            "insert into failed_order_archives (id, generation, step, error, attempts, history, storage, payload, headers, held, handled, \
             times_archived, first_failed_at, archived_at)
             select unhex(lpad(hex(n), 32, '0')), 0, 'parse', 'no order', 1, '[]', 'mysql', 'x', '[]', 0, 0, 1, utc_timestamp(3), utc_timestamp(3)
             from (select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + f.d * 10000 as n from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f) n
             where n < 10001"
        ))
        .await;
    let token = app.token(OperatorRole::Operator).await;
    let body = json!({"kind": "discard", "filter": {}});
    let seen = app
        .post("/api/v1/operations/preview", &token, &body)
        .await
        .json();
    assert_eq!(
        (&seen["matches"], &seen["more_than"], &seen["discarded"]),
        (&json!(10_000), &json!(true), &json!(10_000))
    );
    let browser = app.browser(OperatorRole::Operator).await;
    let page = browser.get("/operations/preview?kind=discard").await;
    page.shows("more than 10\u{2009}000");
}

#[tokio::test]
async fn it_is_asked_for_listed_steered_and_audited() {
    let app = TestApp::start().await;
    let rows = archive(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let id = Uuid::now_v7();
    let body = json!({
        "id": id, "kind": "discard", "filter": {"step": "decide"}, "reason": " the cause is gone ", "rate": 5, "canary": false,
        "stop_percent": 50, "grace_s": 600
    });
    let asked = app.post("/api/v1/operations", &token, &body).await;
    assert_eq!(id_of(&asked), id.to_string());
    assert_eq!(asked.location, Some(format!("/api/v1/operations/{id}")));
    // A second click.
    let again = app.post("/api/v1/operations", &token, &body).await;
    assert_eq!(id_of(&again), id.to_string());
    turns(&app).await;
    let path = format!("/api/v1/operations/{id}");
    let found = app.get(&path, &token).await.json();
    assert_eq!(
        (&found["state"], &found["kind"], &found["reason"]),
        (
            &json!("waiting"),
            &json!("discard"),
            &json!("the cause is gone")
        )
    );
    let bulk = &found["bulk"];
    assert_eq!(bulk["filter"], json!({"state": "open", "step": "decide"}));
    assert_eq!(bulk["counts"]["selected"], 7);
    assert_eq!(bulk["selected_all"], true);
    let listed = app.get("/api/v1/operations", &token).await.json();
    assert_eq!(listed["items"][0]["id"], json!(id));
    let items = app
        .get(&format!("{path}/items?state=selected"), &token)
        .await
        .json();
    assert_eq!(items["items"].as_array().unwrap().len(), 7);
    assert_eq!(items["next"], Value::Null);
    let after = items["items"][4]["order_id"].as_str().unwrap();
    let rest = app
        .get(&format!("{path}/items?after={after}"), &token)
        .await
        .json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    app.get(&format!("{path}/items?state=x"), &token)
        .await
        .is_problem(422, "invalid");

    let undo = format!("{path}/undo");
    let undone = app.post(&undo, &token, &json!({})).await;
    assert_eq!(undone.json()["state"], "undone", "{undone:?}");
    let twice = app.post(&undo, &token, &json!({})).await;
    assert_eq!(twice.status, 200, "{twice:?}");
    let other = app.token(OperatorRole::Admin).await;
    let late = app.post(&undo, &other, &json!({})).await;
    late.is_problem(409, "not_now");
    let late = late.json();
    assert_eq!(
        (&late["state"], &late["by"]),
        (&json!("undone"), &json!("some-operator"))
    );
    assert!(late["since"].as_str().unwrap().ends_with('Z'));
    app.post(&format!("{path}/explode"), &token, &json!({}))
        .await
        .is_problem(404, "not_found");
    let line = |act: &str, outcome: &str| (act.to_owned(), id.to_string(), outcome.to_owned());
    assert_eq!(
        app.audited().await,
        [
            line("operation.discard", "done"),
            line("operation.undo", "done"),
            line("operation.undo", "refused")
        ]
    );
    let untouched =
        "select count(*) from failed_order_archives where handled = 0 and operation_id is null";
    assert_eq!(app.number(untouched).await, 7, "{} rows", rows.len());
}

#[tokio::test]
async fn what_an_operation_on_many_says_is_checked() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    for body in [
        json!({"kind": "replay", "filter": {}}),
        json!({"kind": "replay", "filter": {}, "reason": " \n "}),
        json!({"kind": "replay", "filter": {}, "reason": "x".repeat(501)}),
        json!({"kind": "replay", "filter": {}, "reason": "a\u{0}b"}),
        json!({"kind": "replay", "filter": {"buyer": "x"}, "reason": "x"}),
        json!({"kind": "replay", "filter": {"state": "gone"}, "reason": "x"}),
        json!({"kind": "replay", "filter": {"sale": "x"}, "reason": "x"}),
        json!({"kind": "replay", "filter": {"q": "x".repeat(201)}, "reason": "x"}),
        json!({"kind": "replay", "filter": [], "reason": "x"}),
        json!({"kind": "replay", "filter": {}, "reason": "x", "rate": 0}),
        json!({"kind": "replay", "filter": {}, "reason": "x", "rate": 501}),
        json!({"kind": "replay", "filter": {}, "reason": "x", "stop_percent": 101}),
        json!({"kind": "replay", "filter": {}, "reason": "x", "grace_s": 86_401}),
        json!({"kind": "replay", "filter": {}, "reason": "x", "order_id": Uuid::now_v7()}),
        json!({"kind": "replay", "reason": "x", "order_id": Uuid::now_v7(), "rate": 5}),
        json!({"kind": "resolve", "filter": {}, "reason": "x"}),
    ] {
        let refused = app.post("/api/v1/operations", &token, &body).await;
        assert_eq!(refused.status, 422, "{body} {refused:?}");
        refused.is_problem(422, "invalid");
    }
    assert_eq!(app.number("select count(*) from operations").await, 0);
}

#[tokio::test]
async fn from_the_list_to_the_preview_to_the_operation_every_page_renders() {
    let app = TestApp::start().await;
    let rows = archive(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let list = browser.get("/archives?q=Lock&state=open").await;
    list.shows("action=\"/operations/preview\"");
    list.shows("<input type=\"hidden\" name=\"q\" value=\"Lock\">");
    let preview = browser
        .get("/operations/preview?state=open&q=Lock&kind=replay")
        .await;
    assert_eq!(preview.status, 200, "{preview:?}");
    for text in [
        "text Lock",
        "The sale is sold out",
        "would be replayed",
        "name=\"reason\"",
    ] {
        preview.shows(text);
    }
    let id = Uuid::now_v7().to_string();
    let form = |reason: &'static str, id: &'static str| {
        [
            ("id", id),
            ("kind", "replay"),
            ("q", "Lock"),
            ("state", "open"),
            ("reason", reason),
            ("rate", "500"),
            ("stop_percent", "100"),
            ("grace_s", "0"),
        ]
    };
    let id: &'static str = id.leak();
    let without = browser.submit("/operations", &form("  ", id)).await;
    assert_eq!(without.status, 422);
    without.shows("a reason is needed");
    let asked = browser
        .submit("/operations", &form("index <added>", id))
        .await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let path = asked.location.expect("the operation");
    assert_eq!(path, format!("/operations/{id}"));
    let waiting = browser.get(&path).await;
    for text in [
        "index &lt;added&gt;",
        "some-operator",
        "http-equiv=\"refresh\"",
        "/undo\"",
        "Nothing is done yet, and it can be undone.",
    ] {
        waiting.shows(text);
    }
    turns(&app).await;
    app.schema
        .execute("update operations set due_at = utc_timestamp(3)")
        .await;
    turns(&app).await;
    let running = browser.get(&path).await;
    for text in ["requested", "It goes on by itself", "/pause\"", "/cancel\""] {
        running.shows(text);
    }
    running.shows_not("style=\"");
    let other = app.browser(OperatorRole::Admin).await;
    let paused = other.submit(&format!("{path}/pause"), &[]).await;
    assert_eq!(paused.status, 303, "{paused:?}");
    let late = browser.submit(&format!("{path}/pause"), &[]).await;
    assert_eq!(late.status, 409);
    late.shows("it is paused since");
    late.shows("root brought it there");
    let shown = browser.get(&format!("{path}?items=requested")).await;
    shown.shows("Paused by root");
    shown.shows("/resume\"");
    // On the page of an order: its item alone.
    let held = rows.iter().find(|row| row.held).unwrap();
    let detail = browser.get(&format!("/archives/{}", held.id)).await;
    detail.shows(&path);
    let cancelled = answer(
        browser
            .request(Method::POST, &format!("/api/v1{path}/cancel"))
            .header("X-CSRF-Token", &browser.csrf),
    )
    .await;
    assert_eq!(cancelled.json()["state"], "cancelled", "{cancelled:?}");
    let found = operations::find(&app.schema.pool, id.parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.state, State::Cancelled);
    browser.get(&path).await.shows("No further order is begun.");
}

#[tokio::test]
async fn who_may_only_look_sees_why_and_an_address_nobody_made_is_refused() {
    let app = TestApp::start().await;
    let viewer = app.browser(OperatorRole::Viewer).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let token = app.token(OperatorRole::Operator).await;
    let id = Uuid::now_v7();
    let path = format!("/operations/{id}");
    let body = json!({"id": id, "kind": "replay", "filter": {}, "reason": "x", "grace_s": 600});
    id_of(&app.post("/api/v1/operations", &token, &body).await);
    let looked = viewer.get(&path).await;
    looked.shows("It needs the permission operation.steer");
    viewer
        .get("/operations/preview?kind=discard")
        .await
        .shows("It needs the permission order.discard");
    browser.get("/operations").await.shows("have ended");
    browser
        .get("/audit")
        .await
        .shows(&format!("href=\"/operations/{id}\""));
    for bad in [
        "/operations/preview?kind=x",
        "/operations/preview?sale=x",
        "/operations/preview?state=x",
        "/operations?after=x",
    ] {
        assert_eq!(browser.get(bad).await.status, 422, "{bad}");
    }
    assert_eq!(browser.get(&format!("{path}?items=x")).await.status, 422);
}

/// Breaks when who asked can confirm it, the first look is not told of it, or somebody confirms it without the permission.
#[tokio::test]
async fn a_large_discard_waits_for_another_operator() {
    let app = TestApp::start_with(|settings| settings.admin.second_person_above = 1).await;
    for _ in 0..2 {
        Failed::new().with_sale(&app, 5).await.insert(&app).await;
    }
    app.operator("second", OperatorRole::Operator).await;
    let asker = app.browser(OperatorRole::Operator).await;
    let second = app.browser_of("second", crate::app::PASSWORD).await;
    let preview = asker.get("/operations/preview?kind=discard").await;
    preview.shows(
        "These are more than 1: nothing is discarded until another operator has confirmed it.",
    );
    let viewer = app.token(OperatorRole::Viewer).await;
    let body = json!({"kind": "discard", "filter": {}});
    let foreseen = app.post("/api/v1/operations/preview", &viewer, &body).await;
    assert_eq!(foreseen.json()["second_person"], true, "{foreseen:?}");
    let id = Uuid::now_v7().to_string();
    let sent = asker
        .submit(
            "/operations",
            &[
                ("id", &id),
                ("kind", "discard"),
                ("reason", "it is noise"),
                ("rate", "10"),
                ("stop_percent", "10"),
                ("grace_s", "3600"),
            ],
        )
        .await;
    assert_eq!(sent.status, 303, "{sent:?}");
    turns(&app).await;
    let page = sent.location.expect("the operation");
    let shown = asker.get(&page).await;
    for text in [
        "waits for a second person",
        "another operator than some-operator has to confirm it",
        "Who asked for it cannot confirm it: somebody else has to.",
        "<button disabled>Confirm</button>",
    ] {
        shown.shows(text);
    }
    asker
        .get("/operations")
        .await
        .shows("waits for a second person");
    let confirm = format!("{page}/confirm");
    let own = asker.submit(&confirm, &[]).await;
    assert_eq!(own.status, 409);
    own.shows("Nothing was done: who asked for it cannot confirm it");
    let token = app.token(OperatorRole::Operator).await;
    let own = app
        .post(&format!("/api/v1{confirm}"), &token, &json!({}))
        .await;
    own.is_problem(409, "same_person");
    let steers = app
        .made_token(
            &second_token(&app).await,
            "steers",
            &["archives.look", "operation.steer"],
        )
        .await;
    let narrow = app
        .post(&format!("/api/v1{confirm}"), &steers, &json!({}))
        .await;
    narrow.is_problem(403, "out_of_scope");

    second.get(&page).await.shows(">Confirm</button>");
    let confirmed = second.submit(&confirm, &[]).await;
    assert_eq!(confirmed.status, 303, "{confirmed:?}");
    second.get(&page).await.shows("Confirmed by second");
    let json = app.get(&format!("/api/v1{page}"), &token).await.json();
    assert_eq!(
        (
            &json["state"],
            &json["bulk"]["second_person"]["confirmed_by"]
        ),
        (&json!("waiting"), &json!("second"))
    );
    let acts: Vec<_> = app
        .audited()
        .await
        .into_iter()
        .filter(|(act, ..)| act == "operation.confirm")
        .map(|(_, subject, outcome)| (subject, outcome))
        .collect();
    let line = |outcome: &str| (id.clone(), outcome.to_owned());
    assert_eq!(acts, [line("refused"), line("refused"), line("done")]);
}

async fn second_token(app: &TestApp) -> String {
    let answer = app.log_in_script("second", crate::app::PASSWORD).await;
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// Breaks when a discard needs the permission to replay, or a replay may be asked for with that to discard.
#[tokio::test]
async fn a_token_that_may_discard_discards_and_replays_nothing() {
    let app = TestApp::start().await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let operator = app.token(OperatorRole::Operator).await;
    let token = app.made_token(&operator, "broom", &["order.discard"]).await;
    for body in [
        json!({"kind": "replay", "filter": {}, "reason": "x"}),
        json!({"kind": "replay", "order_id": failed.id}),
    ] {
        app.post("/api/v1/operations", &token, &body)
            .await
            .is_problem(403, "out_of_scope");
    }
    for body in [
        json!({"kind": "discard", "filter": {}, "reason": "it is noise"}),
        json!({"kind": "discard", "order_id": failed.id, "reason": "it is noise"}),
    ] {
        let accepted = app.post("/api/v1/operations", &token, &body).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
    }
    let replays = app.made_token(&operator, "again", &["order.replay"]).await;
    let body = json!({"kind": "discard", "filter": {}, "reason": "x"});
    app.post("/api/v1/operations", &replays, &body)
        .await
        .is_problem(403, "out_of_scope");
}
