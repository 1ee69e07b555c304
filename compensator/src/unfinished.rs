//! Transactions that were decided and not completed, because a process died or Redis did not answer.

use crate::{
    findings::Findings,
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
use coordinator::Recovered;
use ordering::{engine::Recovery, leases::Leases};

/// Batches a turn, at most: beyond it the backlog's figures would grow old.
const BATCHES: usize = 40;

/// Batches a turn that may finish nothing: what waits for one participant does not hide what another would do at once.
const FRUITLESS: usize = 3;

/// Completes unfinished transactions.
pub struct Unfinished {
    recovery: Recovery,
    leases: Leases,
}

impl Unfinished {
    /// Completes through `recovery`, one process at a time.
    #[must_use]
    pub fn new(recovery: Recovery, leases: Leases) -> Self {
        Self { recovery, leases }
    }

    /// Returns once the participants outside that are being told have answered, or had their time.
    pub async fn told(&self) {
        self.recovery.told().await;
    }

    async fn complete(&self) -> anyhow::Result<Findings> {
        let (mut finished, mut waiting, mut stuck, mut telling) = (0, 0, 0, 0);
        let mut fruitless = 0;
        for _ in 0..BATCHES {
            let recovered = self
                .recovery
                .run_batch()
                .await
                .context("MySQL does not let transactions be completed")?;
            finished += recovered.finished;
            waiting += recovered.waiting;
            stuck += recovered.stuck;
            telling += recovered.telling;
            if recovered.finished + recovered.telling == 0 {
                fruitless += 1;
            }
            if recovered == Recovered::default() || fruitless == FRUITLESS {
                break;
            }
        }
        let mut findings = Findings::nothing();
        for (transactions, name, what) in [
            (
                finished,
                "finished",
                "that were left unfinished are completed",
            ),
            (
                telling,
                "telling",
                "are done but for participants outside, which are being told",
            ),
            (stuck, "stuck", "are stuck now: an operator resumes them"),
        ] {
            findings = findings.count(name, transactions as u64);
            if transactions > 0 {
                findings = findings.did(format!("{transactions} transactions {what}"));
            }
        }
        findings = findings.count("waiting", waiting as u64);
        Ok(if waiting > 0 {
            findings.found(format!(
                "{waiting} times a transaction could not be completed, and is tried again later"
            ))
        } else if finished + telling + stuck == 0 {
            findings.found("No transaction that is due is unfinished")
        } else {
            findings
        })
    }
}

impl Scan for Unfinished {
    const NAME: &'static str = "unfinished_transactions";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let findings = under_lease(&self.leases, Self::NAME, self.complete()).await?;
        self.recovery
            .observe()
            .await
            .context("MySQL does not tell what is unfinished")?;
        Ok(findings)
    }
}
