//! Tries that the table did not take: lines in a file beside the log, until it does.
//!
//! A line is added whole, under a lock, and taken away only after the table has it. The table is asked for each line first, so that one
//! which could not be taken away is given once.

use super::lines::{self, Line};
use sqlx::MySqlPool;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Owes the table these tries.
pub(super) fn put(file: &Path, owed: &[Line]) -> io::Result<()> {
    let _lock = locked(file)?;
    lines::append_alone(&beside(file, ".owed"), &lines::text(owed))
}

/// Whoever adds a line, or takes the file of them away, is alone until this is dropped.
fn locked(file: &Path) -> io::Result<File> {
    let lock = File::create(beside(file, ".owed-lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Gives the table what it is owed. How many. Only for who holds the file's lock.
pub(super) async fn settle(db: &MySqlPool, file: &Path) -> anyhow::Result<usize> {
    let (owed, taken) = (beside(file, ".owed"), beside(file, ".owed-now"));
    // What was taken before comes first; new lines go into a new file meanwhile.
    if !taken.exists() && !renamed(file, &owed, &taken)? {
        return Ok(0);
    }
    let text = fs::read(&taken)?;
    let mut tx = db.begin().await?;
    let mut settled = 0;
    for line in text.split(|byte| *byte == b'\n') {
        // A line that was cut off was never said to be there, and may end within a character.
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            continue;
        };
        if !lines::is_there(&mut tx, &line).await? {
            lines::insert(&mut tx, &[line]).await?;
            settled += 1;
        }
    }
    tx.commit().await?;
    fs::remove_file(&taken)?;
    Ok(settled)
}

fn renamed(file: &Path, from: &Path, to: &Path) -> io::Result<bool> {
    let _lock = locked(file)?;
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}
