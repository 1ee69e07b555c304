//! Where every try is written down: the table `compensation_logs`, a file with one JSON object a line, or both.
//!
//! The table is written in the transaction of what the try changed. The file comes before it, so a process that dies in between
//! leaves a line too many, never one too few.

use crate::{attempt::Attempt, queue::short};
use serde::Serialize;
use service_kit::settings::{Compensation, LogStorage};
use sqlx::MySqlConnection;
use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};
use uuid::Uuid;

/// Writes tries down. Cloning shares it.
#[derive(Clone)]
pub struct AttemptLog(Arc<Inner>);

struct Inner {
    storage: LogStorage,
    file: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    gid: Uuid,
    order_id: Uuid,
    #[serde(flatten)]
    attempt: &'a Attempt,
}

impl AttemptLog {
    /// As the settings say. The file's folder is made where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(settings: &Compensation) -> io::Result<Self> {
        if settings.log_storage.in_file()
            && let Some(folder) = settings.log_file.parent()
        {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self(Arc::new(Inner {
            storage: settings.log_storage,
            file: settings.log_file.clone(),
        })))
    }

    /// Writes one try where it belongs. In the table it is there once the caller commits.
    ///
    /// # Errors
    /// What the file or the database says; the caller rolls back, and the try is written again with its repeat.
    pub async fn write(
        &self,
        db: &mut MySqlConnection,
        gid: Uuid,
        order_id: Uuid,
        attempt: &Attempt,
    ) -> sqlx::Result<()> {
        if self.0.storage.in_file() {
            self.append(&Line {
                gid,
                order_id,
                attempt,
            })
            .map_err(sqlx::Error::Io)?;
        }
        if self.0.storage.in_db() {
            sqlx::query!(
                "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, error, started_at, duration_ms, worker)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                gid,
                order_id,
                attempt.generation,
                attempt.attempt,
                attempt.lane.as_str(),
                attempt.outcome,
                attempt.error.as_deref().map(short),
                attempt.started_at,
                attempt.duration_ms,
                attempt.worker
            )
            .execute(db)
            .await?;
        }
        Ok(())
    }

    /// One write call: lines of several processes do not mix.
    fn append(&self, line: &Line<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0.file)?;
        file.write_all(&text)?;
        file.sync_data()
    }
}
