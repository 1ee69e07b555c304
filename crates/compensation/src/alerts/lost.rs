//! Alerts that found no place: neither MySQL nor the spool took them. They are counted, so that people are told how many there were as
//! soon as MySQL answers; what each of them said, the log alone has.
//!
//! The counts are in a file of the spool's folder, made in advance and never longer than it was then: a disk that is full takes them
//! too. What even this file does not take, because the disk failed or another process is writing, the process keeps in mind and writes
//! later; it is told of all the same, unless the process ends before.

use super::{Alert, Severity, metrics::ALERTS_LOST_TOTAL, tally::Tally};
use chrono::Utc;
use metrics::counter;
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    mem,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tracing::error;
use uuid::Uuid;

/// A page of a disk: written as a whole.
const BYTES: usize = 4096;
const FILE: &str = "lost";
/// What a file stands for that holds no counts: nobody knows how many.
const UNREADABLE: &str = "unreadable";
/// Of more than these it is not remembered that they were counted.
const REMEMBERED: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Lost {
    folder: PathBuf,
    mind: Mutex<Mind>,
}

/// What this process knows.
#[derive(Debug, Default)]
struct Mind {
    /// What is not in the file yet.
    unwritten: Tally,
    /// Who raises an alert again until it finds a place lost one, not many.
    counted: HashSet<Uuid>,
}

/// The file with its counts, which nobody else changes meanwhile.
#[derive(Debug)]
pub(super) struct Page {
    file: File,
    pub(super) tally: Tally,
}

impl Lost {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            mind: Mutex::default(),
        }
    }

    /// Counts one more, in mind: [`Lost::keep`] writes it down. The same one is counted once.
    pub(super) fn count(&self, alert: &Alert) {
        let mut mind = self.mind();
        if mind.counted.len() < REMEMBERED && !mind.counted.insert(alert.id) {
            return;
        }
        mind.add(alert.severity, &alert.kind);
    }

    /// Counts one of which only that it was there is known.
    pub(super) fn count_unreadable(&self) {
        self.mind().add(Severity::Urgent, UNREADABLE);
    }

    /// Writes down what is in mind. Makes the file where there is none, so that it is there before it is needed.
    pub(super) fn keep(&self) -> io::Result<()> {
        let Some(page) = self.open()? else {
            return Ok(());
        };
        let unwritten = self.take_unwritten();
        if unwritten.is_empty() {
            return Ok(());
        }
        let kept = page.write(&page.tally.clone().and(unwritten.clone()));
        if kept.is_err() {
            self.put_back(unwritten);
        }
        kept
    }

    /// The counts that are written down. `None` where there are none, or another process is at them.
    pub(super) fn written(&self) -> io::Result<Option<Page>> {
        Ok(self.open()?.filter(|page| !page.tally.is_empty()))
    }

    /// The counts that are not written down; whoever takes them tells of them, or puts them back.
    pub(super) fn take_unwritten(&self) -> Tally {
        mem::take(&mut self.mind().unwritten)
    }

    pub(super) fn put_back(&self, tally: Tally) {
        let mut mind = self.mind();
        mind.unwritten = tally.and(mem::take(&mut mind.unwritten));
    }

    fn open(&self) -> io::Result<Option<Page>> {
        fs::create_dir_all(&self.folder)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(self.folder.join(FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if let Ok(tally) = serde_json::from_slice(&bytes) {
            return Ok(Some(Page { file, tally }));
        }
        let tally = if bytes.is_empty() {
            Tally::default()
        } else {
            error!("The counts of lost alerts cannot be read, at least one was lost");
            Tally::of_one(Severity::Urgent, UNREADABLE, Utc::now())
        };
        let page = Page { file, tally };
        page.write(&page.tally)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(Some(page))
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mind {
    fn add(&mut self, severity: Severity, kind: &str) {
        counter!(ALERTS_LOST_TOTAL, "severity" => severity.as_str()).increment(1);
        let one = Tally::of_one(severity, kind, Utc::now());
        self.unwritten = mem::take(&mut self.unwritten).and(one);
    }
}

impl Page {
    /// Nothing is left to be told of.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.write(&Tally::default())
    }

    /// In place and always as long: the disk has room for it.
    fn write(&self, tally: &Tally) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(tally)?;
        if bytes.len() > BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.resize(BYTES, b' ');
        let mut file = &self.file;
        file.rewind()?;
        file.write_all(&bytes)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn alert(kind: &str) -> Alert {
        Alert::new(kind, Severity::Warning, "queue", "It is long")
    }

    fn total(lost: &Lost) -> u64 {
        lost.written().unwrap().map_or(0, |page| page.tally.total())
    }

    /// Breaks when the file is made when it is needed, or written anew: a full disk has no room for another one.
    #[test]
    fn the_counts_are_written_into_the_file_that_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let lost = Lost::in_folder(folder.path().join("alerts"));
        lost.keep().unwrap();
        let file = || fs::metadata(folder.path().join("alerts/lost")).unwrap();
        let before = file();
        assert!(before.len() == 4096 && before.blocks() * 512 >= 4096);
        let names = (0..30).map(|number| format!("\u{1}{number}{}", "\u{1}".repeat(30)));
        for name in names {
            lost.count(&alert(&name));
            lost.keep().unwrap();
        }
        let after = file();
        assert_eq!((after.ino(), after.len()), (before.ino(), before.len()));
        assert_eq!(total(&lost), 30, "however long the kinds' names are");
    }

    /// Breaks when what another process is writing is waited for, or forgotten.
    #[test]
    fn what_the_file_does_not_take_now_is_written_later_and_the_same_alert_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (
            Lost::in_folder(folder.path().to_owned()),
            Lost::in_folder(folder.path().to_owned()),
        );
        one.count(&alert("figure"));
        one.keep().unwrap();
        let held = one.written().unwrap();
        let again = alert("archived");
        for _ in 0..3 {
            other.count(&again);
            other.keep().unwrap();
        }
        assert_eq!(held.unwrap().tally.total(), 1);
        other.keep().unwrap();
        assert_eq!(total(&one), 2);
        one.written().unwrap().unwrap().clear().unwrap();
        assert_eq!(total(&other), 0);
    }

    /// Breaks when counts that cannot be read are none.
    #[test]
    fn counts_that_cannot_be_read_are_at_least_one() {
        let folder = tempfile::tempdir().unwrap();
        let lost = Lost::in_folder(folder.path().to_owned());
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(total(&lost), 1);
    }
}
