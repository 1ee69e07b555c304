//! `cargo xtask check`: format, lints, documentation, and whether `.sqlx` is what the queries say today.
//!
//! For the last, the schema is migrated into an empty MariaDB, every query is compiled against it into a folder of its own,
//! and that folder is compared with the committed one.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::{
    cargo, config, files,
    folder::Folder,
    packages,
    ports::Ports,
    processes::{self, Listen},
    secrets::Secrets,
    servers::{Addresses, Starting},
    service::Services,
    stop::Stop,
    terminal,
    workspace::Workspace,
};

const COMMITTED: &str = ".sqlx";

/// # Errors
/// When one of the checks does not hold; cargo or the message says what.
pub fn run(workspace: &Workspace, stop: &Stop) -> anyhow::Result<ExitCode> {
    packages::ensure(packages::BUILDING, stop)?;
    terminal::heading("Format");
    cargo::succeed(
        &mut cargo::cargo(workspace, &["fmt", "--all", "--check"]),
        stop,
    )?;
    terminal::heading("Lints");
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    cargo::succeed(&mut cargo::cargo(workspace, &clippy), stop)?;
    terminal::heading("Documentation");
    let mut doc = cargo::cargo(
        workspace,
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ],
    );
    cargo::succeed(doc.env("RUSTDOCFLAGS", "-D warnings"), stop)?;
    terminal::heading("Queries");
    let folder = lock(workspace)?;
    let today = compile_queries(workspace, &folder, stop)?;
    let differing = differing(
        &read_all(&workspace.root().join(COMMITTED))?,
        &read_all(&today)?,
    );
    if !differing.is_empty() {
        bail!(
            "{COMMITTED} is out of date ({} queries): run `cargo xtask check --write-sqlx`",
            differing.len()
        );
    }
    terminal::line("\nEverything holds.");
    Ok(ExitCode::SUCCESS)
}

/// Makes `.sqlx` what the queries say today.
///
/// # Errors
/// When a query does not compile against the migrated schema.
pub fn write_sqlx(workspace: &Workspace, stop: &Stop) -> anyhow::Result<ExitCode> {
    packages::ensure(packages::BUILDING, stop)?;
    let folder = lock(workspace)?;
    let today = compile_queries(workspace, &folder, stop)?;
    let committed = workspace.root().join(COMMITTED);
    let queries = read_all(&today)?;
    files::remove(&committed)?;
    fs::create_dir(&committed)?;
    for (name, text) in &queries {
        fs::write(committed.join(name), text)?;
    }
    terminal::line(&format!("{COMMITTED}: {} queries written", queries.len()));
    Ok(ExitCode::SUCCESS)
}

fn lock(workspace: &Workspace) -> anyhow::Result<Folder> {
    let folder = Folder::lock(&workspace.kept("check-stack"))?;
    folder.wipe()?;
    Ok(folder)
}

/// Compiles every query of the workspace against the migrated schema; gives the folder with what sqlx wrote.
fn compile_queries(workspace: &Workspace, folder: &Folder, stop: &Stop) -> anyhow::Result<PathBuf> {
    packages::ensure(packages::MYSQL, stop)?;
    cargo::succeed(
        &mut cargo::cargo(workspace, &["build", "--package", "migrations"]),
        stop,
    )?;
    let secrets = Secrets::kept_in(folder)?;
    let mut ports = Ports::new()?;
    let mut services = Services::default();
    let mysql = Starting {
        workspace,
        folder,
        data: "data",
        secrets: &secrets,
        ports: &mut ports,
        stop,
    }
    .only_mysql(&mut services)?;
    let database = mysql.to_string();
    let listen = Listen::choose(&mut ports)?;
    let config = config::write(folder, "data", &secrets, &only(mysql), &listen, None)?;
    processes::migrate(&workspace.debug_binary("migrations"), folder, &config, stop)?;

    let queries = folder.join("queries");
    files::make_private_dir(&queries)?;
    // A folder of its own: a query is written only when its crate is compiled, so ours are forgotten, and others are kept.
    let target = format!("--target-dir={}", workspace.kept("check-queries").display());
    cargo::succeed(
        &mut cargo::cargo(workspace, &["clean", "--quiet", "--workspace", &target]),
        stop,
    )?;
    let mut check = cargo::cargo(
        workspace,
        &["check", "--workspace", "--all-targets", &target],
    );
    check
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &queries)
        .env("DATABASE_URL", database);
    cargo::succeed(&mut check, stop)?;
    Ok(queries)
}

/// Settings are one file for all; the schema's runner uses the database only, the rest must merely be there.
fn only(mysql: crate::mysql_url::MysqlUrl) -> Addresses {
    let redis = "redis://127.0.0.1:6379".to_owned();
    Addresses {
        mysql,
        redis_stock: redis.clone(),
        redis_lock: vec![redis],
        kafka: "127.0.0.1:9092".to_owned(),
    }
}

type Queries = BTreeMap<OsString, String>;

fn read_all(folder: &Path) -> anyhow::Result<Queries> {
    if !folder.exists() {
        return Ok(Queries::new());
    }
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            Ok((entry.file_name(), text))
        })
        .collect()
}

/// The names of queries only one side has, or both have differently.
fn differing(committed: &Queries, today: &Queries) -> Vec<OsString> {
    let changed = today
        .iter()
        .filter(|&(name, text)| committed.get(name) != Some(text))
        .map(|(name, _)| name);
    let gone = committed.keys().filter(|name| !today.contains_key(*name));
    changed.chain(gone).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(pairs: &[(&str, &str)]) -> Queries {
        pairs
            .iter()
            .map(|&(name, text)| (name.into(), text.to_owned()))
            .collect()
    }

    #[test]
    fn a_new_a_changed_and_a_forgotten_query_are_each_noticed() {
        let committed = queries(&[("same", "1"), ("changed", "1"), ("gone", "1")]);
        let today = queries(&[("same", "1"), ("changed", "2"), ("new", "1")]);
        assert_eq!(differing(&committed, &today), ["changed", "new", "gone"]);
        assert!(differing(&committed, &committed).is_empty());
    }
}
