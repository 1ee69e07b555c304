//! stub
use crate::{stop::Stop, workspace::Workspace};
use std::process::ExitCode;
pub struct Wanted {
    pub exit: bool,
    pub seed: u64,
}
pub fn run(_w: &Workspace, wanted: Wanted, _s: &Stop) -> anyhow::Result<ExitCode> {
    let _ = (wanted.exit, wanted.seed);
    Ok(ExitCode::SUCCESS)
}
