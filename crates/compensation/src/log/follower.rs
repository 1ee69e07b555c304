//! Writes the table's rows into the file: the file has every try, and lags behind for as long as it cannot be written.
//!
//! Of the processes on one machine one writes, whoever holds the lock beside the file; on another machine another file has every try, too.

use super::{
    cursor::Cursor,
    lines::{self, append_alone},
    owed,
};
use service_kit::settings::{Compensation, LogStorage};
use sqlx::MySqlPool;
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use tokio::time::Instant;

/// Rows a write, at most.
const ROWS: u32 = 1_000;
/// Gaps that are looked at in one turn; the others have theirs in the next ones.
const GAPS: usize = 50;

/// Which side is behind, and why.
#[derive(Debug, thiserror::Error)]
pub enum LogFileError {
    /// The file takes no lines. Nothing is lost: the table has them.
    #[error("the log of tries {} cannot be written: {cause}", path.display())]
    File {
        /// The file, or one beside it.
        path: PathBuf,
        /// What the disk says.
        cause: io::Error,
    },
    /// The table takes no rows, or tells none. Nothing is lost: the file, or the one beside it, has them.
    #[error("the table compensation_logs: {0:#}")]
    Table(anyhow::Error),
}

/// See the module.
pub struct LogFile {
    db: MySqlPool,
    file: PathBuf,
    /// Held for as long as this process writes the file.
    lock: Option<File>,
    cursor: Option<Cursor>,
}

impl LogFile {
    /// What keeps the file of these settings; `None` where the table and the file are not both wanted.
    #[must_use]
    pub fn new(db: MySqlPool, settings: &Compensation) -> Option<Self> {
        (settings.log_storage == LogStorage::Both).then(|| Self {
            db,
            file: settings.log_file.clone(),
            lock: None,
            cursor: None,
        })
    }

    /// Writes what the file lacks, and gives the table what it is owed. How many lines were written; 0 too where another process
    /// writes the file.
    ///
    /// # Errors
    /// Which side is behind. It catches up at a later call.
    pub async fn catch_up(&mut self) -> Result<usize, LogFileError> {
        if !self.is_locked()? {
            return Ok(0);
        }
        owed::settle(&self.db, &self.file)
            .await
            .map_err(LogFileError::Table)?;
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.begin().await?,
        };
        let written = self.follow(&mut cursor).await;
        if written.is_ok() {
            self.cursor = Some(cursor);
        }
        written
    }

    /// Where the stored cursor stands. A file that was written before there were cursors has what there is.
    async fn begin(&self) -> Result<Cursor, LogFileError> {
        if let Some(cursor) = self.disk(Cursor::read(&self.file))? {
            return Ok(cursor);
        }
        let has_lines = fs::metadata(&self.file).is_ok_and(|file| file.len() > 0);
        if !has_lines {
            // Before the first line is: where this process dies, the next one knows that not all is there.
            let cursor = Cursor::at(0);
            self.disk(cursor.store(&self.file))?;
            return Ok(cursor);
        }
        lines::newest(&self.db).await.map(Cursor::at).map_err(table)
    }

    async fn follow(&self, cursor: &mut Cursor) -> Result<usize, LogFileError> {
        let mut written = 0;
        loop {
            let ranges = cursor.ranges(GAPS);
            let mut rows = Vec::new();
            for range in ranges.iter().copied() {
                rows.extend(lines::between(&self.db, range, ROWS).await.map_err(table)?);
            }
            let text: Vec<u8> = rows.iter().flat_map(|(_, line)| line.text()).collect();
            if !text.is_empty() {
                let file = self.file.clone();
                let appended =
                    tokio::task::spawn_blocking(move || append_alone(&file, &text)).await;
                self.disk(appended.unwrap_or_else(|cause| Err(io::Error::other(cause))))?;
            }
            let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
            cursor.written(&ids, &ranges, Instant::now());
            self.disk(cursor.store(&self.file))?;
            written += rows.len();
            if rows.len() < ROWS as usize {
                return Ok(written);
            }
        }
    }

    fn is_locked(&mut self) -> Result<bool, LogFileError> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let mut path = self.file.as_os_str().to_owned();
        path.push(".lock");
        let path = Path::new(&path);
        if let Some(folder) = path.parent() {
            self.disk(fs::create_dir_all(folder))?;
        }
        let lock = self.disk(File::create(path))?;
        match lock.try_lock() {
            Ok(()) => self.lock = Some(lock),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(cause)) => return self.disk(Err(cause)),
        }
        Ok(true)
    }

    fn disk<X>(&self, done: io::Result<X>) -> Result<X, LogFileError> {
        done.map_err(|cause| LogFileError::File {
            path: self.file.clone(),
            cause,
        })
    }
}

fn table(cause: sqlx::Error) -> LogFileError {
    LogFileError::Table(anyhow::Error::new(cause).context("it cannot be read"))
}
