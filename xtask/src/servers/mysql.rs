//! A MariaDB with the durability Redress asks for: every commit is on disk, in the redo log and in the binary log.

use std::{fs, path::Path};

use anyhow::Context as _;
use nix::unistd::geteuid;

use super::Starting;
use crate::{child::Program, files, mysql_url::MysqlUrl, packages, probe::Probe, service::Service};

const USER: &str = "redress";
const SCHEMA: &str = "redress";

/// Starts it on its data, made at the first start.
///
/// # Errors
/// When the data cannot be made or the server not be started.
pub fn start(starting: &mut Starting<'_>) -> anyhow::Result<(Service, MysqlUrl)> {
    let data = starting.data_dir("mysql");
    // A server that starts removes what another one left in the folder for temporary files, whether that one runs or not.
    let temporary = starting.folder.join("mysql-tmp");
    files::make_private_dir(&temporary)?;
    if !data.exists() {
        make_data(starting, &data, &temporary)?;
    }
    let url = MysqlUrl {
        host: "127.0.0.1".to_owned(),
        port: starting.ports.free()?,
        user: USER.to_owned(),
        password: starting.secrets.mysql_password.clone(),
        name: SCHEMA.to_owned(),
    };
    let init = starting.folder.join("mysql-init.sql");
    files::write_private(&init, &init_statements(&url))?;
    let program = Program {
        name: "mariadb".to_owned(),
        path: packages::find(packages::MARIADBD)?,
        args: arguments(&data, &temporary, &init, url.port),
        log: starting.folder.new_log("mariadb")?,
    };
    Ok((Service::start(program, url.port, Probe::Mysql)?, url))
}

fn make_data(starting: &Starting<'_>, data: &Path, temporary: &Path) -> anyhow::Result<()> {
    let unfinished = data.with_extension("unfinished");
    files::remove(&unfinished)?;
    files::make_private_dir(&unfinished)?;
    let mut args = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", unfinished.display()),
        format!("--tmpdir={}", temporary.display()),
        "--auth-root-authentication-method=normal".to_owned(),
        "--skip-test-db".to_owned(),
    ];
    args.extend(user_argument());
    let install = Program {
        name: "mariadb-install-db".to_owned(),
        path: packages::find(packages::MARIADB_INSTALL_DB)?,
        args,
        log: starting.folder.new_log("mariadb-install-db")?,
    };
    install.run(starting.stop)?;
    fs::rename(&unfinished, data).context("cannot rename the new database folder")
}

fn arguments(data: &Path, temporary: &Path, init: &Path, port: u16) -> Vec<String> {
    let mut args = vec!["--no-defaults".to_owned()];
    args.extend(user_argument());
    args.extend([
        format!("--datadir={}", data.display()),
        format!("--tmpdir={}", temporary.display()),
        format!("--init-file={}", init.display()),
        format!("--port={port}"),
    ]);
    args.extend(
        [
            "--bind-address=127.0.0.1",
            // No socket file: its path may be at most 107 bytes long, a checkout's may be longer.
            "--socket=",
            "--skip-name-resolve",
            "--server-id=1",
            "--character-set-server=utf8mb4",
            "--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
            "--innodb-flush-log-at-trx-commit=1",
            "--log-bin=binlog",
            "--sync-binlog=1",
            "--binlog-expire-logs-seconds=86400",
            "--max-binlog-size=256M",
            // The text of each statement beside its rows is a seventh of what a drain writes, and nobody reads it.
            "--binlog-annotate-row-events=OFF",
            "--innodb-buffer-pool-size=1G",
            // With the 96 MB it has by default pages are written out early and often: what drains after an outage then keeps the disk
            // busy for buyers too.
            "--innodb-log-file-size=1G",
            "--max-connections=500",
        ]
        .map(str::to_owned),
    );
    args
}

/// mariadbd refuses to run as root unless told that it may.
fn user_argument() -> Option<String> {
    geteuid().is_root().then(|| "--user=root".to_owned())
}

/// Run at every start, before the first connection. One statement a line: that is how the server reads the file.
fn init_statements(url: &MysqlUrl) -> String {
    let MysqlUrl {
        user,
        password,
        name,
        ..
    } = url;
    [
        // An anonymous user would shadow ours on localhost; root has no password and is not needed.
        "delete from mysql.global_priv where user in ('', 'root');".to_owned(),
        "flush privileges;".to_owned(),
        format!("create or replace user '{user}'@'%' identified by '{password}';"),
        // All rights: the tests make a schema each.
        format!("grant all on *.* to '{user}'@'%';"),
        format!("create database if not exists {name} character set utf8mb4;"),
        String::new(),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_the_init_file_is_a_line_of_its_own() {
        let url: MysqlUrl = "mysql://redress:secret@127.0.0.1:1/redress"
            .parse()
            .unwrap();
        assert!(
            init_statements(&url)
                .lines()
                .all(|line| line.ends_with(';'))
        );
    }
}
