//! The work on the spool: what is due is sent straight from it while MySQL takes nothing, and goes into the outbox afterwards.
//!
//! Each alert is told of alone there, the severest first, as its channel's bucket gives, and of a group one after another: that something
//! is over comes after that it began. The others are for the outbox once they are in it, which may make a digest of them.
//!
//! Only the process that holds the folder's lock does it. Files are read once and kept in memory; what was done is written into
//! the file before anything else is done.

use super::{
    Alert, Delivered, Spool,
    digest::severity_rank,
    lane::answered,
    outbox,
    spool::{Entry, Progress},
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sqlx::MySqlConnection;
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

/// So that the outbox is not kept waiting by a long spool.
const MOVED_AT_ONCE: usize = 100;

/// See the module.
pub(super) struct Backlog {
    spool: Spool,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    /// `None` while another process has it.
    lock: Option<File>,
    entries: HashMap<Uuid, Entry>,
    /// Being sent until this moment at the latest, and not to be touched.
    in_hand: HashMap<(Uuid, String), Instant>,
}

/// Why spooled alerts are not in the outbox yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMoved {
    /// MySQL takes none.
    #[error("{0:#}")]
    Database(anyhow::Error),
    /// The spool gives none. What is in the outbox is not concerned.
    #[error("{0:#}")]
    Disk(anyhow::Error),
}

/// An alert to be sent from the spool.
pub(super) struct Due {
    pub(super) alert: Alert,
    /// Tries before this one.
    pub(super) attempts: u32,
}

impl Backlog {
    pub(super) fn new(spool: Spool) -> Self {
        Self {
            spool,
            work: Mutex::default(),
        }
    }

    pub(super) const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Takes up to `limit` alerts that the channel has not been told of and that are due, the severest and of those the oldest first, for
    /// `lease`. Of a group the oldest alone, and none while one is being sent.
    pub(super) async fn take_due(
        &self,
        channel: &str,
        limit: usize,
        lease: Duration,
    ) -> anyhow::Result<Vec<Due>> {
        let mut work = self.refreshed().await?;
        let now = Utc::now();
        let mut due: Vec<_> = work
            .first_of_each_group(channel)
            .into_iter()
            .filter(|entry| is_due(entry.progress.get(channel), now))
            .collect();
        due.sort_unstable_by_key(|entry| {
            let alert = &entry.alert;
            (severity_rank(alert.severity), alert.at, alert.id)
        });
        let due: Vec<_> = due
            .into_iter()
            .take(limit)
            .map(|entry| Due {
                alert: entry.alert.clone(),
                attempts: entry
                    .progress
                    .get(channel)
                    .map_or(0, |progress| progress.attempts),
            })
            .collect();
        let until = Instant::now() + lease;
        work.in_hand.extend(
            due.iter()
                .map(|due| ((due.alert.id, channel.to_owned()), until)),
        );
        Ok(due)
    }

    /// Writes down what came of a try.
    pub(super) async fn record(
        &self,
        id: Uuid,
        channel: &str,
        what: &Delivered,
        took: Duration,
        wait: Duration,
    ) -> anyhow::Result<()> {
        let mut work = self.work.lock().await;
        work.in_hand.remove(&(id, channel.to_owned()));
        let Some(entry) = work.entries.get_mut(&id) else {
            return Ok(());
        };
        let progress = entry.progress.entry(channel.to_owned()).or_default();
        let now = Utc::now();
        progress.tried(now - took, took, what);
        if what.has_arrived() {
            progress.delivered_at = Some(now);
        } else {
            progress.due_at = Some(now + wait);
        }
        let entry = entry.clone();
        self.spool
            .on_disk(move |spool| spool.write(&entry))
            .await
            .context("the spool does not take what became of an alert: it may be sent once more")
    }

    /// Lets another process have the spool.
    pub(super) async fn release(&self) {
        self.work.lock().await.lock = None;
    }

    /// Moves alerts that nobody is sending into the outbox, a hundred at a time; how many.
    pub(super) async fn move_into_outbox(
        &self,
        db: &mut MySqlConnection,
    ) -> Result<usize, NotMoved> {
        let mut work = self.refreshed().await.map_err(NotMoved::Disk)?;
        let busy: HashSet<Uuid> = work.in_hand.keys().map(|(id, _)| *id).collect();
        let ids: Vec<Uuid> = work
            .entries
            .keys()
            .filter(|id| !busy.contains(id))
            .take(MOVED_AT_ONCE)
            .copied()
            .collect();
        for id in &ids {
            let entry = &work.entries[id];
            answered(outbox::restore(db, entry))
                .await
                .context("MySQL does not take the spooled alerts")
                .map_err(NotMoved::Database)?;
            let id = *id;
            self.spool
                .on_disk(move |spool| spool.remove(id))
                .await
                .context("a spooled alert cannot be removed")
                .map_err(NotMoved::Disk)?;
            work.entries.remove(&id);
        }
        Ok(ids.len())
    }

    /// Whether the spool no longer holds the alert, whoever moved it.
    pub(super) async fn has_moved(&self, id: Uuid) -> anyhow::Result<bool> {
        let there = self.spool.on_disk(move |spool| spool.has(id)).await;
        Ok(!there.context("the spool cannot be read")?)
    }

