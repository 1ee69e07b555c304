//! The admin in this process on a free port, with a schema of its own, and those who use it.

use admin::App;
use identity::{
    OperatorRole,
    operators::{self, NewOperator, NewPassword},
};
use reqwest::{Client, Method, RequestBuilder, header};
use serde_json::{Value, json};
use service_kit::{
    serve,
    settings::{FirstAdmin, Secret, Settings},
    telemetry,
};
use testkit::mysql::Schema;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const ADMIN: &str = "root";
pub const PASSWORD: &str = "everyone has this one";

/// A running admin.
pub struct TestApp {
    pub url: String,
    pub schema: Schema,
    pub http: Client,
    _stop: DropGuard,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub media_type: String,
    pub location: Option<String>,
    pub cookie: Option<String>,
    pub headers: header::HeaderMap,
}

/// A browser that is logged in.
pub struct Browser<'a> {
    pub app: &'a TestApp,
    pub cookie: String,
    pub csrf: String,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let schema = testkit::mysql::schema().await;
        let mut settings = Settings::default();
        settings.database.mysql = schema.settings.clone();
        settings.admin.first_admin = FirstAdmin {
            username: ADMIN.to_owned(),
            password: Secret::new(PASSWORD),
        };
        // Whoever listens where a stock node usually is has no part in a test.
        settings.redis.stock.urls = Vec::new();
        change(&mut settings);
        let metrics = telemetry::metrics("admin").expect("metrics");
        admin::metrics::describe();
        let app = App::new(&settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(serve::serve(
            listener,
            admin::router(app.clone(), metrics),
            stop.clone(),
        ));
        app.prepare(&settings).await.expect("it starts");
        Self {
            url,
            schema,
            http: Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            _stop: stop.drop_guard(),
        }
    }

    /// Makes an operator with the password everyone has.
    pub async fn operator(&self, username: &str, role: OperatorRole) {
        let password = NewPassword::chosen(PASSWORD).await.expect("a password");
        let new = NewOperator::new(username, password, role).expect("a name");
        let mut db = self.schema.pool.acquire().await.expect("a connection");
        operators::create(&mut db, &new).await.expect("an operator");
    }

    /// The account's id.
    pub async fn id_of(&self, username: &str) -> uuid::Uuid {
        sqlx::query_scalar("select id from operators where username = ?")
            .bind(username)
            .fetch_one(&self.schema.pool)
            .await
            .expect("the operator")
    }

    /// The name of someone with the role, who is made when missing.
    pub async fn someone(&self, role: OperatorRole) -> String {
        let name = match role {
            OperatorRole::Admin => return ADMIN.to_owned(),
            other => format!("some-{other}"),
        };
        let found = operators::find_by_name(&self.schema.pool, &name).await;
        if found.expect("the database answers").is_none() {
            self.operator(&name, role).await;
        }
        name
    }

    /// A script's token.
    pub async fn token(&self, role: OperatorRole) -> String {
        let name = self.someone(role).await;
        let answer = self.log_in_script(&name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    pub async fn log_in_script(&self, username: &str, password: &str) -> Answer {
        let body = json!({"username": username, "password": password});
        let request = self.request(Method::POST, "/api/v1/sessions").json(&body);
        answer(request).await
    }

    pub async fn log_in_browser(&self, username: &str, password: &str) -> Answer {
        let form = [("username", username), ("password", password)];
        answer(self.request(Method::POST, "/login").form(&form)).await
    }

    /// A browser of someone with the role.
    pub async fn browser(&self, role: OperatorRole) -> Browser<'_> {
        let name = self.someone(role).await;
        self.browser_of(&name, PASSWORD).await
    }

    pub async fn browser_of(&self, username: &str, password: &str) -> Browser<'_> {
        let logged_in = self.log_in_browser(username, password).await;
        assert_eq!(logged_in.status, 303, "{logged_in:?}");
        let cookie = logged_in.secret();
        let mut browser = Browser {
            app: self,
            cookie,
            csrf: String::new(),
        };
        browser.csrf = browser.get("/password").await.csrf();
        browser
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        answer(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).bearer_auth(token);
        answer(request.json(body)).await
    }

    /// Acts, subjects and outcomes of the audit, oldest first, log-ins left out.
    pub async fn audited(&self) -> Vec<(String, String, String)> {
        sqlx::query_as(
            "select act, subject, outcome from audit_log where act <> 'session.open' order by id",
        )
        .fetch_all(&self.schema.pool)
        .await
        .expect("the audit")
    }

    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.schema.pool)
            .await
            .expect("a number")
    }
}

impl Browser<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.app
            .request(method, path)
            .header("Cookie", format!("redress_session={}", self.cookie))
            .header("Accept", "text/html")
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// Sends a form with the token of this log-in.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        answer(self.request(Method::POST, path).form(&fields)).await
    }
}

/// Sends and reads all of the answer.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the admin answers");
    let headers = response.headers().clone();
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().expect("text").to_owned())
    };
    Answer {
        status: response.status().as_u16(),
        media_type: header("content-type").unwrap_or_default(),
        location: header("location"),
        cookie: header("set-cookie"),
        text: response.text().await.expect("a whole answer"),
        headers,
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The secret in the cookie.
    pub fn secret(&self) -> String {
        let cookie = self.cookie.as_deref().expect("a cookie");
        let value = cookie.strip_prefix("redress_session=").expect("our cookie");
        value.split(';').next().unwrap_or_default().to_owned()
    }

    /// The token of the first form.
    pub fn csrf(&self) -> String {
        let (_, after) = self
            .text
            .split_once("name=\"csrf\" value=\"")
            .unwrap_or_else(|| panic!("no form: {self:?}"));
        after.split('"').next().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        assert!(self.text.contains(text), "{text:?} is not in {}", self.text);
    }

    #[track_caller]
    pub fn shows_not(&self, text: &str) {
        assert!(!self.text.contains(text), "{text:?} is in {}", self.text);
    }

    /// Checks that it is this problem, whole.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        assert_eq!(self.media_type, "application/problem+json");
        assert_eq!(body["status"], status);
        assert!(body["title"].is_string() && body["detail"].is_string());
    }
}
