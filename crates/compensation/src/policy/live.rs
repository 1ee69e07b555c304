//! The policy a process goes by: the newest one it could read. While MySQL is away, or what it holds cannot be read, the last good one
//! stays.

use super::{
    Policy,
    stored::{self, ReadError},
};
use sqlx::MySqlPool;
use std::sync::{Arc, PoisonError, RwLock};
use tracing::info;

/// The policy of a process. [`Live::follow`] has to be called again and again.
pub struct Live {
    db: MySqlPool,
    /// As the settings file has it, for the first start of all.
    file: Policy,
    /// With its version; 0 before the table was read.
    rules: RwLock<(u32, Arc<Policy>)>,
}

impl Live {
    /// The settings file's, until the table was read.
    #[must_use]
    pub fn new(db: MySqlPool, file: Policy) -> Self {
        let rules = RwLock::new((0, Arc::new(file.clone())));
        Self { db, file, rules }
    }

    /// What rules now.
    #[must_use]
    pub fn now(&self) -> Arc<Policy> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Its version; 0 before the table was read.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes the newest version over, and gives its number. Seeds the table where it is empty.
    ///
    /// # Errors
    /// What kept it from it; the last good one rules on.
    pub async fn follow(&self) -> Result<u32, ReadError> {
        let before = self.version();
        if before > 0 && stored::current_number(&self.db).await? == Some(before) {
            return Ok(before);
        }
        let newest = stored::current_or_seed(&self.db, &self.file).await?;
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) =
            (newest.version, Arc::new(newest.policy));
        info!(
            version = newest.version,
            "The retry policy is version {} from now on, by {}: {}",
            newest.version,
            newest.changed_by,
            newest.reason
        );
        Ok(newest.version)
    }
}