    /// What is there now; nothing where another process works on it.
    async fn refreshed(&self) -> anyhow::Result<tokio::sync::MutexGuard<'_, Work>> {
        let mut work = self.work.lock().await;
        let now = Instant::now();
        work.in_hand.retain(|_, until| *until > now);
        let known: HashSet<Uuid> = work.entries.keys().copied().collect();
        let lock = work.lock.take();
        let (lock, there, new) = self
            .spool
            .on_disk(move |spool| look(spool, lock, &known))
            .await
            .context("the spool cannot be read")?;
        work.lock = lock;
        work.entries.retain(|id, _| there.contains(id));
        work.entries
            .extend(new.into_iter().map(|entry| (entry.alert.id, entry)));
        Ok(work)
    }
}

impl Work {
    /// Of each group the oldest alert that the channel has not been told of, unless one of the group is being sent.
    fn first_of_each_group(&self, channel: &str) -> Vec<&Entry> {
        let told = |entry: &&Entry| {
            let progress = entry.progress.get(channel);
            progress.is_some_and(|progress| progress.delivered_at.is_some())
        };
        let mut first: HashMap<String, &Entry> = HashMap::new();
        for entry in self.entries.values().filter(|entry| !told(entry)) {
            let first = first.entry(entry.alert.group_key()).or_insert(entry);
            if (entry.alert.at, entry.alert.id) < (first.alert.at, first.alert.id) {
                *first = entry;
            }
        }
        let sending = self.in_hand.keys().filter(|(_, of)| of == channel);
        for entry in sending.filter_map(|(id, _)| self.entries.get(id)) {
            first.remove(&entry.alert.group_key());
        }
        first.into_values().collect()
    }
}

/// All ids, and the alerts that are not known yet.
fn look(
    spool: &Spool,
    lock: Option<File>,
    known: &HashSet<Uuid>,
) -> std::io::Result<(Option<File>, HashSet<Uuid>, Vec<Entry>)> {
    let ids = spool.ids()?;
    // An empty folder is nobody's: whoever needs it next has it, and processes that never needed it leave no trace.
    let lock = match lock {
        _ if ids.is_empty() => None,
        Some(lock) => Some(lock),
        None => spool.lock()?,
    };
    if lock.is_none() {
        return Ok((None, HashSet::new(), Vec::new()));
    }
    let mut new = Vec::new();
    for id in ids.iter().filter(|id| !known.contains(id)) {
        new.extend(spool.read(*id)?);
    }
    Ok((lock, ids.into_iter().collect(), new))
}

fn is_due(progress: Option<&Progress>, now: DateTime<Utc>) -> bool {
    progress.is_none_or(|progress| {
        progress.delivered_at.is_none() && progress.due_at.is_none_or(|due| due <= now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Severity;

    /// Breaks when the lock is kept once the folder is empty: an admin that delivered once would keep a compensator from it for ever.
    #[tokio::test]
    async fn an_empty_spool_is_whose_needs_it_next() {
        let folder = tempfile::tempdir().unwrap();
        let spool = || Spool::new(folder.path());
        let (one, other) = (Backlog::new(spool()), Backlog::new(spool()));
        let alert = Alert::new("system", Severity::Urgent, "mysql", "MySQL does not answer");
        spool().put(&alert).await.unwrap();
        let due = async |of: &Backlog| {
            let due = of.take_due("ops", 10, Duration::ZERO).await.unwrap();
            due.len()
        };
        assert_eq!((due(&one).await, due(&other).await), (1, 0));
        spool().remove(alert.id).unwrap();
        assert_eq!(due(&one).await, 0);
        spool().put(&alert).await.unwrap();
        assert_eq!((due(&other).await, due(&one).await), (1, 0));
        other.release().await;
        assert_eq!(due(&one).await, 1);
    }

    /// Breaks when every alert goes as soon as it is due: "it is back" arrives before "it is away", and stays there last.
    #[tokio::test]
    async fn of_a_group_one_goes_after_another_the_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        let work = Backlog::new(Spool::new(folder.path()));
        let began = Alert::new("system", Severity::Warning, "queue", "It is long");
        let over = Alert::new("system", Severity::Info, "queue", "It is short").resolves();
        let over = Alert {
            at: began.at + chrono::TimeDelta::seconds(1),
            ..over
        };
        let other = Alert::new("system", Severity::Info, "other", "Other");
        for alert in [&over, &began, &other] {
            work.spool().put(alert).await.unwrap();
        }
        let minute = Duration::from_mins(1);
        let take = async || {
            let due = work.take_due("ops", 10, minute).await.unwrap();
            due.iter().map(|due| due.alert.id).collect::<Vec<_>>()
        };
        assert_eq!(take().await, [began.id, other.id]);
        assert!(take().await.is_empty(), "the first is being sent");
        let ended = async |alert: &Alert, what: Delivered, wait| {
            work.record(alert.id, "ops", &what, Duration::ZERO, wait)
                .await
                .unwrap();
        };
        let failed = || Delivered::Unknown("no".to_owned());
        ended(&began, failed(), minute).await;
        assert!(take().await.is_empty(), "nothing overtakes the first");
        ended(&began, failed(), Duration::ZERO).await;
        assert_eq!(take().await, [began.id]);
        ended(&began, Delivered::Sent, Duration::ZERO).await;
        assert_eq!(take().await, [over.id]);
        assert_eq!(
            work.take_due("chat", 10, minute).await.unwrap().len(),
            2,
            "another channel has its own order"
        );
    }
}
