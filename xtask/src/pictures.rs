//! `cargo xtask pictures`: an operator's night in a real browser, and the pictures of the pages that the README shows.
//!
//! The test does it (`admin/tests/it/browser`); what it complains about fails the command. It is apart from `cargo xtask test` because a
//! browser is half a gigabyte.

use std::process::ExitCode;

use crate::{packages, stop::Stop, test, workspace::Workspace};

/// The folder, from the workspace's root.
const FOLDER: &str = "docs/pictures";

/// Installs the browser where it is missing, and runs the test on servers of its own.
///
/// # Errors
/// When the browser, the servers or the build fail; a test that fails is the exit code's matter.
pub fn run(workspace: &Workspace, stop: &Stop) -> anyhow::Result<ExitCode> {
    packages::ensure(&[packages::BROWSER], stop)?;
    let arguments = ["-p", "admin", "--test", "it", "browser", "--", "--ignored"];
    let folder = workspace.root().join(FOLDER);
    test::run_with(
        workspace,
        &arguments.map(str::to_owned),
        &[("REDRESS_PICTURES", folder.as_os_str())],
        stop,
    )
}
