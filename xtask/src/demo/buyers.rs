//! The crowd of one sale: the program `bench` as a child, its progress read from what it prints.

use std::{collections::BTreeMap, fs, path::PathBuf};

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

/// Buyers served at the same time at most.
const IN_FLIGHT: u32 = 300;

/// Who comes to a sale.
#[derive(Debug, Clone)]
pub struct Crowd {
    pub name: &'static str,
    pub units: u64,
    pub buyers: u64,
    /// What the first of them write on their orders, and how many.
    pub remarks: Vec<(&'static str, u64)>,
    pub seed: u64,
}

/// A sale that is on.
#[derive(Debug)]
pub struct Sale {
    crowd: Crowd,
    child: Child,
    log: PathBuf,
    report: PathBuf,
    reached: Reached,
    line: Step,
}

/// What buyers have got to, as `bench` prints it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
struct Reached {
    answered: u64,
    accepted: u64,
}

/// How a sale went.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sold {
    pub sale_id: String,
    pub requests: u64,
    pub answers: u64,
    pub accepted: u64,
    /// Orders with a remark, by the remark.
    #[serde(default)]
    pub remarked: BTreeMap<String, Vec<String>>,
    pub rejected: BTreeMap<String, u64>,
    /// Buyers who got no final answer.
    #[serde(default)]
    gave_up: BTreeMap<String, u64>,
    pub retries: u64,
    pub duration_s: f64,
    /// Final answers a second.
    pub rate: f64,
    pub accepted_rate: f64,
    pub latency_ms: Latency,
}

/// Milliseconds, of accepted orders.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Sold {
    pub fn everyone_was_answered(&self) -> bool {
        self.gave_up.is_empty()
    }
}

impl Crowd {
    /// Opens the sale and lets the buyers in.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn arrive(self, workspace: &Workspace, stack: &Stack) -> anyhow::Result<Sale> {
        let name = self.name.to_lowercase();
        let report = stack.folder.join(&format!("{KEPT}/report-{name}.json"));
        let log = stack.folder.new_log(&format!("buyers-{name}"))?;
        let mut words = vec![
            "buyers".to_owned(),
            format!("--endpoints={}", stack.endpoints_file.path()),
            format!("--config={}", stack.config.display()),
            format!("--sale-units={}", self.units),
            format!("--buyers={}", self.buyers),
            format!("--in-flight={IN_FLIGHT}"),
            format!("--seed={}", self.seed),
            format!(
                "--journal={}",
                stack
                    .folder
                    .join(&format!("{KEPT}/journal-{name}"))
                    .display()
            ),
            format!("--report={}", report.display()),
        ];
        let remarks = self.remarks.iter();
        words.extend(remarks.map(|(text, buyers)| format!("--remark={text}:{buyers}")));
        let program = Program {
            name: "bench".to_owned(),
            path: workspace.release_binary("bench"),
            args: words,
            log: log.clone(),
        };
        let line = Step::begin(&format!("sale {}", self.name));
        Ok(Sale {
            crowd: self,
            child: program.start()?,
            log,
            report,
            reached: Reached::default(),
            line,
        })
    }
}

impl Sale {
    /// Waits a moment and looks how far it is.
    ///
    /// # Errors
    /// When a signal asks to stop.
    pub fn is_over(&mut self, stop: &Stop) -> anyhow::Result<bool> {
        stop.pause()?;
        let printed = fs::read_to_string(&self.log).unwrap_or_default();
        if let Some(reached) = last_reached(&printed).filter(|reached| *reached != self.reached) {
            self.reached = reached;
            self.line.progress(&format!(
                "{} of {} buyers answered, {} of {} units accepted",
                count(reached.answered),
                count(self.crowd.buyers),
                count(reached.accepted),
                count(self.crowd.units)
            ));
        }
        Ok(self.child.ended()?.is_some())
    }

    /// Half of the units are promised, or half of the buyers answered.
    pub fn is_half_way(&self) -> bool {
        self.reached.accepted * 2 >= self.crowd.units
            || self.reached.answered * 2 >= self.crowd.buyers
    }

    /// The line on the terminal, to say more above it.
    pub fn line(&self) -> &Step {
        &self.line
    }

    /// What came of it.
    ///
    /// # Errors
    /// When the program failed before it could say.
    pub fn result(mut self) -> anyhow::Result<Sold> {
        let Some(status) = self.child.ended()? else {
            bail!("the sale is not over")
        };
        // It also fails when a buyer gave up, but says everything then.
        let Ok(text) = fs::read(&self.report) else {
            bail!("{}", self.child.obituary(status))
        };
        let sold: Sold = serde_json::from_slice(&text)
            .with_context(|| format!("cannot read {}", self.report.display()))?;
        let rejected: u64 = sold.rejected.values().sum();
        self.line.done(&format!(
            "{} requests: {} accepted, {} rejected, {} asked again",
            count(sold.requests),
            count(sold.accepted),
            count(rejected),
            count(sold.retries)
        ));
        Ok(sold)
    }
}

/// The last complete line that is progress.
fn last_reached(printed: &str) -> Option<Reached> {
    let complete = printed.rsplit_once('\n')?.0;
    complete
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_complete_line_that_is_one() {
        let printed = "{\"sent\":1,\"answered\":1,\"accepted\":1}\n\
                       {\"sent\":9,\"answered\":8,\"accepted\":7}\n\
                       a warning\n\
                       {\"sent\":10,\"answ";
        assert_eq!(
            last_reached(printed),
            Some(Reached {
                answered: 8,
                accepted: 7
            })
        );
        assert_eq!(last_reached(""), None);
    }
}
