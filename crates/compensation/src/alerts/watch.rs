//! Whether MySQL answers: people are told when it does not, from the spool, and again when it does; and how many alerts neither of the
//! two took.

use super::{
    Alert, Severity,
    backlog::NotMoved,
    incidents,
    lane::{Desk, answered},
    metrics::{ALERTS_UNDELIVERED, ALERTS_WAITING},
    outbox, raise, record,
    tally::Tally,
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use metrics::gauge;
use sqlx::{Connection as _, MySqlConnection};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

/// A server that has not answered a ping by then does not answer.
const PING_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked for alerts to channels that nobody has any longer.
const UNKNOWN_CHANNELS_EVERY: Duration = Duration::from_mins(1);
/// How often it is counted what waits and what was given up.
const COUNTED_EVERY: Duration = Duration::from_secs(15);
/// What is told of MySQL is about this.
const KIND: &str = "system";
const SUBJECT: &str = "mysql";

/// Looks at MySQL over a connection of its own: a pool whose connections are all busy says nothing about the server.
pub(super) struct Watch {
    desk: Arc<Desk>,
    channels: Vec<String>,
    worker: String,
    connection: Option<MySqlConnection>,
    answered_at: Instant,
    /// Since when it has been silent, once people were told so, and the alert that says it.
    told: Option<(DateTime<Utc>, Uuid)>,
    /// Whether what a process before this one told of was looked for.
    knows_the_past: bool,
    unknown_channels_at: Instant,
    counted_at: Option<Instant>,
    /// Channels that were counted.
    counted: BTreeSet<String>,
    /// Whether the log says that the folder for alerts cannot be written.
    folder_fails: bool,
}

impl Watch {
    pub(super) fn new(desk: Arc<Desk>, channels: Vec<String>, worker: String) -> Self {
        let now = Instant::now();
        Self {
            desk,
            channels,
            worker,
            connection: None,
            answered_at: now,
            told: None,
            knows_the_past: false,
            unknown_channels_at: now,
            counted_at: None,
            counted: BTreeSet::new(),
            folder_fails: false,
        }
    }

    /// One look: moves the spool's alerts into the outbox when MySQL takes them, tells people when it has been silent too long, and that
    /// it answers again once what it was told of is moved: the other way round the end would come before its beginning.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        self.keep_counts().await;
        if let Err(cause) = self.ping().await {
            self.connection = None;
            self.desk.mysql_knows.store(false, Ordering::Relaxed);
            if self.desk.mysql_takes.swap(false, Ordering::Relaxed) {
                warn!("MySQL does not answer, alerts are sent from the spool: {cause:#}");
            }
            return self.tell_of_silence().await;
        }
        self.answered_at = Instant::now();
        let moved = self.move_spooled().await;
        let all = matches!(moved, Ok(0));
        self.desk.mysql_knows.store(all, Ordering::Relaxed);
        // A spool that gives nothing keeps no alert in the outbox.
        let takes = !matches!(moved, Err(NotMoved::Database(_)));
        self.desk.mysql_takes.store(takes, Ordering::Relaxed);
        if takes {
            let told = self.tell_of_lost().await;
            self.give_up_unknown_channels().await?;
            self.count().await?;
            self.tell_that_it_answers().await?;
            told?;
        }
        moved?;
        Ok(())
    }

    /// Moves all that MySQL takes, says that it answers where people were told otherwise, and lets another process have the spool.
    pub(super) async fn hand_over(&mut self) {
        self.keep_counts().await;
        if self.ping().await.is_ok() {
            self.answered_at = Instant::now();
            while matches!(self.move_spooled().await, Ok(1..)) {}
            if let Err(cause) = self.tell_of_lost().await {
                warn!("People are not told yet of alerts that were lost: {cause:#}");
            }
            if let Err(cause) = self.tell_that_it_answers().await {
                warn!("People are not told yet that MySQL answers: {cause:#}");
            }
        } else {
            self.connection = None;
        }
        self.desk.backlog.release().await;
    }

    async fn ping(&mut self) -> anyhow::Result<()> {
        let options = self.desk.db.connect_options();
        let pinging = async {
            if self.connection.is_none() {
                self.connection = Some(MySqlConnection::connect_with(&options).await?);
            }
            match &mut self.connection {
                Some(connection) => connection.ping().await,
                None => Ok(()),
            }
        };
        Ok(timeout(PING_WITHIN, pinging)
            .await
            .context("no answer within 1 s")??)
    }

    async fn tell_of_silence(&mut self) -> anyhow::Result<()> {
        let silent = self.answered_at.elapsed();
        if self.told.is_some() || silent < self.desk.policy.silence {
            return Ok(());
        }
        let since = Utc::now() - silent;
        error!("MySQL has not answered for {} s", silent.as_secs());
        let alert = Alert::new(KIND, Severity::Urgent, SUBJECT, "MySQL does not answer")
            .text("Nothing is decided until it answers again; what was accepted waits.")
            .fact("silent since", since.to_rfc3339())
            .fact("seen by", &self.worker);
        self.desk
            .backlog
            .spool()
            .put(&alert)
            .await
            .context("nobody can be told that MySQL does not answer")?;
        self.told = Some((since, alert.id));
        Ok(())
    }

    async fn tell_that_it_answers(&mut self) -> anyhow::Result<()> {
        let answers = Alert::new(KIND, Severity::Info, SUBJECT, "MySQL answers again")
            .text("What waited goes on by itself.")
            .fact("seen by", &self.worker)
            .resolves();
        let alert = match self.told {
            Some((_, id)) if !self.desk.backlog.has_moved(id).await? => return Ok(()),
            Some((since, _)) => answers.fact("silent since", since.to_rfc3339()),
            None if !self.knows_the_past && self.was_told_before().await? => answers,
            None => {
                self.knows_the_past = true;
                return Ok(());
            }
        };
        info!("MySQL answers again");
        raise(&self.desk.db, self.desk.backlog.spool(), &alert).await?;
        (self.told, self.knows_the_past) = (None, true);
        Ok(())
    }

    /// Sees to it that what was lost is counted on the disk, and that there is room for that beforehand.
    async fn keep_counts(&mut self) {
        let kept = self.desk.backlog.spool().keep_counts().await;
        if let (Err(cause), false) = (&kept, self.folder_fails) {
            error!(
                "The folder for alerts cannot be written, there is no place for them while MySQL is away: {cause}"
            );
        }
        self.folder_fails = kept.is_err();
    }

    /// Tells people how many alerts neither MySQL nor the spool took: those that only this process knows of, and those on the disk.
    async fn tell_of_lost(&self) -> anyhow::Result<()> {
        let spool = self.desk.backlog.spool();
        let unwritten = spool.lost().take_unwritten();
        if let Err(cause) = self.tell_of(&unwritten).await {
            spool.lost().put_back(unwritten);
            return Err(cause);
        }
        let Some(page) = spool.counted().await.context("the spool cannot be read")? else {
            return Ok(());
        };
        // Who dies in between tells of the same ones once more, under the same id.
        self.tell_of(&page.tally).await?;
        let cleared = spool.on_disk(move |_| page.clear()).await;
        cleared.context("that people were told of lost alerts is not written down")
    }

    async fn tell_of(&self, lost: &Tally) -> anyhow::Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let writing = async { record(&mut *self.desk.db.acquire().await?, &lost.alert()).await };
        answered(writing).await?;
        let total = lost.total();
        error!(
            "{total} alerts were lost, people are told that: neither MySQL nor the spool took them"
        );
        Ok(())
    }

    /// Whoever told people that it is silent may have died since.
    async fn was_told_before(&self) -> anyhow::Result<bool> {
        let group = format!("{KIND}/{SUBJECT}");
        answered(incidents::stands(&self.desk.db, &group)).await
    }

    async fn move_spooled(&mut self) -> Result<usize, NotMoved> {
        let Some(connection) = &mut self.connection else {
            return Ok(0);
        };
        match self.desk.backlog.move_into_outbox(connection).await {
            Ok(0) => Ok(0),
            Ok(moved) => {
                info!(
                    count = moved,
                    "Moved {moved} spooled alerts into the outbox"
                );
                Ok(moved)
            }
            Err(cause) => {
                // It may have broken in the middle of a transaction.
                self.connection = None;
                Err(cause)
            }
        }
    }

    async fn give_up_unknown_channels(&mut self) -> anyhow::Result<()> {
        if self.unknown_channels_at > Instant::now() {
            return Ok(());
        }
        self.unknown_channels_at = Instant::now() + UNKNOWN_CHANNELS_EVERY;
        let Desk { db, policy, .. } = &*self.desk;
        answered(outbox::give_up_unknown_channels(
            db,
            &self.channels,
            policy.give_up_after,
        ))
        .await
    }

    /// Measures what waits. Channels whose last one has gone stand at zero.
    async fn count(&mut self) -> anyhow::Result<()> {
        if self
            .counted_at
            .is_some_and(|at| at.elapsed() < COUNTED_EVERY)
        {
            return Ok(());
        }
        self.counted_at = Some(Instant::now());
        let mut counts = answered(outbox::counts_by_channel(&self.desk.db)).await?;
        // Also those that nobody has any longer.
        let mine = self.channels.iter().map(String::as_str).chain([""]);
        for channel in mine.chain(self.counted.iter().map(String::as_str)) {
            counts.entry(channel.to_owned()).or_default();
        }
        self.counted = counts.keys().cloned().collect();
        for (channel, (waiting, undelivered)) in counts {
            gauge!(ALERTS_WAITING, "channel" => channel.clone()).set(waiting as f64);
            gauge!(ALERTS_UNDELIVERED, "channel" => channel).set(undelivered as f64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Notice, lane};
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// Breaks when a channel is forgotten with its last row: its figure would stand for ever where it stood last.
    #[tokio::test]
    async fn a_channel_that_was_removed_stands_at_zero_once_nothing_of_it_is_left() {
        let schema = testkit::mysql::schema().await;
        let folder = tempfile::tempdir().unwrap();
        let desk = lane::tests::desk_at(schema.pool.clone(), folder.path());
        let mut watch = Watch::new(desk, vec!["ops".to_owned()], "test".to_owned());
        let recorder = PrometheusBuilder::new().build_recorder();
        let measured = recorder.handle();
        let _counting = metrics::set_default_local_recorder(&recorder);
        let shown = async |watch: &mut Watch| {
            watch.counted_at = None;
            watch.count().await.unwrap();
            let scraped = measured.render();
            let of = |name: &str| {
                let begins = format!("{name}{{channel=\"removed\"}} ");
                let line = scraped.lines().find_map(|line| line.strip_prefix(&begins));
                line.map(str::to_owned)
            };
            [of(ALERTS_WAITING), of(ALERTS_UNDELIVERED)]
        };
        let figures = |of: [&str; 2]| of.map(|it| Some(it.to_owned()));
        assert_eq!(shown(&mut watch).await, [None, None]);
        for subject in ["one", "two"] {
            let alert = Alert::new("figure", Severity::Urgent, subject, "It is long");
            let mut db = schema.pool.acquire().await.unwrap();
            let channels = ["removed".to_owned()];
            outbox::insert_notice(&mut db, &channels, &Notice::of(alert))
                .await
                .unwrap();
        }
        schema
            .execute("update alert_outbox set state = 'undelivered' where subject = 'two'")
            .await;
        assert_eq!(shown(&mut watch).await, figures(["1", "1"]));
        schema.execute("delete from alert_outbox").await;
        assert_eq!(shown(&mut watch).await, figures(["0", "0"]));
    }
}
