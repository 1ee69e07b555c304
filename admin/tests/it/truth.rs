//! The truth beside an archived order, with a real stock node: what each place says, what it means, and the button.

use crate::{
    app::{Answer, TestApp},
    failed::Failed,
};
use identity::OperatorRole;
use ordering::{SaleId, keys, rebuild::Rebuilder};
use serde_json::json;
use testkit::redis::RedisServer;

/// An admin that sees a stock node with the sale of one order that was given up.
struct Seen {
    app: TestApp,
    redis: RedisServer,
    failed: Failed,
}

impl Seen {
    async fn start() -> Self {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let app = TestApp::start_with(|settings| settings.redis.stock.urls = vec![url]).await;
        let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
        let seen = Self { app, redis, failed };
        seen.rebuild().await;
        seen
    }

    async fn rebuild(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let rebuilder = Rebuilder::new(self.app.schema.pool.clone(), client, 1000);
        rebuilder.node().await.unwrap();
    }

    fn hash(&self) -> String {
        keys::stock(SaleId::from_uuid(self.failed.sale))
    }

    /// Two units that Redis sold and MySQL did not.
    async fn drift(&self) {
        for (field, units) in [("available", "-2"), ("sold", "2")] {
            let change = ["HINCRBY", &self.hash(), field, units];
            self.redis.command(&change).await;
        }
    }

    fn page(&self) -> String {
        format!("/archives/{}", self.failed.id)
    }

    async fn look(&self, role: OperatorRole) -> Answer {
        let page = self.app.browser(role).await.get(&self.page()).await;
        assert_eq!(page.status, 200, "{page:?}");
        page
    }

    async fn json(&self) -> serde_json::Value {
        let token = self.app.token(OperatorRole::Viewer).await;
        let path = format!("/api/v1/archives/{}/truth", self.failed.id);
        self.app.get(&path, &token).await.json()
    }
}

#[tokio::test]
async fn what_agrees_is_shown_side_by_side_and_nothing_is_to_be_done() {
    let seen = Seen::start().await;
    let page = seen.look(OperatorRole::Operator).await;
    for text in [
        "consistent",
        "Everything that is written of this order agrees.",
        "failed (archived), 2 units",
        "5 available, 5 sold of 10",
        "5 available, 0 held, 5 sold of 10",
        "Nothing is to be done: everything agrees.",
        "<button disabled>Reconcile this order</button>",
    ] {
        page.shows(text);
    }
    let json = seen.json().await;
    assert_eq!(
        (&json["verdict"], &json["reconcile_refusal"]),
        (&json!("consistent"), &json!("consistent"))
    );
    assert_eq!(json["sale"]["redis"]["sold"], 5);
    assert_eq!(json["order"]["status"], "failed");
    assert_eq!(json["transactions"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&json["buyer"]["mysql"], &json["buyer"]["redis"]),
        (&json!(0), &json!(0))
    );
    let token = seen.app.token(OperatorRole::Operator).await;
    let path = format!("/api/v1/archives/{}/reconcile", seen.failed.id);
    let refused = seen.app.post(&path, &token, &json!({})).await;
    refused.is_problem(409, "consistent");
    let strange = seen.app.post(&path, &token, &json!({"why": "x"})).await;
    strange.is_problem(422, "invalid");
    assert_eq!(seen.app.number("select count(*) from operations").await, 0);
}

/// Breaks when a second click makes a second operation, or an act or its refusal is not audited.
#[tokio::test]
async fn one_click_reconciles_and_the_second_is_told_who_and_when() {
    let seen = Seen::start().await;
    seen.drift().await;
    let page = seen.look(OperatorRole::Viewer).await;
    page.shows("sale drifts");
    page.shows("Redis and MySQL differ by 2 units on its sale.");
    page.shows("Your role is viewer: reconciling an order needs operator.");
    let json = seen.json().await;
    assert_eq!(json["reconcile_refusal"], serde_json::Value::Null);
    assert_eq!(json["wrong"][0]["mend"], "sale_rebuilt");

    let browser = seen.app.browser(OperatorRole::Operator).await;
    browser
        .get(&seen.page())
        .await
        .shows("Has the sale made anew in Redis");
    let path = format!("{}/reconcile", seen.page());
    let asked = browser
        .submit(&path, &[("reason", " it sold twice ")])
        .await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let operation = asked.location.expect("the operation");
    let shown = browser.get(&operation).await;
    for text in [
        "Reconcile",
        "it sold twice",
        "some-operator",
        "class=\"now\">requested",
    ] {
        shown.shows(text);
    }
    let again = browser.submit(&path, &[]).await;
    assert_eq!(again.status, 409);
    again.shows("some-operator is reconciling it since");
    let token = seen.app.token(OperatorRole::Operator).await;
    let api = format!("/api/v1/archives/{}/reconcile", seen.failed.id);
    let again = seen
        .app
        .post(&api, &token, &json!({"reason": "me too"}))
        .await;
    again.is_problem(409, "reconciling");
    assert_eq!(again.json()["by"], "some-operator");
    browser
        .get(&seen.page())
        .await
        .shows("An operation has it in hand.");
    assert_eq!(seen.app.number("select count(*) from operations").await, 1);
    let subject = seen.failed.id.to_string();
    let line = |outcome: &str| {
        (
            "order.reconcile".to_owned(),
            subject.clone(),
            outcome.to_owned(),
        )
    };
    assert_eq!(
        seen.app.audited().await,
        [line("done"), line("refused"), line("refused")]
    );
}

