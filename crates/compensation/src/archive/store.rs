//! All places where messages of what was given up are, and the one where new ones are kept.
//!
//! A place that is down is everybody's trouble, never the fault of what should be kept there: it is left alone for a while, and
//! whoever wanted it comes again. Each call has an end.

use super::{
    Archived, Kept, Message, Record, ToArchive,
    backends::{Answer, Backend, Bucket, Files, Page, Postgres, Rows},
    standing::Standing,
};
use service_kit::settings::{ArchiveStorage, Dlq};
use sqlx::MySqlPool;
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What is claimed to be given up is claimed for longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Keeps and reads messages as the settings say. Cloning shares it.
#[derive(Clone)]
pub struct Store(Arc<Parts>);

struct Parts {
    keeps_in: ArchiveStorage,
    places: BTreeMap<ArchiveStorage, Place>,
}

struct Place {
    backend: Box<dyn Backend>,
    standing: Standing,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a message cannot be kept, or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// MySQL failed.
    #[error("MySQL does not give the message")]
    Database(#[from] sqlx::Error),
    /// The place does not answer, or refuses everybody.
    #[error("the archive in {storage} does not answer")]
    Away {
        /// The place.
        storage: ArchiveStorage,
        /// What it says.
        #[source]
        cause: Cause,
    },
    /// The place is of an older setting, or of a newer build.
    #[error(
        "the message is kept in {0}, which is not set here: set it below dlq again, whatever archive_storage is"
    )]
    NotSet(String),
    /// The place is another bucket's.
    #[error(
        "the message is kept at {location}, and dlq.archive_s3.bucket is {bucket}: copy it there, or set that bucket again"
    )]
    AnotherBucket {
        /// Where it is.
        location: String,
        /// The bucket of the settings.
        bucket: String,
    },
    /// Nothing is there.
    #[error("the archive in {storage} has nothing at {location}: it was removed by other hands")]
    Missing {
        /// The place.
        storage: ArchiveStorage,
        /// Where it should be.
        location: String,
    },
    /// Something else is there.
    #[error("the archive in {storage} has another message at {location}")]
    Elsewhere {
        /// The place.
        storage: ArchiveStorage,
        /// Where it should be.
        location: String,
    },
    /// Something else is where it should be kept. It is not written over.
    #[error(
        "the archive in {storage} has something else at {location} already, which is left as it is"
    )]
    Occupied {
        /// The place.
        storage: ArchiveStorage,
        /// Where it should be.
        location: String,
    },
}

impl StoreError {
    pub(super) fn away(storage: ArchiveStorage, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        Self::Away { storage, cause }
    }

    pub(super) fn missing(storage: ArchiveStorage, location: &str) -> Self {
        let location = location.to_owned();
        Self::Missing { storage, location }
    }

    pub(super) fn elsewhere(storage: ArchiveStorage, location: &str) -> Self {
        let location = location.to_owned();
        Self::Elsewhere { storage, location }
    }

    pub(super) fn occupied(storage: ArchiveStorage, location: &str) -> Self {
        let location = location.to_owned();
        Self::Occupied { storage, location }
    }

    /// Whether it passes by itself: nothing is wrong with the message.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Database(_) | Self::Away { .. })
    }
}

impl Store {
    /// Reads from every place that the settings name, and keeps where they say. Nothing is connected yet.
    ///
    /// # Errors
    /// When a place's settings make no client.
    pub fn new(settings: &Dlq, db: MySqlPool) -> Result<Self, StoreError> {
        let mut store = Self::of_rows(db).places();
        store.insert(ArchiveStorage::File, Place::of(Files::new(settings)?));
        let postgres = &settings.archive_postgres;
        if !postgres.host.trim().is_empty() {
            store.insert(ArchiveStorage::Postgres, Place::of(Postgres::new(postgres)));
        }
        if !settings.archive_s3.bucket.is_empty() {
            let bucket = Bucket::new(&settings.archive_s3)?;
            store.insert(ArchiveStorage::S3, Place::of(bucket));
        }
        let keeps_in = settings.archive_storage;
        if !store.contains_key(&keeps_in) {
            return Err(StoreError::NotSet(keeps_in.to_string()));
        }
        Ok(Self(Arc::new(Parts {
            keeps_in,
            places: store,
        })))
    }

    /// Knows the table and files alone, which need no settings.
    #[must_use]
    pub fn of_rows(db: MySqlPool) -> Self {
        let mut places = BTreeMap::new();
        places.insert(ArchiveStorage::Mysql, Place::of(Rows::new(db)));
        if let Ok(files) = Files::new(&Dlq::default()) {
            places.insert(ArchiveStorage::File, Place::of(files));
        }
        Self(Arc::new(Parts {
            keeps_in: ArchiveStorage::Mysql,
            places,
        }))
    }

