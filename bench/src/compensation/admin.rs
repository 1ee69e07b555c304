//! The program `admin` as an operator meets it: started on the bench's settings, logged in by a form as a browser would.

use crate::http::{Connection, Reply};
use anyhow::{Context, ensure};
use hyper::body::Bytes;
use service_kit::settings::Settings;
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

/// How often it is asked whether it is ready, and how long.
const LOOKS: u32 = 150;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// A running admin, ended when this is dropped.
pub struct Admin {
    http: Connection,
    cookie: String,
    _process: Child,
}

impl Admin {
    /// # Errors
    /// It does not start or does not let the first admin in.
    pub async fn start(program: &Path, config: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let process = Command::new(program)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut http = Connection::new(&format!("http://{}", settings.admin.listen))?;
        let mut looks = 0;
        while http
            .get("/health/ready", &[])
            .await
            .map(|reply| reply.status)
            != Ok(200)
        {
            looks += 1;
            ensure!(looks < LOOKS, "admin is not ready");
            sleep(BETWEEN_LOOKS).await;
        }
        let first = &settings.admin.first_admin;
        let form = format!(
            "username={}&password={}",
            encoded(&first.username),
            encoded(first.password.expose())
        );
        let reply = http.post_form("/login", Bytes::from(form)).await?;
        let cookie = reply
            .cookie
            .with_context(|| format!("no cookie: the log-in was answered {}", reply.status))?;
        Ok(Self {
            http,
            cookie,
            _process: process,
        })
    }

    /// A page.
    ///
    /// # Errors
    /// No answer, or another one than 200.
    pub async fn page(&mut self, path: &str) -> anyhow::Result<Reply> {
        let headers = [("cookie", self.cookie.as_str())];
        let reply = self.http.get(path, &headers).await?;
        ensure!(
            reply.status == 200,
            "{path} was answered {}: {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
        Ok(reply)
    }
}

/// As a form sends it.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
