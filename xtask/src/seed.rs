//! `cargo xtask seed`: failed work by the million, made up by the program `bench`, in the database of the stack that is up or of the
//! settings given.

use std::{path::PathBuf, process::ExitCode};

use anyhow::ensure;

use crate::{
    cargo,
    exec::{self, Tie},
    processes, stack,
    stop::Stop,
    workspace::Workspace,
};

/// What was asked for.
#[derive(Debug)]
pub struct Wanted {
    /// The settings; those of the running stack when there are none.
    pub config: Option<PathBuf>,
    /// What `bench seed` is to be told besides.
    pub arguments: Vec<String>,
}

/// Builds the program and runs it.
///
/// # Errors
/// When no stack is up and no settings are given, or a signal asks to stop. A refusal of the program is the exit code's matter.
pub fn run(workspace: &Workspace, wanted: &Wanted, stop: &Stop) -> anyhow::Result<ExitCode> {
    let config = if let Some(config) = &wanted.config {
        config.clone()
    } else {
        let folder = workspace.kept(stack::FOLDER);
        ensure!(
            folder.join("endpoints.json").exists(),
            "no stack is up: start one with `cargo xtask up`, or name a settings file with --config"
        );
        folder.join("config.yaml")
    };
    processes::build(workspace, stop)?;
    let program = workspace.release_binary("bench");
    let mut seeding = exec::command(Tie::Child, &program.to_string_lossy());
    seeding
        .arg("seed")
        .arg(format!("--config={}", config.display()))
        .args(&wanted.arguments);
    let status = cargo::status(&mut seeding, stop)?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
