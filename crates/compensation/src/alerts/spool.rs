//! Where alerts wait while MySQL takes nothing: a file each, there as a whole or not at all, also after a power cut. The last tenth of
//! its room is for urgent ones. What it does not take is counted in the same folder, see [`super::lost`].

use super::{
    Alert, Delivered, Severity,
    lost::{Lost, Page},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tracing::{error, warn};
use uuid::Uuid;

/// Files it holds; a disk is for orders first.
const FILES_AT_MOST: usize = 10_000;
/// One of so many is kept for urgent alerts: a storm of others does not fill it.
const URGENT_ONE_OF: usize = 10;
/// Tries of one alert on one channel that are remembered.
const TRIES_KEPT: usize = 20;

/// A folder of alerts. Several processes may share it; one of them works on it at a time. Cloning shares what it could not take.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    files_at_most: usize,
    lost: Arc<Lost>,
}

/// Why an alert is not in it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It holds as many as it may of this severity.
    #[error("the spool is full")]
    Full,
    /// What the disk says.
    #[error("the spool cannot be written")]
    Io(#[from] io::Error),
}

/// An alert with what was already done about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) alert: Alert,
    /// By channel; one that is missing was not tried yet.
    #[serde(default)]
    pub(super) progress: BTreeMap<String, Progress>,
}

/// How far it came on one channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) attempts: u32,
    pub(super) delivered_at: Option<DateTime<Utc>>,
    pub(super) due_at: Option<DateTime<Utc>>,
    pub(super) last_error: Option<String>,
    /// The latest of the tries.
    #[serde(default)]
    pub(super) tries: Vec<Tried>,
}

/// One try of an alert that MySQL knows nothing of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tried {
    pub(super) at: DateTime<Utc>,
    pub(super) took_ms: u32,
    pub(super) outcome: String,
    pub(super) error: Option<String>,
}

impl Progress {
    /// One more try; of many the latest are kept.
    pub(super) fn tried(&mut self, at: DateTime<Utc>, took: Duration, what: &Delivered) {
        self.attempts = self.attempts.saturating_add(1);
        self.last_error = what.error();
        self.tries.push(Tried {
            at,
            took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            outcome: what.outcome().to_owned(),
            error: what.error(),
        });
        let too_many = self.tries.len().saturating_sub(TRIES_KEPT);
        self.tries.drain(..too_many);
    }
}

