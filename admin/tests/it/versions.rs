//! Editing an archived order: which fields, by whom, what is kept, and two people at once.

use crate::{
    app::{Browser, TestApp},
    failed::Failed,
};
use identity::OperatorRole;
use serde_json::{Value, json};

struct Edited {
    app: TestApp,
    failed: Failed,
}

impl Edited {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
        Self { app, failed }
    }

    fn page(&self) -> String {
        format!("/archives/{}", self.failed.id)
    }

    fn edit(&self) -> String {
        format!("{}/edit", self.page())
    }

    fn api(&self) -> String {
        format!("/api/v1{}/versions", self.page())
    }

    async fn save(&self, browser: &Browser<'_>, fields: &[(&str, &str)]) -> crate::app::Answer {
        browser.submit(&self.edit(), fields).await
    }

    /// What is asked of the one version there is, as JSON.
    async fn post(&self, role: OperatorRole, body: Value) -> crate::app::Answer {
        let token = self.app.token(role).await;
        self.app.post(&self.api(), &token, &body).await
    }

    /// What the audit tells of what was done to orders.
    async fn details(&self) -> Vec<String> {
        sqlx::query_scalar("select detail from audit_log where act like 'order.%' order by id")
            .fetch_all(&self.app.schema.pool)
            .await
            .unwrap()
    }

    async fn versions(&self) -> i64 {
        let sql = "select count(*) from archive_versions where number > 0";
        self.app.number(sql).await
    }
}

/// Number, the one it was made from, and what was changed, of all versions.
fn told(all: &Value) -> Vec<(Value, Value, Value)> {
    let versions = all["versions"].as_array().unwrap();
    let fields = |it: &Value| {
        let field = |name: &str| it[name].clone();
        (field("version"), field("made_from"), field("changed"))
    };
    versions.iter().map(fields).collect()
}

fn quantity(revision: u32, units: u32) -> Value {
    json!({"revision": revision, "reason": "he wanted more", "fields": {"quantity": units}})
}

/// Breaks when what came is written over, a value is told in the audit, or a replay does not name the version that was chosen.
#[tokio::test]
async fn an_order_is_edited_looked_at_side_by_side_and_replayed_as_chosen() {
    let edited = Edited::start().await;
    let browser = edited.app.browser(OperatorRole::Operator).await;
    let form = browser.get(&edited.edit()).await;
    for text in [
        "As it came",
        "&lt;b&gt;ring twice&lt;/b&gt;",
        "name=\"quantity\" value=\"2\"",
        "It needs the permission order.edit_price, which the role admin has.",
        "name=\"revision\" value=\"0\"",
    ] {
        form.shows(text);
    }
    form.shows_not("secret-key");
    let saved = edited
        .save(
            &browser,
            &[
                ("revision", "0"),
                ("from", "0"),
                ("quantity", "3"),
                ("remark", "ring\r\nonce"),
                ("reason", "he wanted more"),
            ],
        )
        .await;
    assert_eq!(saved.status, 303, "{saved:?}");
    let page = format!("{}?version=1", edited.page());
    assert_eq!(saved.location.as_deref(), Some(page.as_str()));
    let shown = browser.get(&page).await;
    for text in [
        "edited",
        "Version 1 is an order of 3 units.",
        "3 units would be reserved again",
        "name=\"version\" value=\"1\"",
    ] {
        shown.shows(text);
    }
    let came = browser.get(&format!("{}?version=0", edited.page())).await;
    came.shows("As it came it is an order of 2 units.");
    let beside = browser.get(&edited.edit()).await;
    for text in [
        "<mark>3</mark>",
        "<mark>ring\nonce</mark>",
        "&lt;b&gt;ring twice&lt;/b&gt;",
        "he wanted more",
        "some-operator",
    ] {
        beside.shows(text);
    }
    let viewer = edited.app.browser(OperatorRole::Viewer).await;
    let masked = viewer.get(&edited.edit()).await;
    masked.shows_not("ring");
    masked.shows("Your role is viewer: this needs operator.");

    let second = edited.post(OperatorRole::Admin, json!({"revision": 1, "from": 0, "reason": "a rebate", "fields": {"price": 900, "quantity": 2}})).await;
    assert_eq!((second.status, &second.json()["version"]), (201, &json!(2)));
    let token = edited.app.token(OperatorRole::Operator).await;
    let all = edited.app.get(&edited.api(), &token).await.json();
    assert_eq!(all["revision"], 2);
    assert_eq!(
        told(&all),
        [
            (json!(0), Value::Null, json!([])),
            (json!(1), json!(0), json!(["quantity", "remark"])),
            (json!(2), json!(0), json!(["price"])),
        ]
    );
    let original: Vec<u8> =
        sqlx::query_scalar("select payload from archive_versions where number = 0")
            .fetch_one(&edited.app.schema.pool)
            .await
            .unwrap();
    assert_eq!(original, edited.failed.payload);

    let replayed = browser
        .submit(
            &format!("{}/replay", edited.page()),
            &[("version", "1"), ("reason", "")],
        )
        .await;
    assert_eq!(replayed.status, 303, "{replayed:?}");
    let chosen = "select cast(version as signed) from operation_items";
    assert_eq!(edited.app.number(chosen).await, 1);
    let details = edited.details().await;
    assert_eq!(
        details[..2],
        [
            "he wanted more (version 1 of 0: quantity 2 to 3, remark)",
            "a rebate (version 2 of 0: price)",
        ]
    );
    assert!(details[2].contains(", version 1"), "{details:?}");
    // In hand, nobody edits it.
    let late = edited.post(OperatorRole::Operator, quantity(2, 4)).await;
    late.is_problem(409, "replaying");
    assert_eq!(late.json()["by"], "some-operator");
    assert_eq!(edited.versions().await, 2);
}

