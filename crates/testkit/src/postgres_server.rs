//! Postgres servers of a test's own: stopped in the middle of what they do, and started again on the same data and port.

use crate::{eventually, ports};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};
use std::{
    env, fs, net::SocketAddr, os::unix::fs::chown, path::PathBuf, process::Stdio, time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

/// How long a server may take to answer after its start.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// Where Debian keeps the programs, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// A request that needs no account: whether it speaks TLS. It answers one letter.
const ARE_YOU_THERE: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A child that is small and keeps what it commits. Killed when dropped.
pub struct PostgresServer {
    port: u16,
    folder: TempDir,
    /// It refuses to run as root: then it runs as this one.
    account: Option<User>,
    child: Option<Child>,
}

impl PostgresServer {
    /// Makes its data and starts it on a free port. The account is `test`, without a password, and may do everything.
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let account = geteuid().is_root().then(another);
        if let Some(account) = &account {
            let (user, group) = (account.uid.as_raw(), account.gid.as_raw());
            chown(folder.path(), Some(user), Some(group)).expect("a folder of its own");
        }
        let mut server = Self {
            port: ports::free(),
            folder,
            account,
            child: None,
        };
        let made = server
            .command("initdb")
            .args(["--username=test", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--no-instructions", "--pgdata"])
            .arg(server.data())
            .stdout(Stdio::null())
            .status()
            .await
            .expect("initdb is installed: run the tests with `cargo xtask test`");
        assert!(made.success(), "initdb ended with {made}");
        server.restart().await;
        server
    }

    /// Starts it again on the data it left; the port stays.
    pub async fn restart(&mut self) {
        self.stop().await;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "shared_buffers=16MB", "-c", "max_connections=40"])
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("postgres is installed: run the tests with `cargo xtask test`");
        self.child = Some(child);
        let address = self.address();
        eventually("Postgres answers", UP_WITHIN, || async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.write_all(&ARE_YOU_THERE).await.ok()?;
            let mut answer = [0];
            stream.read_exact(&mut answer).await.ok()
        })
        .await;
    }

    /// At once, as in a crash: what was committed is recovered from its log.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = child.id().expect("it runs").try_into().expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGQUIT).expect("it takes signals");
        child.wait().await.expect("it ends");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(account) = &self.account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// Whoever is there: the package's own account, or nobody.
fn another() -> User {
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .expect("an account that is not root")
}

fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten();
    let mut folders: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort_unstable_by(|one, other| other.cmp(one));
    let path = env::var_os("PATH").unwrap_or_default();
    folders.extend(env::split_paths(&path));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| name.into())
}
