//! The API in this process on a free port, with a schema, two Redis servers and topics of its own.

use chrono::{DateTime, TimeDelta, Utc};
use identity::{Role, UserId, tokens::Tokens};
use ordering::rebuild::Rebuilder;
use reqwest::{Client, Method, RequestBuilder};
use seckill_api::App;
use serde_json::{Value, json};
use service_kit::{
    settings::{FirstStaff, Secret, Settings},
    telemetry::{self, Metrics},
};
use std::time::Duration;
use testkit::{kafka::Topics, mysql::Schema, redis::RedisServer};
use tokio::net::TcpListener;

pub const SECRET: &str = "a secret of the tests, 32 bytes or more";
pub const STAFF: &str = "boss";
pub const STAFF_PASSWORD: &str = "boss has a password";

/// A running API.
pub struct TestApp {
    pub app: App,
    pub url: String,
    pub http: Client,
    pub settings: Settings,
    pub schema: Schema,
    pub stock: RedisServer,
    pub locks: RedisServer,
    pub topics: Topics,
    tokens: Tokens,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub media_type: String,
    pub location: Option<String>,
    pub retry_after: Option<u64>,
    pub challenge: Option<String>,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let (schema, stock, locks, topics) = tokio::join!(
            testkit::mysql::schema(),
            RedisServer::start(),
            RedisServer::start(),
            testkit::kafka::topics()
        );
        let mut settings = Settings::default();
        settings.auth.token_secret = Secret::new(SECRET);
        settings.seckill_api.first_staff = FirstStaff {
            username: STAFF.to_owned(),
            password: Secret::new(STAFF_PASSWORD),
        };
        settings.database.mysql = schema.settings.clone();
        settings.redis.stock.urls = vec![stock.url()];
        settings.redis.lock.urls = vec![locks.url()];
        settings.kafka.brokers.clone_from(&topics.brokers);
        settings.kafka.orders_topic.clone_from(&topics.orders);
        change(&mut settings);
        let metrics = telemetry::metrics("seckill-api").expect("metrics");
        seckill_api::metrics::describe();
        let app = App::start(&settings).await.expect("the API starts");
        let url = serve(&app, metrics).await;
        let test = Self {
            app,
            url,
            http: Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            tokens: Tokens::new(SECRET, Duration::from_hours(1)),
            settings,
            schema,
            stock,
            locks,
            topics,
        };
        test.rebuild().await;
        test
    }

    /// A second instance on the same servers; gives its address.
    pub async fn another_instance(&self) -> String {
        let app = App::start(&self.settings).await.expect("the API starts");
        serve(&app, telemetry::metrics("seckill-api").expect("metrics")).await
    }

    /// Asks an instance for one unit, without a key.
    pub async fn order_at(&self, instance: &str, sale: &str, token: &str) -> Answer {
        let request = self
            .http
            .post(format!("{instance}/api/v1/sales/{sale}/orders"))
            .bearer_auth(token)
            .json(&json!({"quantity": 1}));
        answer(request).await
    }

    /// What the compensator does when a stock node is new or has restarted.
    pub async fn rebuild(&self) {
        let client = redis::Client::open(self.stock.url()).expect("an address");
        let rebuilder = Rebuilder::new(
            self.schema.pool.clone(),
            client,
            self.settings.admission.held_max,
        );
        rebuilder.node().await.expect("the node is rebuilt");
    }

    pub fn buyer(&self) -> String {
        self.tokens.mint(UserId::fresh(), Role::Buyer)
    }

    pub fn token_of(&self, user: UserId) -> String {
        self.tokens.mint(user, Role::Buyer)
    }

    pub fn staff(&self) -> String {
        self.tokens.mint(UserId::fresh(), Role::Staff)
    }

    pub fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        answer(self.request(Method::GET, path, token)).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        answer(self.request(Method::POST, path, token).json(body)).await
    }

    /// Asks for an order, with a key when one is given.
    pub async fn order(&self, sale: &str, token: &str, body: &Value, key: Option<&str>) -> Answer {
        let mut request = self
            .request(
                Method::POST,
                &format!("/api/v1/sales/{sale}/orders"),
                Some(token),
            )
            .json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        answer(request).await
    }

    pub async fn product(&self) -> String {
        let product = json!({"name": "lamp", "description": "bright", "price": 1999});
        let made = self
            .post("/api/v1/products", Some(&self.staff()), &product)
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        made.id()
    }

    /// A sale that is on, and gives its id.
    pub async fn sale(&self, total: u32, per_user_limit: u32) -> String {
        let now = Utc::now();
        self.sale_between(
            total,
            per_user_limit,
            now - TimeDelta::hours(1),
            now + TimeDelta::hours(1),
        )
        .await
    }

    pub async fn sale_between(
        &self,
        total: u32,
        per_user_limit: u32,
        starts_at: DateTime<Utc>,
        ends_at: DateTime<Utc>,
    ) -> String {
        let sale = json!({
            "product_id": self.product().await, "price": 999, "total": total, "per_user_limit": per_user_limit,
            "starts_at": starts_at, "ends_at": ends_at,
        });
        let made = self.post("/api/v1/sales", Some(&self.staff()), &sale).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.id()
    }

    /// Everything an order would change: the stock, the number of keys in Redis, the messages on the topic.
    pub async fn state(&self, sale: &str) -> (Value, u64, i64) {
        let stock = self.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
        assert_eq!(stock.status, 200, "{stock:?}");
        let keys: u64 = redis::cmd("DBSIZE")
            .query_async(&mut self.stock.connection().await)
            .await
            .expect("Redis answers");
        (stock.body, keys, self.published().await)
    }

    /// Messages on the topic of orders.
    pub async fn published(&self) -> i64 {
        let ends = testkit::kafka::ends(&self.topics.brokers, &self.topics.orders).await;
        service_kit::kafka::Offsets::default().behind(&ends)
    }
}

/// Serves `app` on a free port.
async fn serve(app: &App, metrics: Metrics) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = seckill_api::router(app.clone(), metrics);
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    url
}

/// Sends and reads all of the answer.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the API answers");
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().expect("text").to_owned())
    };
    let (status, media_type) = (
        response.status().as_u16(),
        header("content-type").unwrap_or_default(),
    );
    let (location, challenge) = (header("location"), header("www-authenticate"));
    let retry_after = header("retry-after").map(|seconds| seconds.parse().expect("seconds"));
    let text = response.text().await.expect("a whole answer");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer {
        status,
        body,
        media_type,
        location,
        retry_after,
        challenge,
    }
}

impl Answer {
    pub fn id(&self) -> String {
        self.text("id")
    }

    pub fn text(&self, member: &str) -> String {
        self.body[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member} in {self:?}"))
            .to_owned()
    }

    /// Checks that it is this problem, whole.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        assert_eq!(self.media_type, "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("urn:redress:problem:{code}"));
        assert!(
            self.body["title"].is_string() && self.body["detail"].is_string(),
            "{self:?}"
        );
        assert_eq!(
            self.retry_after.is_some(),
            status == 503 || status == 429 || code == "in_progress",
            "{self:?}"
        );
        assert_eq!(self.challenge.is_some(), status == 401, "{self:?}");
    }
}
