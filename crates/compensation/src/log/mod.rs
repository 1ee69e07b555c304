//! Where every try is written down: the table `compensation_logs`, a file with one JSON object a line, or both.
//!
//! The table is written in the transaction of what the try changed. Where only the file is, it is written before that commits: a process
//! that dies in between leaves a line too many, never one too few. Where both are, neither side's trouble stops the work: the file is
//! written from the table and catches up ([`LogFile`]), and what the table does not take is owed to it in a file beside, until it does.

mod cursor;
mod follower;
mod lines;
mod owed;
pub mod reading;

pub use follower::{LogFile, LogFileError};

use crate::attempt::Attempt;
use lines::Line;
use service_kit::settings::{Compensation, LogStorage};
use sqlx::MySqlConnection;
use std::{io, path::PathBuf, sync::Arc};
use tracing::warn;
use uuid::Uuid;

/// Waited too long for a lock, or chosen to break a deadlock: the try's transaction is begun anew.
const BEGUN_ANEW: [u16; 2] = [1205, 1213];

/// Writes tries down. Cloning shares it.
#[derive(Clone)]
pub struct AttemptLog(Arc<Inner>);

struct Inner {
    storage: LogStorage,
    file: PathBuf,
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

    /// Writes one try where it belongs. See [`AttemptLog::write_all`].
    ///
    /// # Errors
    /// As [`AttemptLog::write_all`].
    pub async fn write(
        &self,
        db: &mut MySqlConnection,
        gid: Uuid,
        order_id: Uuid,
        attempt: &Attempt,
    ) -> sqlx::Result<()> {
        let attempt = attempt.clone();
        self.write_all(db, [(gid, order_id, attempt)]).await
    }

    /// Writes tries where they belong: each with its transaction and its order. In the table they are there once the caller commits.
    ///
    /// # Errors
    /// What the file or the database says, of both the database's alone; the caller rolls back, and the tries are written again with
    /// their repeat.
    pub async fn write_all(
        &self,
        db: &mut MySqlConnection,
        tries: impl IntoIterator<Item = (Uuid, Uuid, Attempt)>,
    ) -> sqlx::Result<()> {
        let lines: Vec<Line> = tries
            .into_iter()
            .map(|(gid, order_id, attempt)| Line {
                gid,
                order_id,
                attempt,
            })
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let file = &self.0.file;
        match self.0.storage {
            LogStorage::Db => lines::insert(db, &lines).await,
            LogStorage::File => lines::append(file, &lines::text(&lines)).map_err(sqlx::Error::Io),
            LogStorage::Both => match lines::insert(db, &lines).await {
                Err(cause) if is_of_the_table(&cause) => {
                    warn!(
                        "The table compensation_logs takes no tries, {} are owed to it: {cause}",
                        lines.len()
                    );
                    owed::put(file, &lines).map_err(sqlx::Error::Io)
                }
                written => written,
            },
        }
    }
}

/// Whether only this statement came to nothing: the transaction it was in goes on.
fn is_of_the_table(cause: &sqlx::Error) -> bool {
    let sqlx::Error::Database(cause) = cause else {
        return false;
    };
    let number = cause
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number);
    number.is_some_and(|number| !BEGUN_ANEW.contains(&number))
}
