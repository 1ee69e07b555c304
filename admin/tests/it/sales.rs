//! Sales as operators see and change them: both sides' numbers, and an admin that works without Redis.

use crate::app::TestApp;
use identity::OperatorRole;
use ordering::{SaleId, rebuild::Rebuilder, stock::Stock};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::redis::RedisServer;
use uuid::Uuid;

/// An admin with a stock node.
async fn with_redis() -> (TestApp, RedisServer) {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let app = TestApp::start_with(|settings| settings.redis.stock.urls = vec![url]).await;
    (app, redis)
}

impl TestApp {
    /// A live sale in MySQL.
    async fn sale(&self, product: &str, total: u32, sold: u32) -> SaleId {
        let (sale, id) = (SaleId::fresh(), Uuid::now_v7());
        sqlx::query("insert into products (id, name, description, price, created_at) values (?, ?, '', 100, utc_timestamp(3))")
            .bind(id)
            .bind(product)
            .execute(&self.schema.pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at)
             values (?, ?, ?, 100, ?, 2, utc_timestamp(3) - interval 1 hour, utc_timestamp(3) + interval 1 day, 'open', 1, utc_timestamp(3))",
        )
        .bind(sale)
        .bind(&sale.tag()[..])
        .bind(id)
        .bind(total)
        .execute(&self.schema.pool)
        .await
        .unwrap();
        sqlx::query("insert into sale_inventory (sale_id, total, available, sold, epoch) values (?, ?, ?, ?, 1)")
            .bind(sale)
            .bind(total)
            .bind(total - sold)
            .bind(sold)
            .execute(&self.schema.pool)
            .await
            .unwrap();
        sale
    }

    /// Makes Redis' side of all sales from MySQL, as the compensator does.
    async fn rebuild(&self, redis: &RedisServer) {
        let client = redis::Client::open(redis.url()).unwrap();
        Rebuilder::new(self.schema.pool.clone(), client, 1_000)
            .node()
            .await
            .unwrap();
    }

    async fn of_sale(&self, sale: SaleId, token: &str) -> Value {
        self.get(&format!("/api/v1/sales/{sale}"), token)
            .await
            .json()
    }

    async fn change_sale(&self, sale: SaleId, token: &str, body: &Value) -> crate::app::Answer {
        let request = self.request(Method::PATCH, &format!("/api/v1/sales/{sale}"));
        crate::app::answer(request.bearer_auth(token).json(body)).await
    }
}

#[tokio::test]
async fn the_list_is_the_newest_first_a_page_at_a_time() {
    let app = TestApp::start().await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(app.sale(&format!("thing {number} <i>"), 10, number).await);
    }
    let viewer = app.token(OperatorRole::Viewer).await;
    let (mut seen, mut before) = (Vec::<SaleId>::new(), String::new());
    loop {
        let path = format!("/api/v1/sales?show=live&limit=2&before={before}");
        let page = app.get(&path, &viewer).await.json();
        for item in page["items"].as_array().unwrap() {
            seen.push(item["id"].as_str().unwrap().parse().unwrap());
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut before),
            None => break,
        }
    }
    made.reverse();
    assert_eq!(seen, made);
    let none = app.get("/api/v1/sales?show=ended", &viewer).await.json();
    assert_eq!(none["items"], json!([]));
    app.get("/api/v1/sales?show=some", &viewer)
        .await
        .is_problem(422, "invalid");
    let page = app.browser(OperatorRole::Viewer).await.get("/sales").await;
    page.shows("thing 3 &lt;i&gt;");
    page.shows("<span class=\"chip good\">live</span>");
}

