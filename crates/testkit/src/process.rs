//! A process of the product as a child: started from its binary with a settings file, killed, paused, ended.

use crate::{eventually, ports};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

/// How long one answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Killed when dropped.
pub struct Process {
    binary: PathBuf,
    folder: TempDir,
    listen: u16,
    child: Option<Child>,
}

impl Process {
    /// Writes `settings` (YAML; `{listen}` stands for a free loopback address) and starts `binary` with them.
    #[must_use]
    pub fn start(binary: &str, settings: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let listen = ports::free();
        let settings = settings.replace("{listen}", &format!("127.0.0.1:{listen}"));
        fs::write(folder.path().join("config.yaml"), settings).expect("the settings are written");
        let mut process = Self {
            binary: binary.into(),
            folder,
            listen,
            child: None,
        };
        process.restart();
        process
    }

    /// Starts it again with the same settings. It must have ended.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(self.folder.path().join("config.yaml"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it can be killed");
        }
    }

    /// SIGTERM, and waits for the end.
    pub async fn end(&mut self, within: Duration) {
        self.signal(Signal::SIGTERM);
        let mut child = self.child.take().expect("it runs");
        let status = tokio::time::timeout(within, child.wait())
            .await
            .expect("it ends in time")
            .expect("it ends");
        assert!(status.success(), "it ended with {status}");
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Bytes of memory it has in use, as the kernel counts them, without the pages of its binary.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        resident.expect("the kernel tells") * 1_024
    }

    fn id(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.id();
        kill(Pid::from_raw(pid.try_into().expect("a pid")), signal).expect("it takes signals");
    }

    /// Waits until `/health/ready` answers 200.
    pub async fn ready(&self, within: Duration) {
        eventually("the process is ready", within, || async {
            self.get("/health/ready")
                .await
                .filter(|answer| answer.starts_with("HTTP/1.1 200"))
        })
        .await;
    }

    /// The whole answer to a GET, or `None` while it does not answer.
    pub async fn get(&self, path: &str) -> Option<String> {
        let asking = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.listen)).await.ok()?;
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            Some(answer)
        };
        tokio::time::timeout(ANSWERS_WITHIN, asking)
            .await
            .ok()
            .flatten()
    }
}
