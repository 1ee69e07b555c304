//! Removes what was handled long ago, row and message, and what no row names any more.
//!
//! The message goes first and its row after it, so that a process that dies in between leaves a row that is found again; nothing is
//! left that nobody knows. What no row names, because a process died before its row or a later one took the row's place, is looked
//! for page by page and removed once it is as old. Files go as a whole, when no row names a line of theirs. What is open is never
//! touched.

use super::{Store, StoreError, backends::Page, forget, notes, versions};
use service_kit::settings::{ArchiveKeep, ArchiveStorage};
use sqlx::MySqlPool;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// Rows removed by a transaction: it is open while their messages go.
const ROWS: u32 = 50;

/// See the module.
pub struct Expiry {
    db: MySqlPool,
    store: Store,
    /// Places whose rows have an end.
    keep: BTreeMap<ArchiveStorage, Duration>,
    /// Where the search for what no row names goes on.
    next: Mutex<BTreeMap<ArchiveStorage, String>>,
}

impl Expiry {
    /// `db` must be a pool at READ COMMITTED. A place that `keep` names is removed from; any other keeps for ever.
    #[must_use]
    pub fn new(db: MySqlPool, store: Store, keep: BTreeMap<ArchiveStorage, Duration>) -> Self {
        Self {
            db,
            store,
            keep,
            next: Mutex::default(),
        }
    }

    /// The same with the settings' days.
    #[must_use]
    pub fn of_settings(db: MySqlPool, store: Store, keep: &ArchiveKeep) -> Self {
        let keep = ArchiveStorage::ALL
            .into_iter()
            .map(|storage| (storage, keep.days(storage)))
            .filter(|(_, days)| *days > 0)
            .map(|(storage, days)| (storage, Duration::from_hours(24 * days)))
            .collect();
        Self::new(db, store, keep)
    }

    /// Removes up to 50 rows of each place with their messages; how many. Call it again while it removes any. Any number may run at
    /// once.
    ///
    /// # Errors
    /// [`StoreError`]; of the place it is about nothing was removed then, of the others it was.
    pub async fn run_batch(&self) -> Result<u64, StoreError> {
        let (mut removed, mut trouble) = (0, None);
        for (storage, keep) in self.places() {
            match self.rows(storage, keep).await {
                Ok(rows) => removed += rows,
                Err(cause) => trouble = Some(cause),
            }
        }
        trouble.map_or(Ok(removed), Err)
    }

    /// Looks at the next page of each place, and removes what is old and no row names; how much.
    ///
    /// # Errors
    /// [`StoreError`]; the page is looked at again then.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let (mut removed, mut trouble) = (0, None);
        for (storage, keep) in self.places() {
            match self.page(storage, keep).await {
                Ok(pieces) => removed += pieces,
                Err(cause) => trouble = Some(cause),
            }
        }
        trouble.map_or(Ok(removed), Err)
    }

    /// Those that are set and have an end: of a place that is not set its rows stay with what they name.
    fn places(&self) -> impl Iterator<Item = (ArchiveStorage, Duration)> {
        self.store
            .set()
            .filter_map(|storage| Some((storage, *self.keep.get(&storage)?)))
    }

    async fn rows(&self, storage: ArchiveStorage, keep: Duration) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let rows = sqlx::query!(
            r#"select id as "id: Uuid", location from failed_order_archives force index (archives_by_end)
               where storage = ? and handled_at < utc_timestamp(3) - interval ? second and handled = true
               order by handled_at limit ? for update skip locked"#,
            storage.as_str(),
            seconds(keep),
            ROWS
        )
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        for row in &rows {
            if let Some(location) = &row.location {
                self.store.let_go(storage, location).await?;
            }
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        forget(&mut tx, &ids).await?;
        for id in &ids {
            versions::forget(&mut tx, *id).await?;
            notes::forget(&mut tx, *id).await?;
            sqlx::query!("delete from failed_order_archives where id = ?", id)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(ids.len() as u64)
    }

    async fn page(&self, storage: ArchiveStorage, keep: Duration) -> Result<u64, StoreError> {
        let after = self.next().remove(&storage);
        let Page { pieces, next } = self.store.old(storage, keep, after.as_deref()).await?;
        let mut removed = 0;
        for piece in pieces {
            if !self.is_named(storage, &piece).await? {
                self.store.remove(storage, &piece, keep).await?;
                removed += 1;
            }
        }
        if let Some(next) = next {
            self.next().insert(storage, next);
        }
        Ok(removed)
    }

    fn next(&self) -> std::sync::MutexGuard<'_, BTreeMap<ArchiveStorage, String>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a row's location begins with the piece.
    async fn is_named(&self, storage: ArchiveStorage, piece: &str) -> sqlx::Result<bool> {
        // The letter after every letter of a location.
        let end = format!("{piece}\u{7f}");
        let named = sqlx::query_scalar!(
            "select 1 from failed_order_archives where location >= ? and location < ? and storage = ? limit 1",
            piece,
            end,
            storage.as_str()
        )
        .fetch_optional(&self.db)
        .await?;
        Ok(named.is_some())
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
