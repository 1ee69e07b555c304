//! An admin in this process and the program beside it.

use serde_json::{Value, json};
use service_kit::{
    serve,
    settings::{FirstAdmin, Secret, Settings},
    telemetry,
};
use testkit::mysql::Schema;
use tokio::{net::TcpListener, process::Command};
use tokio_util::sync::{CancellationToken, DropGuard};

const PASSWORD: &str = "everyone has this one";

/// An admin in this process, and the token of a log-in there.
pub struct Admin {
    pub schema: Schema,
    pub url: String,
    pub token: String,
    _stop: DropGuard,
}

/// What the program printed, and how it ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Admin {
    pub async fn start() -> Self {
        let schema = testkit::mysql::schema().await;
        let mut settings = Settings::default();
        settings.database.mysql = schema.settings.clone();
        settings.admin.first_admin = FirstAdmin {
            username: "root".to_owned(),
            password: Secret::new(PASSWORD),
        };
        let metrics = telemetry::metrics("admin").expect("metrics");
        let app = admin::App::new(&settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let router = admin::router(app.clone(), metrics);
        tokio::spawn(serve::serve(listener, router, stop.clone()));
        app.prepare(&settings).await.expect("it starts");
        let who = json!({"username": "root", "password": PASSWORD});
        let session = reqwest::Client::new().post(format!("{url}/api/v1/sessions"));
        let session: Value = session
            .json(&who)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        Self {
            schema,
            url,
            token: session["access_token"]
                .as_str()
                .expect("a token")
                .to_owned(),
            _stop: stop.drop_guard(),
        }
    }

    /// Runs it in the name of the log-in.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let admin = ["--admin", &self.url];
        run(&[arguments, &admin].concat(), Some(&self.token)).await
    }

    /// The same in the name of a token.
    pub async fn run_as(&self, token: &str, arguments: &[&str]) -> Ran {
        let admin = ["--admin", &self.url];
        run(&[arguments, &admin].concat(), Some(token)).await
    }
}

/// Runs it.
pub async fn run(arguments: &[&str], token: Option<&str>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redressctl"));
    command
        .args(arguments)
        .env_remove("REDRESSCTL_ADMIN")
        .env_remove("REDRESSCTL_TOKEN");
    if let Some(token) = token {
        command.env("REDRESSCTL_TOKEN", token);
    }
    let output = command.output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    #[track_caller]
    pub fn is(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        let text = if code == 2 { &self.err } else { &self.out };
        assert!(text.contains(words), "{words:?} is not in {text}");
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}