/// Breaks when a field is taken that nobody may change, or a refusal is not told at its field.
#[tokio::test]
async fn each_refusal_is_at_its_field() {
    let edited = Edited::start().await;
    let body = |fields: Value| json!({"revision": 0, "reason": "x", "fields": fields});
    for (fields, field) in [
        (json!({"quantity": 0}), "quantity"),
        (json!({"quantity": "3"}), "quantity"),
        // The sale allows five.
        (json!({"quantity": 6}), "quantity"),
        (json!({"remark": "x".repeat(501)}), "remark"),
        (json!({"price": -1}), "price"),
        (
            json!({"user_id": "0197a000-0000-7000-8000-000000000001"}),
            "user_id",
        ),
        (json!({"idempotency": null}), "idempotency"),
        (json!({"colour": "red"}), "colour"),
        (json!({}), "fields"),
        (json!({"quantity": 2}), "fields"),
    ] {
        let refused = edited.post(OperatorRole::Admin, body(fields.clone())).await;
        refused.is_problem(422, "invalid");
        let errors = refused.json()["errors"].clone();
        assert!(errors[field].is_string(), "{fields} {errors}");
        assert_eq!(errors.as_object().unwrap().len(), 1, "{fields} {errors}");
    }
    let refused = edited
        .post(
            OperatorRole::Admin,
            json!({"revision": 0, "fields": {"quantity": 3}}),
        )
        .await;
    refused.is_problem(422, "invalid");
    assert!(refused.json()["errors"]["reason"].is_string());
    let price = edited
        .post(OperatorRole::Operator, body(json!({"price": 1})))
        .await;
    price.is_problem(403, "forbidden");
    let denied = edited.app.audited().await;
    assert_eq!(
        (denied[0].0.as_str(), denied[0].2.as_str()),
        ("order.edit_price", "denied")
    );

    let browser = edited.app.browser(OperatorRole::Operator).await;
    let typed = [
        ("revision", "0"),
        ("from", "0"),
        ("quantity", "many"),
        ("remark", "kept as typed"),
        ("reason", "x"),
    ];
    let refused = edited.save(&browser, &typed).await;
    assert_eq!(refused.status, 422);
    for text in [
        "it is a whole number from 1 to 100",
        "value=\"many\"",
        "kept as typed",
    ] {
        refused.shows(text);
    }
    assert_eq!(edited.versions().await, 0);
}

