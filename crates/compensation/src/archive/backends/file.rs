//! Payloads in files, one JSON object a line: `archive.2026-11-22.0001.jsonl`. A file is begun each day and when one is full, never
//! renamed, for rows name it, and removed as a whole.
//!
//! Several processes append to the same files, under the file's lock. A file's name is on disk before its first line, and a line
//! before any row names it; half a line that somebody left is ended by whoever comes next.

use super::{Answer, Backend, Page};
use crate::archive::{Kept, Record, StoreError};
use chrono::{NaiveDate, Utc};
use service_kit::settings::{ArchiveStorage, Dlq};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// Nothing that is longer was ever written: a message has 1 MiB or so.
const LINE_AT_MOST: u64 = 64 * 1024 * 1024;
/// Between a file and the place in it.
const PLACE: char = '#';
/// Files looked at at once.
const FILES: usize = 100;

/// The files of one archive.
#[derive(Clone)]
pub(in crate::archive) struct Files(Arc<Named>);

struct Named {
    folder: PathBuf,
    stem: String,
    extension: String,
    full_at: u64,
}

impl Files {
    /// Makes nothing yet.
    pub fn new(settings: &Dlq) -> Result<Self, StoreError> {
        let path = std::path::absolute(&settings.archive_file).map_err(away)?;
        let text = |part: Option<&std::ffi::OsStr>| {
            part.and_then(std::ffi::OsStr::to_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(Self(Arc::new(Named {
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            stem: text(path.file_stem()),
            extension: text(path.extension()),
            full_at: settings.archive_file_max_mb * 1024 * 1024,
        })))
    }

    async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Named) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let named = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&named))
            .await
            .unwrap_or_else(|cause| Err(io::Error::other(cause)))
            .map_err(away)
    }
}

impl Backend for Files {
    fn keep<'a>(&'a self, record: &'a Record) -> Answer<'a, Kept> {
        let mut line = record.to_bytes();
        line.push(b'\n');
        Box::pin(async move {
            let location = self
                .in_background(move |files| files.append(&line, Utc::now().date_naive()))
                .await?;
            Ok(Kept::Elsewhere {
                storage: ArchiveStorage::File,
                location,
            })
        })
    }

    fn read<'a>(&'a self, id: Uuid, location: &'a str) -> Answer<'a, Record> {
        Box::pin(async move {
            let elsewhere = || StoreError::elsewhere(ArchiveStorage::File, location);
            let (path, offset) = location.rsplit_once(PLACE).ok_or_else(elsewhere)?;
            let offset: u64 = offset.parse().map_err(|_| elsewhere())?;
            // As the row has it: it is absolute, and readable also where the settings name another file now.
            let path = PathBuf::from(path);
            let line = self
                .in_background(move |_| match read_line(&path, offset) {
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
                    line => line.map(Some),
                })
                .await?
                .ok_or_else(|| StoreError::missing(ArchiveStorage::File, location))?;
            Record::parse(&line)
                .filter(|record| record.id == id)
                .ok_or_else(elsewhere)
        })
    }

    fn let_go<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn old<'a>(&'a self, than: Duration, after: Option<&'a str>) -> Answer<'a, Page> {
        let after = after.map(ToOwned::to_owned);
        Box::pin(self.in_background(move |files| {
            let mut pieces: Vec<_> = files
                .all()?
                .into_iter()
                .filter(|path| after.as_ref().is_none_or(|after| path > after))
                .collect();
            pieces.sort_unstable();
            let more = pieces.len() > FILES;
            pieces.truncate(FILES);
            let next = pieces.last().filter(|_| more).cloned();
            pieces.retain(|path| is_older(Path::new(path), than));
            for path in &mut pieces {
                path.push(PLACE);
            }
            Ok(Page { pieces, next })
        }))
    }

    fn remove<'a>(&'a self, piece: &'a str, older_than: Duration) -> Answer<'a, ()> {
        let path = PathBuf::from(piece.trim_end_matches(PLACE));
        Box::pin(self.in_background(move |files| {
            let file = match File::open(&path) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
                file => file?,
            };
            // Whoever appends has the lock, and looks again once it has it.
            file.lock()?;
            if is_older(&path, older_than) {
                fs::remove_file(&path)?;
                sync(&files.folder)?;
            }
            Ok(())
        }))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.in_background(|files| {
            fs::create_dir_all(&files.folder)?;
            tempfile_in(&files.folder)
        }))
    }
}

impl Named {
    /// Gives where the line is.
    fn append(&self, line: &[u8], day: NaiveDate) -> io::Result<String> {
        fs::create_dir_all(&self.folder)?;
        let mut number = self.last_of(day)?.max(1);
        loop {
            let path = self.path(day, number);
            match self.append_to(&path, line)? {
                Appended::At(offset) => return Ok(format!("{}{PLACE}{offset}", path.display())),
                Appended::Full => number += 1,
                Appended::Gone => {}
            }
        }
    }

