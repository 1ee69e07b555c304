//! The folder one run keeps its data, logs and settings in, locked so that two runs never share it. The lock is the
//! system's own: it is gone with its holder, however that ended.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::files;

const LOCK: &str = "lock";

/// A folder that belongs to this run until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing and locks it.
    ///
    /// # Errors
    /// When another run holds it, with its pid.
    pub fn lock(path: &Path) -> anyhow::Result<Self> {
        files::make_private_dir(path)?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use by `cargo xtask` with pid {}: end that one first",
                path.display(),
                fs::read_to_string(&lock_path).unwrap_or_default().trim()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
            }
        }
        fs::write(&lock_path, format!("{}\n", std::process::id()))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Removes everything an earlier run left here.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn wipe(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if !path.ends_with(LOCK) {
                files::remove(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The path of something in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// An empty log for one program; the last run's is kept beside it.
    ///
    /// # Errors
    /// When the folder for logs cannot be made.
    pub fn new_log(&self, name: &str) -> anyhow::Result<PathBuf> {
        let logs = self.join("logs");
        files::make_private_dir(&logs)?;
        let log = logs.join(format!("{name}.log"));
        if log.exists() {
            fs::rename(&log, logs.join(format!("{name}.log.last")))?;
        }
        Ok(log)
    }
}
