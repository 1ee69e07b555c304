//! MariaDB servers of a test's own: killed in the middle of what they do, and started again on the same data and port.

use crate::{
    eventually,
    mysql::{Schema, schema_on},
    ports,
};
use nix::unistd::geteuid;
use sqlx::{Connection as _, MySqlConnection};
use std::{env, fs, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long a server may take to answer after its start.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// Where Debian and others put servers that are not in everyone's path.
const ALSO_IN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// One statement a line: that is how the server reads the file. All rights, for schemas are made.
const INIT: &str =
    "create or replace user 'test'@'%' identified by 'test';\ngrant all on *.* to 'test'@'%';\n";

/// As `cargo xtask` starts the database, but small.
const SETTINGS: [&str; 12] = [
    "--bind-address=127.0.0.1",
    "--socket=",
    "--skip-name-resolve",
    "--server-id=1",
    "--character-set-server=utf8mb4",
    "--sql-mode=STRICT_TRANS_TABLES",
    "--innodb-flush-log-at-trx-commit=1",
    "--log-bin=binlog",
    "--sync-binlog=1",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--performance-schema=off",
];

/// A child that is small and keeps what it commits: both logs are flushed at every commit. Killed when dropped.
pub struct MysqlServer {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl MysqlServer {
    /// Makes its data and starts it on a free port.
    pub async fn start() -> Self {
        let mut server = Self {
            port: ports::free(),
            folder: TempDir::new().expect("a folder"),
            child: None,
        };
        fs::create_dir(server.data()).expect("a folder for the data");
        fs::write(server.init(), INIT).expect("the first statements are written");
        let made = server
            .command("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--innodb-log-file-size=8M"])
            .args(user())
            .arg(format!("--datadir={}", server.data().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await
            .expect("mariadb-install-db is installed: run the tests with `cargo xtask test`");
        assert!(made.success(), "mariadb-install-db ended with {made}");
        server.restart().await;
        server
    }

    /// Starts it again on the data it left; the port stays.
    pub async fn restart(&mut self) {
        self.kill().await;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        let child = self
            .command("mariadbd")
            .arg("--no-defaults")
            .args(user())
            .arg(format!("--datadir={}", self.data().display()))
            .arg(format!("--init-file={}", self.init().display()))
            .arg(format!("--port={}", self.port))
            .args(SETTINGS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("mariadbd is installed: run the tests with `cargo xtask test`");
        self.child = Some(child);
        let url = self.url();
        eventually("MariaDB answers", UP_WITHIN, || async {
            MySqlConnection::connect(&url).await.ok()
        })
        .await;
    }

    /// SIGKILL: what the kernel has of its files survives.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it can be killed");
        }
    }

    /// Makes a fresh schema on it.
    pub async fn schema(&self) -> Schema {
        schema_on(&self.url()).await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// With a folder of its own for temporary tables: a server that starts removes those it finds, whoever uses them.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.env("TMPDIR", self.folder.path());
        command
    }

    fn url(&self) -> String {
        format!("mysql://test:test@127.0.0.1:{}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn init(&self) -> PathBuf {
        self.folder.path().join("init.sql")
    }
}

fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ALSO_IN.into_iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| name.into())
}

/// It refuses to run as root unless told that it may.
fn user() -> Option<&'static str> {
    geteuid().is_root().then_some("--user=root")
}