/// Breaks when Redis is not told: then it takes orders while MySQL says that the sale is paused.
#[tokio::test]
async fn a_change_is_in_mysql_and_in_redis_and_says_why() {
    let (app, redis) = with_redis().await;
    let sale = app.sale("thing", 10, 3).await;
    app.rebuild(&redis).await;
    let operator = app.token(OperatorRole::Operator).await;
    let before = app.of_sale(sale, &operator).await;
    assert_eq!(
        (
            &before["redis"]["state"],
            &before["redis"]["available"],
            &before["sold"]
        ),
        (&json!("known"), &json!(7), &json!(3))
    );
    let body = json!({"total": 20, "paused": true, "reason": "more came", "revision": 1});
    let changed = app.change_sale(sale, &operator, &body).await;
    assert_eq!(changed.json(), json!({"revision": 2, "in_redis": true}));
    let after = app.of_sale(sale, &operator).await;
    assert_eq!(
        (
            &after["total"],
            &after["available"],
            &after["paused"],
            &after["redis"]["available"]
        ),
        (&json!(20), &json!(17), &json!(true), &json!(17))
    );
    app.change_sale(sale, &operator, &body)
        .await
        .is_problem(409, "changed_meanwhile");
    let below = json!({"total": 2, "reason": "fewer"});
    app.change_sale(sale, &operator, &below)
        .await
        .is_problem(409, "below_sold");
    for body in [
        json!({"reason": "nothing"}),
        json!({"total": 0, "reason": "none"}),
        json!({"total": 5, "reason": " "}),
    ] {
        app.change_sale(sale, &operator, &body)
            .await
            .is_problem(422, "invalid");
    }
    let line: String = sqlx::query_scalar(
        "select detail from audit_log where act = 'sale.change' and outcome = 'done'",
    )
    .fetch_one(&app.schema.pool)
    .await
    .unwrap();
    assert_eq!(line, "20 units, paused: more came");
    let refused = app
        .number("select count(*) from audit_log where act = 'sale.change' and outcome = 'refused'")
        .await;
    assert_eq!(refused, 2);
    let paused: Option<String> = redis::cmd("HGET")
        .arg(ordering::keys::stock(sale))
        .arg("state")
        .query_async(&mut service_kit::redis::connect(&redis.url()).await.unwrap())
        .await
        .unwrap();
    assert_eq!(paused.as_deref(), Some("paused"));
}

/// Breaks when the page waits for Redis, or a change needs it.
#[tokio::test]
async fn without_redis_the_page_says_so_and_a_change_stands() {
    let (app, mut redis) = with_redis().await;
    let sale = app.sale("thing", 10, 3).await;
    let viewer = app.token(OperatorRole::Viewer).await;
    let state = async || app.of_sale(sale, &viewer).await["redis"]["state"].clone();
    assert_eq!(state().await, "missing");
    app.rebuild(&redis).await;
    assert_eq!(state().await, "known");
    let stock = Stock::new(service_kit::redis::connect(&redis.url()).await.unwrap());
    ordering::drift::fence(
        &service_kit::redis::connect(&redis.url()).await.unwrap(),
        sale,
    )
    .await
    .unwrap();
    assert!(stock.levels(sale).await.is_err());
    assert_eq!(state().await, "being_rebuilt");
    redis.kill().await;
    assert_eq!(state().await, "away");
    let browser = app.browser(OperatorRole::Operator).await;
    let path = format!("/sales/{sale}");
    browser.get(&path).await.shows("Redis does not answer");
    let fields = [("revision", "1"), ("state", "pause"), ("reason", "a fire")];
    let changed = browser.submit(&path, &fields).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    changed.shows("Redis does not have it yet");
    changed.shows("paused");
    let again = browser.submit(&path, &fields).await;
    assert_eq!(again.status, 409);
    again.shows("somebody changed the sale since you looked");
    let no_reason = browser
        .submit(&path, &[("revision", "2"), ("total", "11")])
        .await;
    assert_eq!(no_reason.status, 422);
    let looking = app.browser(OperatorRole::Viewer).await;
    looking
        .get(&path)
        .await
        .shows("It needs the permission sale.change");
}
