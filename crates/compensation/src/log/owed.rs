//! Tries that the table did not take: lines in a file beside the log, until it does.
//!
//! A line is added in one call, and taken away only after the table has it: a process that dies in between leaves a row too many.

use super::lines::{self, Line};
use sqlx::MySqlPool;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Owes the table these tries.
pub(super) fn put(file: &Path, owed: &[Line]) -> io::Result<()> {
    lines::append(&beside(file, ".owed"), &lines::text(owed))
}

/// Gives the table what it is owed. How many. Only for who holds the file's lock.
pub(super) async fn settle(db: &MySqlPool, file: &Path) -> anyhow::Result<usize> {
    let (owed, taken) = (beside(file, ".owed"), beside(file, ".owed-now"));
    // What was taken before comes first; new lines go into a new file meanwhile.
    if !taken.exists() && !renamed(&owed, &taken)? {
        return Ok(0);
    }
    let text = fs::read_to_string(&taken)?;
    let mut tx = db.begin().await?;
    let mut settled = 0;
    for line in text.lines() {
        // A line that was cut off was never said to be there.
        if let Ok(line) = serde_json::from_str::<Line>(line) {
            lines::insert(&mut tx, &[line]).await?;
            settled += 1;
        }
    }
    tx.commit().await?;
    fs::remove_file(&taken)?;
    Ok(settled)
}

fn renamed(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}
