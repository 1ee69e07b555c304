//! Chromium without a window, told what to do over its own protocol: a line of JSON each way, over its pipes.
//!
//! It does what a person's browser does with our pages, and tells of everything it complains about: errors in scripts, on the console,
//! refused by the policy of contents, not found.

use base64::Engine as _;
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long the browser may be silent.
const SILENT_AT_MOST: Duration = Duration::from_mins(1);
/// Its third and fourth file are where it reads and writes; its own words come with ours otherwise.
const START: &str = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                     --remote-debugging-pipe --lang=en-GB --user-data-dir=\"$0\" about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";

/// One page of it.
pub struct Chromium {
    _child: Child,
    _profile: TempDir,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    page: Option<String>,
    asked: u64,
    loaded: bool,
    complaints: Vec<String>,
}

impl Chromium {
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("sh")
            .args(["-c", START])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell");
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let mut chromium = Self {
            _child: child,
            _profile: profile,
            to: to.expect("its ear"),
            from: BufReader::new(from.expect("its mouth")),
            page: None,
            asked: 0,
            loaded: false,
            complaints: Vec::new(),
        };
        let made = chromium
            .ask("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attaching = json!({"targetId": made["targetId"], "flatten": true});
        let attached = chromium.ask("Target.attachToTarget", attaching).await;
        chromium.page = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            chromium.ask(domain, json!({})).await;
        }
        chromium
    }

    /// Opens an address and waits until all of it is there.
    pub async fn open(&mut self, url: &str) {
        self.loaded = false;
        self.ask("Page.navigate", json!({"url": url})).await;
        self.until_loaded().await;
    }

    /// Presses what the selector finds, and waits for the page it leads to.
    pub async fn press(&mut self, selector: &str) {
        self.loaded = false;
        self.with(selector, "it.click()").await;
        self.until_loaded().await;
    }

    /// Types into the field, in place of what it holds.
    pub async fn write(&mut self, selector: &str, text: &str) {
        self.with(selector, "it.focus(); it.select && it.select()")
            .await;
        self.ask("Input.insertText", json!({"text": text})).await;
    }

    /// What a person reads on the page.
    pub async fn text(&mut self) -> String {
        let text = self.evaluate("document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What an expression comes to in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut came = self.ask("Runtime.evaluate", asked).await;
        assert!(
            came["exceptionDetails"].is_null(),
            "{expression}: {}",
            came["exceptionDetails"]
        );
        came["result"]["value"].take()
    }

    /// So wide a window, bright or dark.
    pub async fn look(&mut self, width: u32, height: u32, dark: bool) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", media).await;
    }

    /// A picture of what is in the window.
    pub async fn picture(&mut self, path: &Path) {
        let taken = self
            .ask("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        let data = taken["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data);
        std::fs::write(path, bytes.expect("base64")).expect("the picture is kept");
    }

    /// What it complained about so far.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    async fn with(&mut self, selector: &str, act: &str) {
        let found = format!(
            "(() => {{ const it = document.querySelector({}); if (!it) return false; {act}; return true; }})()",
            json!(selector)
        );
        let was_there = self.evaluate(&found).await;
        let text = if was_there == json!(true) {
            String::new()
        } else {
            self.text().await
        };
        assert_eq!(was_there, json!(true), "no {selector} on: {text}");
    }

    async fn until_loaded(&mut self) {
        while !self.loaded {
            self.next().await;
        }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(page) = &self.page {
            message["sessionId"] = json!(page);
        }
        let line = format!("{message}\0");
        self.to
            .write_all(line.as_bytes())
            .await
            .expect("it listens");
        self.to.flush().await.expect("it listens");
        loop {
            let mut came = self.next().await;
            if came["id"] == json!(self.asked) {
                assert!(came["error"].is_null(), "{method}: {}", came["error"]);
                return came["result"].take();
            }
        }
    }

    async fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = self.from.read_until(0, &mut bytes);
        let read = timeout(SILENT_AT_MOST, read).await;
        assert!(
            read.expect("the browser answers").expect("its pipe") > 0,
            "the browser ended; is chromium installed?"
        );
        bytes.pop();
        let came: Value = serde_json::from_slice(&bytes).expect("JSON");
        let what = &came["params"];
        match came["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded = true,
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(what["exceptionDetails"].to_string());
            }
            Some("Log.entryAdded") if what["entry"]["level"] == json!("error") => {
                self.complaints.push(what["entry"].to_string());
            }
            Some("Runtime.consoleAPICalled") if what["type"] == json!("error") => {
                self.complaints.push(what["args"].to_string());
            }
            _ => {}
        }
        came
    }
}