    fn places(self) -> BTreeMap<ArchiveStorage, Place> {
        Arc::into_inner(self.0)
            .map(|parts| parts.places)
            .unwrap_or_default()
    }

    /// Where new messages are kept.
    #[must_use]
    pub fn keeps_in(&self) -> ArchiveStorage {
        self.0.keeps_in
    }

    /// Keeps the message. Once it returns, a row may name it. Nothing happens to one that is kept already.
    ///
    /// # Errors
    /// [`StoreError`]. Where it [passes](StoreError::passes), come again.
    pub async fn keep(&self, what: &ToArchive) -> Result<Kept, StoreError> {
        let record = Record::of(what);
        let storage = self.keeps_in();
        self.ask(storage, |backend| backend.keep(&record)).await
    }

    /// The same for what cannot wait: while the place is down it goes into the row, and stays there.
    ///
    /// # Errors
    /// [`StoreError`], but for [`StoreError::Away`].
    pub async fn keep_now(&self, what: &ToArchive) -> Result<Kept, StoreError> {
        match self.keep(what).await {
            Err(StoreError::Away { .. }) => Ok(Kept::in_row(what)),
            kept => kept,
        }
    }

    /// The message of a row, wherever it is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn message(&self, archived: &Archived) -> Result<Message, StoreError> {
        self.record(archived).await.map(Message::from)
    }

    /// All that is kept of a row's message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&self, archived: &Archived) -> Result<Record, StoreError> {
        let storage = ArchiveStorage::of(&archived.storage)
            .ok_or_else(|| StoreError::NotSet(archived.storage.clone()))?;
        let location = archived.location.as_deref().unwrap_or_default();
        self.ask(storage, |backend| backend.read(archived.id, location))
            .await
    }

    /// Why new messages cannot be kept now, and how long nobody need ask; nothing where they can, for all that is known.
    #[must_use]
    pub fn pause(&self) -> Option<(String, Duration)> {
        self.place(self.keeps_in())
            .ok()?
            .standing
            .pause(Instant::now())
    }

    /// Why new messages could not be kept when the place was asked last.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.place(self.keeps_in()).ok()?.standing.trouble()
    }

    /// Whether the place for new messages would answer; it is asked, unless it is left alone now.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ask(self.keeps_in(), |backend| backend.ping()).await
    }

    /// The places that are set.
    pub(super) fn set(&self) -> impl Iterator<Item = ArchiveStorage> {
        self.0.places.keys().copied()
    }

    pub(super) async fn let_go(
        &self,
        storage: ArchiveStorage,
        location: &str,
    ) -> Result<(), StoreError> {
        self.ask(storage, |backend| backend.let_go(location)).await
    }

    pub(super) async fn old(
        &self,
        storage: ArchiveStorage,
        than: Duration,
        after: Option<&str>,
    ) -> Result<Page, StoreError> {
        self.ask(storage, |backend| backend.old(than, after)).await
    }

    pub(super) async fn remove(
        &self,
        storage: ArchiveStorage,
        piece: &str,
        older_than: Duration,
    ) -> Result<(), StoreError> {
        self.ask(storage, |backend| backend.remove(piece, older_than))
            .await
    }

    fn place(&self, storage: ArchiveStorage) -> Result<&Place, StoreError> {
        self.0
            .places
            .get(&storage)
            .ok_or_else(|| StoreError::NotSet(storage.to_string()))
    }

    /// One call, with an end; what it says of the place is remembered.
    async fn ask<'a, T>(
        &'a self,
        storage: ArchiveStorage,
        call: impl FnOnce(&'a dyn Backend) -> Answer<'a, T>,
    ) -> Result<T, StoreError> {
        let Place { backend, standing } = self.place(storage)?;
        if let Some((why, _)) = standing.pause(Instant::now()) {
            return Err(StoreError::away(storage, why));
        }
        let answer = timeout(ANSWER_WITHIN, call(backend.as_ref())).await;
        let answer = answer.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
            Err(StoreError::away(storage, why))
        });
        match &answer {
            Err(StoreError::Away { cause, .. }) => {
                standing.failed(&chain(cause.as_ref()), Instant::now());
            }
            Ok(_) | Err(_) => standing.answered(),
        }
        answer
    }
}

impl Place {
    fn of(backend: impl Backend + 'static) -> Self {
        Self {
            backend: Box::new(backend),
            standing: Standing::default(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.keeps_in())
    }
}

/// An error with its causes on one line.
fn chain(cause: &(dyn std::error::Error + 'static)) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}
