//! What became of a payload: columns of its row.

use super::{Record, ToArchive};
use service_kit::settings::ArchiveStorage;

/// What [`super::Store::keep`] gives, and [`super::put`] writes.
#[derive(Debug, Clone)]
pub enum Kept {
    /// It goes into the row.
    InRow {
        /// The message.
        payload: Vec<u8>,
        /// Its headers, as JSON.
        headers: String,
        /// The key it came with.
        key: Option<Vec<u8>>,
    },
    /// It is kept elsewhere, and survives whatever the row would survive.
    Elsewhere {
        /// By whom.
        storage: ArchiveStorage,
        /// Where, in words of its own.
        location: String,
    },
}

impl Kept {
    /// In the row, whatever the settings say.
    #[must_use]
    pub fn in_row(what: &ToArchive) -> Self {
        Self::from(&Record::of(what))
    }

    pub(super) const fn storage(&self) -> ArchiveStorage {
        match self {
            Self::InRow { .. } => ArchiveStorage::Mysql,
            Self::Elsewhere { storage, .. } => *storage,
        }
    }

    pub(super) fn location(&self) -> Option<&str> {
        match self {
            Self::InRow { .. } => None,
            Self::Elsewhere { location, .. } => Some(location),
        }
    }

    pub(super) fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::InRow { payload, .. } => Some(payload),
            Self::Elsewhere { .. } => None,
        }
    }

    pub(super) fn headers(&self) -> Option<&str> {
        match self {
            Self::InRow { headers, .. } => Some(headers),
            Self::Elsewhere { .. } => None,
        }
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::InRow { key, .. } => key.as_deref(),
            Self::Elsewhere { .. } => None,
        }
    }
}

impl From<&Record> for Kept {
    fn from(record: &Record) -> Self {
        Self::InRow {
            payload: record.payload.clone(),
            headers: record.headers.to_json(),
            key: record.key.clone(),
        }
    }
}