#[tokio::test]
async fn what_a_reconcile_did_is_told_in_words() {
    let seen = Seen::start().await;
    seen.drift().await;
    let browser = seen.app.browser(OperatorRole::Operator).await;
    let path = format!("{}/reconcile", seen.page());
    let operation = browser.submit(&path, &[]).await.location.expect("one");
    seen.app
        .schema
        .execute("update operations set state = 'finished', finished_at = utc_timestamp(3)")
        .await;
    for (state, reason, sentence) in [
        (
            "reconciled",
            "'sale_rebuilt@1'",
            "Its sale was made anew in Redis from MySQL. Everything agrees now.",
        ),
        (
            "reconciled",
            "null",
            "Nothing was wrong any more, and nothing was done.",
        ),
        (
            "refused",
            "'unknown'",
            "It was not put right. Redis did not tell its part in time.",
        ),
    ] {
        let end = format!(
            "update operation_items set state = '{state}', reason = {reason}, finished_at = utc_timestamp(3)"
        );
        seen.app.schema.execute(&end).await;
        browser.get(&operation).await.shows(sentence);
    }
}

/// Breaks when what Redis does not tell is called wrong. That nobody waits for it is tested in `ordering`.
#[tokio::test]
async fn without_redis_the_page_is_there_at_once_and_says_what_is_not_known() {
    let seen = Seen::start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let app = TestApp::start_with(|settings| settings.redis.stock.urls = vec![url]).await;
    let failed = Failed::new().with_sale(&app, 5).await.insert(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let path = format!("/archives/{}", failed.id);
    let page = browser.get(&path).await;
    page.shows("Redis does not answer: what it holds is not known.");
    page.shows("5 available, 5 sold of 10");
    page.shows("It cannot be told what is to be done");
    let refused = browser.submit(&format!("{path}/reconcile"), &[]).await;
    assert_eq!(refused.status, 409);
    refused.shows("Nothing was done: It cannot be told");

    seen.redis
        .command(&["HSET", &seen.hash(), "suspect", "1"])
        .await;
    let page = seen.look(OperatorRole::Operator).await;
    page.shows("being made anew from MySQL: it is known in a moment.");
    assert_eq!(seen.json().await["unknown"], "being_rebuilt");
    seen.rebuild().await;
    seen.look(OperatorRole::Operator).await.shows("consistent");
}

#[tokio::test]
async fn what_is_no_order_has_no_truth_beside_it() {
    let app = TestApp::start().await;
    let mut message = Failed::new();
    message.order = false;
    let message = message.insert(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let path = format!("/api/v1/archives/{}", message.id);
    let truth = app.get(&format!("{path}/truth"), &token).await;
    truth.is_problem(404, "not_found");
    let refused = app
        .post(&format!("{path}/reconcile"), &token, &json!({}))
        .await;
    refused.is_problem(409, "not_an_order");
    let browser = app.browser(OperatorRole::Operator).await;
    let page = browser.get(&format!("/archives/{}", message.id)).await;
    page.shows_not("What is true");
}

/// Breaks when a reconcile is taken for something that can be asked for on many.
#[tokio::test]
async fn nobody_reconciles_all_that_match() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let filter = json!({});
    for (path, body) in [
        (
            "/api/v1/operations",
            json!({"kind": "reconcile", "filter": filter, "reason": "all of it"}),
        ),
        (
            "/api/v1/operations/preview",
            json!({"kind": "reconcile", "filter": filter}),
        ),
    ] {
        let refused = app.post(path, &token, &body).await;
        refused.is_problem(422, "invalid");
        refused.shows("kind is replay or discard");
    }
    assert_eq!(app.number("select count(*) from operations").await, 0);
}
