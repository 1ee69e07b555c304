//! Whether MySQL answers: people are told when it does not, from the spool, and again when it does.

use super::{
    Alert, Severity,
    backlog::NotMoved,
    lane::{Desk, answered},
    metrics::{ALERTS_UNDELIVERED, ALERTS_WAITING},
    outbox, raise,
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use metrics::gauge;
use sqlx::{Connection as _, MySqlConnection};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

/// A server that has not answered a ping by then does not answer.
const PING_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked for alerts to channels that nobody has any longer.
const UNKNOWN_CHANNELS_EVERY: Duration = Duration::from_mins(1);
/// How often it is counted what waits and what was given up.
const COUNTED_EVERY: Duration = Duration::from_secs(15);

/// Looks at MySQL over a connection of its own: a pool whose connections are all busy says nothing about the server.
pub(super) struct Watch {
    desk: Arc<Desk>,
    channels: Vec<String>,
    worker: String,
    connection: Option<MySqlConnection>,
    answered_at: Instant,
    /// Since when it has been silent, once people were told so.
    told: Option<DateTime<Utc>>,
    unknown_channels_at: Instant,
    counted_at: Option<Instant>,
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
            unknown_channels_at: now,
            counted_at: None,
        }
    }

    /// One look: moves the spool's alerts into the outbox when MySQL takes them, tells people when it has been silent too long.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        if let Err(cause) = self.ping().await {
            self.connection = None;
            if self.desk.mysql_takes.swap(false, Ordering::Relaxed) {
                warn!("MySQL does not answer, alerts are sent from the spool: {cause:#}");
            }
            return self.tell_of_silence().await;
        }
        self.answered_at = Instant::now();
        self.tell_that_it_answers().await?;
        let moved = self.move_spooled().await;
        // A spool that gives nothing keeps no alert in the outbox.
        let takes = !matches!(moved, Err(NotMoved::Database(_)));
        self.desk.mysql_takes.store(takes, Ordering::Relaxed);
        if takes {
            self.give_up_unknown_channels().await?;
            self.count().await?;
        }
        Ok(moved?)
    }

    /// Lets another process have the spool.
    pub(super) async fn release(&self) {
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
        let alert = Alert::new("system", Severity::Urgent, "mysql", "MySQL does not answer")
            .text("Nothing is decided until it answers again; what was accepted waits.")
            .fact("silent since", since.to_rfc3339())
            .fact("seen by", &self.worker);
        self.desk
            .backlog
            .spool()
            .put(&alert)
            .await
            .context("nobody can be told that MySQL does not answer")?;
        self.told = Some(since);
        Ok(())
    }

    async fn tell_that_it_answers(&mut self) -> anyhow::Result<()> {
        let Some(since) = self.told else {
            return Ok(());
        };
        info!("MySQL answers again");
        let alert = Alert::new("system", Severity::Info, "mysql", "MySQL answers again")
            .text("What waited goes on by itself.")
            .fact("silent since", since.to_rfc3339())
            .fact("seen by", &self.worker)
            .resolves();
        raise(&self.desk.db, self.desk.backlog.spool(), &alert).await?;
        self.told = None;
        Ok(())
    }

    async fn move_spooled(&mut self) -> Result<(), NotMoved> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        match self.desk.backlog.move_into_outbox(connection).await {
            Ok(0) => Ok(()),
            Ok(moved) => {
                info!(
                    count = moved,
                    "Moved {moved} spooled alerts into the outbox"
                );
                Ok(())
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
        for channel in self.channels.iter().map(String::as_str).chain([""]) {
            counts.entry(channel.to_owned()).or_default();
        }
        for (channel, (waiting, undelivered)) in counts {
            gauge!(ALERTS_WAITING, "channel" => channel.clone()).set(waiting as f64);
            gauge!(ALERTS_UNDELIVERED, "channel" => channel).set(undelivered as f64);
        }
        Ok(())
    }
}
