//! The Kafka broker: distributions do not package it, so its jars come from Maven Central, once a checkout.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::{
    child::Program, files, folder::Folder, packages, stop::Stop, terminal::Step,
    workspace::Workspace,
};

/// As in `xtask/kafka/pom.xml`.
const FOLDER: &str = "kafka-4.0.0";

/// Installs what getting and running the broker needs, Maven only when the jars are not there yet.
///
/// # Errors
/// When something is missing and cannot be installed.
pub fn ensure_programs(workspace: &Workspace, stop: &Stop) -> anyhow::Result<()> {
    let needs: &[packages::Need] = if workspace.kept(FOLDER).exists() {
        &[packages::JAVA]
    } else {
        &[packages::JAVA, packages::MAVEN]
    };
    packages::ensure(needs, stop)
}

/// The folder with the jars, fetched first when it is missing.
///
/// # Errors
/// When Maven cannot get them; its log says why.
pub fn fetch(workspace: &Workspace, folder: &Folder, stop: &Stop) -> anyhow::Result<PathBuf> {
    let jars = workspace.kept(FOLDER);
    if jars.exists() {
        return Ok(jars);
    }
    let shown = Step::begin("Kafka's jars");
    // A name of its own: another command of this checkout may be fetching too.
    let unfinished = workspace.kept(&format!("{FOLDER}.{}", std::process::id()));
    files::remove(&unfinished)?;
    let maven = Program {
        name: "mvn".to_owned(),
        path: packages::find(packages::MAVEN)?,
        args: vec![
            "--batch-mode".to_owned(),
            format!(
                "--file={}",
                workspace.root().join("xtask/kafka/pom.xml").display()
            ),
            "dependency:copy-dependencies".to_owned(),
            format!("-DoutputDirectory={}", unfinished.display()),
        ],
        log: folder.new_log("mvn")?,
    };
    let fetched = maven.run(stop).and_then(|()| keep(&unfinished, &jars));
    files::remove(&unfinished)?;
    fetched.context("cannot get the Kafka broker from Maven Central (give REDRESS_KAFKA=host:port to use another)")?;
    shown.done(&jars.display().to_string());
    Ok(jars)
}

fn keep(unfinished: &Path, jars: &Path) -> anyhow::Result<()> {
    let count = fs::read_dir(unfinished)?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension() == Some(OsStr::new("jar")))
        .count();
    ensure!(count > 50, "Maven brought {count} jars only");
    match fs::rename(unfinished, jars) {
        // Another command was faster.
        Err(_) if jars.exists() => Ok(()),
        renamed => renamed.context("cannot rename the folder of jars"),
    }
}
