//! Redis servers of a test's own: killed, paused, started again on the same data, made replicas of one another.

use crate::{eventually, ports};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{AsyncConnectionConfig, RedisResult, aio::MultiplexedConnection};
use std::{fs, path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long a server may take to answer after its start.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take to take a test's connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to answer a test.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// A child with an append-only file written every second and nothing evicted. Killed when dropped.
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts an empty server on a free port.
    pub async fn start() -> Self {
        let mut server = Self {
            port: ports::free(),
            folder: TempDir::new().expect("a folder"),
            child: None,
        };
        server.restart().await;
        server
    }

    /// `redis://…`
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again on the data it left; the port stays.
    pub async fn restart(&mut self) {
        self.kill().await;
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--maxmemory-policy",
                "noeviction",
            ])
            .args([
                "--repl-diskless-sync-delay",
                "0",
                "--aof-load-truncated",
                "yes",
                "--loglevel",
                "warning",
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed: run the tests with `cargo xtask test`");
        self.child = Some(child);
        eventually("Redis answers", UP_WITHIN, || async {
            let mut connection = self.connect().await.ok()?;
            redis::cmd("PING")
                .query_async::<String>(&mut connection)
                .await
                .ok()
        })
        .await;
    }

    /// SIGKILL: what the kernel has of its file survives.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it can be killed");
        }
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).expect("it runs");
        kill(Pid::from_raw(pid.try_into().expect("a pid")), signal).expect("it takes signals");
    }

    /// A new connection, more patient than the product's: who asks here is the test.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.connect().await.expect("Redis answers")
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTS_WITHIN))
            .set_response_timeout(Some(ANSWERS_WITHIN));
        redis::Client::open(self.url())?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// One command, its answer thrown away.
    pub async fn command(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command
            .exec_async(&mut self.connection().await)
            .await
            .expect("the command is taken");
    }

    /// Makes it a replica of `master` and waits until it has all of its data.
    pub async fn follow(&self, master: &Self) {
        self.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()])
            .await;
        eventually("the replica is in sync", UP_WITHIN, || async {
            let mut connection = self.connection().await;
            let info: String = redis::cmd("INFO")
                .arg("replication")
                .query_async(&mut connection)
                .await
                .ok()?;
            info.contains("master_link_status:up").then_some(())
        })
        .await;
    }

    /// Makes it a master.
    pub async fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]).await;
    }

    /// Cuts the last `bytes` off its append-only file, as a power cut would. It must be dead.
    pub fn lose_tail(&self, bytes: u64) {
        assert!(self.child.is_none(), "a running server would write on");
        let file = self.newest_increment();
        let length = fs::metadata(&file).expect("the file").len();
        let open = fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .expect("the file opens");
        open.set_len(length.saturating_sub(bytes))
            .expect("the file is cut");
    }

    /// Bytes in its append-only file now. What is written after is what [`lose_tail`](Self::lose_tail) can take back.
    #[must_use]
    pub fn written(&self) -> u64 {
        fs::metadata(self.newest_increment())
            .expect("the file")
            .len()
    }

    fn newest_increment(&self) -> PathBuf {
        fs::read_dir(self.folder.path().join("appendonlydir"))
            .expect("an append-only folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
            .max()
            .expect("an append-only file")
    }
}
