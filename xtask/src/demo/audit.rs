//! The auditor as a child: it samples while the sales are on and judges when they are over.

use std::{fs, path::PathBuf, process::ExitStatus};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::KEPT;
use crate::{
    child::{Child, Program},
    stack::Stack,
    stop::Stop,
    terminal::{Step, count},
    workspace::Workspace,
};

/// How long the last orders may take to settle.
const SETTLE_WITHIN_S: u32 = 60;

/// The auditor's exit status when it judged and something does not hold; others mean that it could not judge.
const VIOLATED: i32 = 1;

/// A running auditor.
#[derive(Debug)]
pub struct Audit {
    child: Child,
    report: PathBuf,
}

/// What it found.
#[derive(Debug, Deserialize)]
pub struct Found {
    pub verdicts: Vec<Verdict>,
    pub orders: Orders,
    pub failures: Failures,
    #[serde(default)]
    pub settled_after_s: f64,
}

/// On one promise.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    pub promise: u8,
    pub title: String,
    pub holds: bool,
    pub checked: u64,
    pub violations: Vec<serde_json::Value>,
}

/// Orders in the database.
#[derive(Debug, Deserialize)]
pub struct Orders {
    pub confirmed: u64,
    pub rejected: u64,
    pub failed: u64,
}

/// Orders that failed on the way, and who was told.
#[derive(Debug, Deserialize)]
pub struct Failures {
    pub handed_on: u64,
    pub healed: u64,
    pub archived: u64,
    pub resolved: u64,
    pub alerts_delivered: u64,
    pub alerts_undelivered: u64,
}

impl Found {
    pub fn all_hold(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.holds)
    }
}

impl Audit {
    /// Begins to sample.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn begin(workspace: &Workspace, stack: &Stack) -> anyhow::Result<Self> {
        let kept = |name: &str| stack.folder.join(&format!("{KEPT}/{name}"));
        let report = kept("verdicts.json");
        let args = [
            format!("--endpoints={}", stack.endpoints_file.path()),
            format!("--journal={}", kept("journal-a").display()),
            format!("--journal={}", kept("journal-b").display()),
            format!("--journal={}", kept("journal-c").display()),
            format!("--settle-within={SETTLE_WITHIN_S}"),
            format!("--json={}", report.display()),
            "--watch".to_owned(),
        ];
        let program = Program {
            name: "auditor".to_owned(),
            path: workspace.release_binary("auditor"),
            args: args.to_vec(),
            log: stack.folder.new_log("auditor")?,
        };
        Ok(Self {
            child: program.start_listening()?,
            report,
        })
    }

    /// Waits until everything is settled and judged.
    ///
    /// # Errors
    /// When no verdict was possible, or a signal asks to stop.
    pub fn finish(mut self, stop: &Stop) -> anyhow::Result<Found> {
        let line = Step::begin("auditor");
        self.child.close_input();
        let status = self.child.wait(stop)?;
        if !is_verdict(status) {
            bail!("{}", self.child.obituary(status));
        }
        let text = fs::read(&self.report)
            .with_context(|| format!("cannot read {}", self.report.display()))?;
        let found: Found = serde_json::from_slice(&text).context("the auditor's report")?;
        let checked: u64 = found.verdicts.iter().map(|verdict| verdict.checked).sum();
        line.done(&format!(
            "settled after {:.1} s; looked at {} facts",
            found.settled_after_s,
            count(checked)
        ));
        Ok(found)
    }
}

fn is_verdict(status: ExitStatus) -> bool {
    status.success() || status.code() == Some(VIOLATED)
}
