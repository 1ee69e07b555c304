//! The weekly report: made once by whichever compensator is first after the week was over, also when that is late.

use crate::{
    findings::Findings,
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
use compensation::report::{self, Figures, Made, Stored, TriesKept, Week};
use ordering::leases::Leases;
use sqlx::MySqlPool;

/// Makes weekly reports.
pub struct WeeklyReport {
    db: MySqlPool,
    leases: Leases,
    kept: TriesKept,
}

impl WeeklyReport {
    /// Looks for weeks under a lease.
    #[must_use]
    pub const fn new(db: MySqlPool, leases: Leases, kept: TriesKept) -> Self {
        Self { db, leases, kept }
    }

    async fn make_missing(&self) -> anyhow::Result<Findings> {
        let due = report::due(&self.db)
            .await
            .context("MySQL does not tell which weekly reports are missing")?;
        let mut findings = Findings::nothing();
        let mut made = 0;
        for week in due {
            let figures = report::measure(&self.db, week, week.ends_at(), self.kept)
                .await
                .with_context(|| format!("MySQL does not let week {week} be counted"))?;
            let stored = report::make(&self.db, &figures)
                .await
                .with_context(|| format!("MySQL does not take the report of week {week}"))?;
            if stored == Made::Now {
                made += 1;
                findings = findings.did(format!("Made the weekly report {}", figures.title()));
            }
        }
        Ok(findings.count("made", made))
    }

    /// The report of a week: as it was stored, or as it is counted now; of no week in particular the last one that was stored. Nothing
    /// is written.
    ///
    /// # Errors
    /// What the database says; or that the week has not begun.
    pub async fn show(&self, week: Option<Week>) -> anyhow::Result<Findings> {
        let now = report::now(&self.db).await?;
        let stored = match week {
            Some(week) => report::find(&self.db, week).await?,
            None => report::latest(&self.db).await?,
        };
        if let Some(Stored { figures, made_at }) = stored {
            let head = format!(
                "{} (made {})",
                figures.title(),
                made_at.format("%Y-%m-%d %H:%M UTC")
            );
            return self.tell(&figures, head).await;
        }
        let week = week.unwrap_or_else(|| Week::of(now));
        anyhow::ensure!(week.starts_at() <= now, "week {week} has not begun");
        let figures = report::measure(&self.db, week, now, self.kept).await?;
        let what = if week.ends_at() > now {
            "so far"
        } else {
            "counted now, not stored"
        };
        let head = format!("{} ({what})", figures.title());
        self.tell(&figures, head).await
    }

    async fn tell(&self, figures: &Figures, head: String) -> anyhow::Result<Findings> {
        let before = report::find(&self.db, figures.week.before()).await?;
        let before = before.as_ref().map(|it| &it.figures);
        let mut findings = Findings::nothing()
            .found(head)
            .count("archived", figures.archived)
            .count("replayed", figures.replayed())
            .count("discarded", figures.discarded());
        if let Some(tries) = figures.tries {
            findings = findings
                .count("tries", tries.made)
                .count("settled", tries.settled)
                .count("given_up", tries.given_up);
        }
        for sentence in figures.sentences(before) {
            findings = findings.found(sentence);
        }
        Ok(findings)
    }
}

impl Scan for WeeklyReport {
    const NAME: &'static str = "weekly_report";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        under_lease(&self.leases, Self::NAME, self.make_missing()).await
    }
}
