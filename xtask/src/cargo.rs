//! Cargo, run tied to the launcher, its output straight to the terminal.

use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, ensure};

use crate::{
    exec::{self, Tie},
    stop::Stop,
    workspace::{self, Workspace},
};

/// A cargo command at the root of the workspace. Queries are checked against `.sqlx` unless the environment says otherwise.
pub fn cargo(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = exec::command(Tie::Group, &workspace::cargo());
    command
        .args(args)
        .current_dir(workspace.root())
        .stdin(Stdio::null());
    if std::env::var_os("SQLX_OFFLINE").is_none() {
        command.env("SQLX_OFFLINE", "true");
    }
    command
}

/// Runs `command` to its end.
///
/// # Errors
/// When it cannot be started, or a signal asks to stop (it is then ended with all its children).
pub fn status(command: &mut Command, stop: &Stop) -> anyhow::Result<ExitStatus> {
    let mut child = command.spawn().context("cannot start cargo")?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(interrupted) = stop.pause() {
            let pid = i32::try_from(child.id())?;
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            )?;
            child.wait()?;
            return Err(interrupted.into());
        }
    }
}

/// Runs `command`, which must succeed.
///
/// # Errors
/// As [`status`], and when it fails; cargo has then said why.
pub fn succeed(command: &mut Command, stop: &Stop) -> anyhow::Result<()> {
    let words: Vec<_> = command
        .get_args()
        .skip(3)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    ensure!(
        status(command, stop)?.success(),
        "`cargo {}` failed",
        words.join(" ")
    );
    Ok(())
}