impl Spool {
    /// A spool in this folder, which is made when the first alert comes.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            files_at_most: FILES_AT_MOST,
            lost: Arc::new(Lost::in_folder(folder.clone())),
            folder,
        }
    }

    /// The same with room for so many alerts.
    #[must_use]
    pub fn holding(self, files_at_most: usize) -> Self {
        Self {
            files_at_most,
            ..self
        }
    }

    /// Keeps the alert, on the disk when this returns. One that is there already stays as it is.
    ///
    /// # Errors
    /// When it is full, or the disk does not take it: then nobody will be told by it. Only what is urgent may fill the last tenth.
    pub async fn put(&self, alert: &Alert) -> Result<(), SpoolError> {
        let entry = Entry {
            alert: alert.clone(),
            progress: BTreeMap::new(),
        };
        self.on_disk(move |spool| {
            fs::create_dir_all(&spool.folder)?;
            if spool.path(entry.alert.id).exists() {
                return Ok(());
            }
            if spool.ids()?.len() >= spool.room_for(entry.alert.severity) {
                return Err(SpoolError::Full);
            }
            Ok(spool.write(&entry)?)
        })
        .await
    }

    const fn room_for(&self, severity: Severity) -> usize {
        match severity {
            Severity::Urgent => self.files_at_most,
            Severity::Warning | Severity::Info => {
                self.files_at_most - self.files_at_most / URGENT_ONE_OF
            }
        }
    }

    /// Counts an alert that found no place.
    pub(super) async fn lose(&self, alert: &Alert) {
        self.lost.count(alert);
        if let Err(cause) = self.keep_counts().await {
            warn!(alert.id = %alert.id, "That an alert was lost is known to this process alone: {cause}");
        }
    }

    /// Alerts that found no place, as far as only this process knows.
    pub(super) fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Has what was lost counted on the disk, and its file there before it is needed.
    pub(super) async fn keep_counts(&self) -> io::Result<()> {
        self.on_disk(|spool| spool.lost.keep()).await
    }

    /// What was lost, as counted on the disk; nothing where another process is at it.
    pub(super) async fn counted(&self) -> io::Result<Option<Page>> {
        self.on_disk(|spool| spool.lost.written()).await
    }

    /// Blocking work on the disk, away from the threads that answer requests.
    pub(super) async fn on_disk<T: Send + 'static, E: From<io::Error> + Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let spool = self.clone();
        tokio::task::spawn_blocking(move || work(&spool))
            .await
            .unwrap_or_else(|cause| Err(io::Error::other(cause).into()))
    }

    /// Makes this process the one that works on it, until the file is closed. `None`: another one is.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.folder)?;
        let file = File::create(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(cause)) => Err(cause),
        }
    }

    /// The alerts that are in it.
    pub(super) fn ids(&self) -> io::Result<Vec<Uuid>> {
        let files = match fs::read_dir(&self.folder) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        let mut ids = Vec::new();
        for file in files {
            let name = file?.file_name();
            ids.extend(name.to_str().and_then(id_of));
        }
        Ok(ids)
    }

    /// Whether the alert is in it.
    pub(super) fn has(&self, id: Uuid) -> io::Result<bool> {
        self.path(id).try_exists()
    }

    /// `None` where the file is gone, or holds no alert: then it is put aside for a person to look at.
    pub(super) fn read(&self, id: Uuid) -> io::Result<Option<Entry>> {
        let path = self.path(id);
        let bytes = match fs::read(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        if let Ok(entry) = serde_json::from_slice(&bytes) {
            return Ok(Some(entry));
        }
        error!(alert.id = %id, "A spooled alert cannot be read, it is put aside as {id}.unreadable");
        fs::rename(&path, path.with_extension("unreadable"))?;
        self.lost.count_unreadable();
        Ok(None)
    }

    /// Under another name first: whoever looks sees the old file or the new one.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        let path = self.path(entry.alert.id);
        let unfinished = path.with_extension(format!("{}.tmp", Uuid::new_v4().simple()));
        let written = write_synced(&unfinished, &serde_json::to_vec(entry)?)
            .and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            // What is left over is no alert, only in the way.
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        self.sync_folder()
    }

    pub(super) fn remove(&self, id: Uuid) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.sync_folder()),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn id_of(file_name: &str) -> Option<Uuid> {
    file_name.strip_suffix(".json")?.parse().ok()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Severity;

    fn alert() -> Alert {
        Alert::new("system", Severity::Urgent, "mysql", "MySQL does not answer")
    }

    #[tokio::test]
    async fn an_alert_is_kept_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("made/when/needed"));
        let alert = alert();
        spool.put(&alert).await.unwrap();
        let mut entry = spool.read(alert.id).unwrap().unwrap();
        entry.progress.entry("ops".to_owned()).or_default().attempts = 3;
        spool.write(&entry).unwrap();
        spool.put(&alert).await.unwrap();
        assert_eq!(
            spool.read(alert.id).unwrap().unwrap().progress["ops"].attempts,
            3,
            "what was done is not forgotten"
        );
        assert_eq!(spool.ids().unwrap(), [alert.id]);
        assert_eq!(
            fs::read_dir(&spool.folder).unwrap().count(),
            1,
            "nothing is left over"
        );
        spool.remove(alert.id).unwrap();
        spool.remove(alert.id).unwrap();
        assert!(spool.ids().unwrap().is_empty());
    }

    /// Breaks when all alerts share one limit: what is urgent finds no room in a storm of the others.
    #[tokio::test]
    async fn a_full_spool_refuses_and_its_last_tenth_is_for_urgent_alerts() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path());
        let room = |severity| spool.room_for(severity);
        assert_eq!(
            [Severity::Urgent, Severity::Warning, Severity::Info].map(room),
            [10_000, 9_000, 9_000]
        );
        let spool = spool.holding(20);
        let put = async |severity| {
            let alert = Alert::new("figure", severity, "queue", "It is long");
            spool.put(&alert).await
        };
        for _ in 0..9 {
            put(Severity::Warning).await.unwrap();
            put(Severity::Info).await.unwrap();
        }
        for severity in [Severity::Warning, Severity::Info] {
            assert!(matches!(put(severity).await, Err(SpoolError::Full)));
        }
        for _ in 0..2 {
            put(Severity::Urgent).await.unwrap();
        }
        assert!(matches!(put(Severity::Urgent).await, Err(SpoolError::Full)));
    }

    #[test]
    fn one_works_on_it_at_a_time_and_what_is_no_alert_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path());
        let held = spool.lock().unwrap();
        assert!(held.is_some() && spool.lock().unwrap().is_none());
        drop(held);
        assert!(spool.lock().unwrap().is_some());
        let id = Uuid::new_v4();
        fs::write(spool.path(id), "{").unwrap();
        assert!(spool.read(id).unwrap().is_none() && spool.ids().unwrap().is_empty());
        assert_eq!(spool.lost.take_unwritten().total(), 1, "and told of");
        assert!(folder.path().join(format!("{id}.unreadable")).exists());
    }
}