    fn append_to(&self, path: &Path, line: &[u8]) -> io::Result<Appended> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        file.lock()?;
        let known = file.metadata()?;
        let is_there = fs::metadata(path).is_ok_and(|there| there.ino() == known.ino());
        if !is_there {
            return Ok(Appended::Gone);
        }
        let end = known.len();
        if end == 0 {
            // Its name is safe before anything is in it: whoever finds a line here need not ask.
            sync(&self.folder)?;
        } else if end.saturating_add(line.len() as u64) > self.full_at {
            return Ok(Appended::Full);
        }
        let half = end > 0 && !ends_with_newline(&mut file, end)?;
        if half {
            file.write_all(b"\n")?;
        }
        file.write_all(line)?;
        file.sync_all()?;
        Ok(Appended::At(end + u64::from(half)))
    }

    fn path(&self, day: NaiveDate, number: u32) -> PathBuf {
        let Self {
            folder,
            stem,
            extension,
            ..
        } = self;
        folder.join(format!("{stem}.{day}.{number:04}.{extension}"))
    }

    /// The number of a day's last file, 0 where it has none.
    fn last_of(&self, day: NaiveDate) -> io::Result<u32> {
        let begins = format!("{}.{day}.", self.stem);
        let numbers = fs::read_dir(&self.folder)?.filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let rest = name.to_str()?.strip_prefix(&begins)?;
            let number = rest
                .strip_suffix(&self.extension)?
                .strip_suffix('.')?
                .parse();
            number.ok()
        });
        Ok(numbers.max().unwrap_or(0))
    }

    /// Those that it wrote; the one without a day is of an older build.
    fn all(&self) -> io::Result<Vec<String>> {
        let found = match fs::read_dir(&self.folder) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let mut paths = Vec::new();
        for entry in found {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if self.is_ours(name)
                && let Some(path) = self.folder.join(name).to_str()
            {
                paths.push(path.to_owned());
            }
        }
        Ok(paths)
    }

    fn is_ours(&self, name: &str) -> bool {
        let rest = name
            .strip_prefix(&self.stem)
            .and_then(|rest| rest.strip_suffix(&self.extension))
            .and_then(|rest| rest.strip_suffix('.'));
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('.')
                    .and_then(|rest| rest.split_once('.'))
                    .is_some_and(|(day, number)| {
                        day.parse::<NaiveDate>().is_ok() && number.parse::<u32>().is_ok()
                    })
        })
    }
}

enum Appended {
    /// Where it begins.
    At(u64),
    /// It is for the next file.
    Full,
    /// The file was removed before it was locked.
    Gone,
}

fn ends_with_newline(file: &mut File, length: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn read_line(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut line = Vec::new();
    BufReader::new(file.take(LINE_AT_MOST)).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// By when it was written last.
fn is_older(path: &Path, than: Duration) -> bool {
    let age = fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
        .and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age >= than)
}

/// What a folder lists survives a power cut only once it was flushed, too.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether files can be made there: one is, and goes.
fn tempfile_in(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".{}", Uuid::new_v4().simple()));
    File::create_new(&path)?;
    fs::remove_file(path)
}

fn away(cause: io::Error) -> StoreError {
    StoreError::away(ArchiveStorage::File, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Headers;

    fn record(payload: &[u8]) -> Record {
        Record {
            id: Uuid::new_v4(),
            generation: 0,
            error: "no order".to_owned(),
            history: serde_json::json!([]),
            headers: Headers(vec![("none".to_owned(), None)]),
            payload: payload.to_vec(),
            key: None,
            tombstone: false,
        }
    }

    fn files(folder: &Path) -> Files {
        Files::new(&Dlq {
            archive_file: folder.join("made").join("archive.jsonl"),
            archive_file_max_mb: 1,
            ..Dlq::default()
        })
        .unwrap()
    }

    async fn location(files: &Files, record: &Record) -> String {
        let kept = files.keep(record).await.unwrap();
        kept.location().unwrap().to_owned()
    }

    /// Meant to catch: the half line not ended (the next line was unreadable).
    #[tokio::test]
    async fn half_a_line_that_somebody_left_spoils_neither_what_was_before_nor_what_comes() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let mut kept = Vec::new();
        for payload in [&b"\xff\n\0"[..], b"second", b""] {
            let record = record(payload);
            let at = location(&files, &record).await;
            let path = at.rsplit_once(PLACE).unwrap().0;
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"{\"id\": half").unwrap();
            kept.push((at, record));
        }
        for (at, record) in kept {
            assert_eq!(files.read(record.id, &at).await.unwrap(), record);
            let another = files.read(Uuid::new_v4(), &at).await;
            assert!(matches!(another, Err(StoreError::Elsewhere { .. })));
        }
    }

    /// Meant to catch: the size asked before the lock, and not under it.
    #[tokio::test(flavor = "multi_thread")]
    async fn several_fill_one_file_after_another_and_every_line_is_where_it_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let records: Vec<_> = (0..24).map(|at| record(&vec![at; 150_000])).collect();
        let writers: Vec<_> = (0..4).map(|_| files(folder.path())).collect();
        let keeping = records.iter().enumerate().map(|(at, record)| {
            let files = &writers[at % writers.len()];
            async move { location(files, record).await }
        });
        let locations = futures::future::join_all(keeping).await;
        for (at, record) in locations.iter().zip(&records) {
            assert_eq!(writers[0].read(record.id, at).await.unwrap(), *record);
        }
        let all = writers[0].0.all().unwrap();
        assert_eq!(all.len(), 5, "{all:?}: five lines of 200,000 bytes each");
        for path in all {
            assert!(fs::metadata(path).unwrap().len() <= 1024 * 1024);
        }
    }

    /// Rows of older builds name lines in the file without a day, and lines without a generation.
    #[tokio::test]
    async fn what_an_older_build_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.jsonl");
        let id = Uuid::new_v4();
        let line = format!(
            "{{\"id\":\"{id}\",\"error\":\"e\",\"history\":[],\"headers\":[],\"payload\":\"/w==\",\"tombstone\":false}}\n"
        );
        fs::write(&path, line).unwrap();
        let at = format!("{}{PLACE}0", path.display());
        let read = files(folder.path()).read(id, &at).await.unwrap();
        assert_eq!((read.payload, read.key), (vec![0xff], None));
    }
}