/// Breaks when the second of two who edit at once is not told, or a second click makes a second version.
#[tokio::test]
async fn of_two_who_edit_at_once_the_second_is_told_who_and_when() {
    let edited = Edited::start().await;
    let first = edited.post(OperatorRole::Operator, quantity(0, 3)).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = edited.post(OperatorRole::Operator, quantity(0, 3)).await;
    assert_eq!((again.status, &again.json()["version"]), (201, &json!(1)));
    let other = edited.post(OperatorRole::Admin, quantity(0, 4)).await;
    other.is_problem(409, "edited_meanwhile");
    assert_eq!(
        (&other.json()["by"], &other.json()["version"]),
        (&json!("some-operator"), &json!(1))
    );
    let browser = edited.app.browser(OperatorRole::Admin).await;
    let typed = [
        ("revision", "0"),
        ("from", "0"),
        ("quantity", "4"),
        ("price", "999"),
        ("remark", "mine"),
        ("reason", "he wanted more"),
    ];
    let refused = edited.save(&browser, &typed).await;
    assert_eq!(refused.status, 409);
    for text in [
        "Nothing was saved: some-operator saved version 1 at",
        "mine",
        "name=\"revision\" value=\"1\"",
        "<mark>3</mark>",
    ] {
        refused.shows(text);
    }
    assert_eq!(edited.versions().await, 1);
    let both = tokio::join!(
        edited.post(OperatorRole::Operator, quantity(1, 4)),
        edited.post(OperatorRole::Admin, quantity(1, 5)),
    );
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let acts = edited.app.audited().await;
    assert_eq!(
        acts.iter().filter(|(_, _, how)| how == "done").count(),
        2,
        "{acts:?}"
    );
}

/// Breaks when the preview, or the act, looks at the units of the message that came.
#[tokio::test]
async fn more_units_than_there_are_is_told_before_the_replay_and_refused() {
    let edited = Edited::start().await;
    edited
        .app
        .schema
        .execute("update sale_inventory set available = 2, sold = 8")
        .await;
    let saved = edited.post(OperatorRole::Operator, quantity(0, 3)).await;
    assert_eq!(saved.status, 201, "{saved:?}");
    let browser = edited.app.browser(OperatorRole::Operator).await;
    let page = browser.get(&edited.page()).await;
    page.shows("The sale has fewer units left than the order wants.");
    page.shows("disabled>Replay this order");
    let token = edited.app.token(OperatorRole::Operator).await;
    let replay =
        |version: u32| json!({"kind": "replay", "order_id": edited.failed.id, "version": version});
    for (version, code) in [(1, "insufficient_stock"), (7, "no_such_version")] {
        let path = format!("/api/v1{}/preview?version={version}", edited.page());
        let preview = edited.app.get(&path, &token).await.json();
        assert_eq!(preview["replay"]["refusal"], code);
        let refused = edited
            .app
            .post("/api/v1/operations", &token, &replay(version))
            .await;
        refused.is_problem(409, code);
    }
    let all = json!({"kind": "replay", "filter": {}});
    let foreseen = edited
        .app
        .post("/api/v1/operations/preview", &token, &all)
        .await;
    assert_eq!(
        foreseen.json()["refused"],
        json!({"insufficient_stock": 1}),
        "of many the newest version is taken"
    );
    let as_it_came = edited
        .app
        .post("/api/v1/operations", &token, &replay(0))
        .await;
    assert_eq!(as_it_came.status, 202, "{as_it_came:?}");
}

#[tokio::test]
async fn what_cannot_be_edited_says_why() {
    let app = TestApp::start().await;
    let mut message = Failed::new();
    message.order = false;
    let message = message.insert(&app).await.id;
    let (mut held, mut handled, mut unreadable) = (Failed::new(), Failed::new(), Failed::new());
    held.held = true;
    handled.handled = true;
    unreadable.payload = b"{}".to_vec();
    let held = held.insert(&app).await.id;
    let handled = handled.insert(&app).await.id;
    let unreadable = unreadable.insert(&app).await.id;
    let token = app.token(OperatorRole::Operator).await;
    let browser = app.browser(OperatorRole::Operator).await;
    for (id, code) in [
        (message, "not_an_order"),
        (held, "held_as_it_is"),
        (handled, "already_resolved"),
        (unreadable, "message_unreadable"),
    ] {
        let path = format!("/api/v1/archives/{id}/versions");
        assert_eq!(app.get(&path, &token).await.json()["edit_refusal"], code);
        let refused = app.post(&path, &token, &quantity(0, 3)).await;
        refused.is_problem(409, code);
        let page = browser.get(&format!("/archives/{id}/edit")).await;
        page.shows("<button class=\"main\" disabled>Save</button>");
    }
    let gone = browser.get(&format!("/archives/{held}/edit?from=9")).await;
    assert_eq!(gone.status, 404);
}
