//! Whatever a receiver answers or does, neither its address nor its secret is in a log, a row, or an error; and whoever cannot prove who it
//! is gets nothing.

use super::{Desk, SOON, alert, quick};
use compensation::alerts::{
    Channels, Policy,
    outbox::{State, send_test, standings},
};
use service_kit::settings::{ChannelKind, ChannelSettings, Secret, Settings};
use std::{
    fmt::{self, Write as _},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{eventually, mysql::schema, webhooks::Receiver};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// In the url's path, its query, and the secret; base64 of 30 bytes.
const MARKS: [&str; 4] = [
    "MARKEDPATH",
    "MARKEDTOKEN",
    "MARKEDSECRETMARKEDSECRETMARKEDSECRETMARK",
    "127.0.0.1",
];

/// Keeps every line of this crate, whatever its level.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<String>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0.lock().unwrap(), " {}={value:?}", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("compensation")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn settings(kind: ChannelKind, url: &str) -> Settings {
    let mut settings = Settings::default();
    let [path, token, secret, _] = MARKS;
    settings.alerts.channels = vec![ChannelSettings {
        name: "ops".to_owned(),
        kind,
        url: Secret::new(format!("{url}/{path}?access_token={token}")),
        secret: Secret::new(if kind == ChannelKind::Webhook {
            format!("whsec_{secret}")
        } else {
            secret.to_owned()
        }),
        ..ChannelSettings::default()
    }];
    settings
}

pub(super) async fn everything_stored(desk: &Desk) -> String {
    let mut all = String::new();
    for (columns, table) in [
        ("subject, title, body, last_error, asked_by", "alert_outbox"),
        ("outcome, error, asked_by", "alert_attempts"),
        ("name, off_why, last_error", "alert_channels"),
    ] {
        let sql = format!("select cast(concat_ws(' ', {columns}) as char) from {table}");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(desk.db())
            .await
            .unwrap();
        all.extend(rows);
    }
    all
}

/// Breaks when an error of the client library is told as it is: it holds the url.
#[tokio::test]
async fn neither_url_nor_secret_is_stored_or_logged_whatever_happens() {
    for kind in [ChannelKind::Webhook, ChannelKind::Dingtalk] {
        let lines = Lines::default();
        let listening = tracing::subscriber::set_default(lines.clone());
        let receiver = Receiver::start().await;
        let desk = Desk {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            channels: Channels::from_settings(&settings(kind, &receiver.url())).unwrap(),
        };
        let [path, token, secret, _] = MARKS;
        let echo = format!(r#"{{"errcode":310000,"errmsg":"bad {token} {secret} {path}"}}"#);
        for status in [200, 302, 400, 401, 404, 410, 429, 500, 503] {
            receiver.answer_next_with(
                status,
                &[("location", &receiver.url()), ("retry-after", "0")],
                &echo,
            );
        }
        let courier = desk.courier(Policy {
            slow_down: Duration::from_millis(1),
            ..quick()
        });
        desk.write(&alert("order-1")).await;
        for _ in 0..12 {
            let mut tx = desk.db().begin().await.unwrap();
            send_test(&mut tx, "ops", "ann").await.unwrap();
            tx.commit().await.unwrap();
            desk.schema
                .execute("update alert_channels set off_at = null, rests_until = null, tokens = 5")
                .await;
            courier.run_once().await.unwrap();
        }
        receiver.reset();
        desk.write(&alert("order-2")).await;
        desk.schema
            .execute("update alert_channels set off_at = null, rests_until = null, tokens = 5")
            .await;
        courier.run_once().await.unwrap();
        drop(receiver);
        desk.schema
            .execute("update alert_channels set off_at = null, rests_until = null, tokens = 5")
            .await;
        desk.write(&alert("order-3")).await;
        courier.run_once().await.unwrap();
        drop(listening);
        let logged = lines.text();
        let stored = everything_stored(&desk).await;
        let shown = format!("{:?}", standings(desk.db()).await.unwrap());
        // A robot's code says more than the status.
        let why = match kind {
            ChannelKind::Dingtalk => "errcode 310000",
            _ => "HTTP 500",
        };
        assert!(
            logged.contains("was not delivered") && stored.contains(why),
            "{logged}\n{stored}"
        );
        // A webhook's own words are not repeated at all; a robot's are, without what is secret.
        for mark in &MARKS {
            if *mark == path && kind == ChannelKind::Dingtalk {
                continue;
            }
            for (place, text) in [("log", &logged), ("rows", &stored), ("standing", &shown)] {
                assert!(!text.contains(mark), "{mark} is in the {place}: {text}");
            }
        }
    }
}

/// An `openssl s_server` with a certificate that nobody vouches for.
struct SelfSigned {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl SelfSigned {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=127.0.0.1",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
            .stderr(Stdio::null())
            .status()
            .expect("openssl is installed");
        assert!(made.success() && Path::new(&path("cert.pem")).exists());
        // It takes a free port itself, and says which: one that is chosen for it may be another's by then.
        let mut child = Command::new("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0"])
            .args(["-key", &path("key.pem"), "-cert", &path("cert.pem")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = said
            .find_map(|line| {
                line.unwrap()
                    .rsplit_once("ACCEPT 127.0.0.1:")?
                    .1
                    .parse()
                    .ok()
            })
            .expect("it says where it listens");
        std::thread::spawn(move || said.for_each(drop));
        Self {
            child,
            port,
            _folder: folder,
        }
    }
}

impl Drop for SelfSigned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Breaks when certificates are not checked: then it is not the connection that fails.
#[tokio::test]
async fn a_receiver_with_a_certificate_of_its_own_making_gets_nothing() {
    let server = SelfSigned::start();
    let url = format!("https://127.0.0.1:{}", server.port);
    eventually("it listens", SOON, || async {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await;
        connected.ok().map(drop)
    })
    .await;
    let desk = Desk {
        schema: schema().await,
        folder: TempDir::new().unwrap(),
        channels: Channels::from_settings(&settings(ChannelKind::Webhook, &url)).unwrap(),
    };
    let alert = alert("order-1");
    desk.write(&alert).await;
    desk.courier(quick()).run_once().await.unwrap();
    let delivery = desk.delivery(&alert, "ops").await;
    assert_eq!(delivery.state, State::Pending);
    let error = delivery.last_error.unwrap();
    assert!(error.starts_with("failed: no connection"), "{error}");
}
