//! Where the payload of what is given up is kept: in the row itself, or in a file with one JSON object a line.
//!
//! A line is on disk before the row that names it. A process that dies in between leaves a line nobody names.

use super::{Message, ToArchive};
use crate::headers::Headers;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use service_kit::settings::{ArchiveStorage, Dlq};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Keeps payloads as the settings say.
#[derive(Debug, Clone)]
pub enum Store {
    /// In the row.
    Mysql,
    /// In this file.
    File(PathBuf),
}

/// Why a payload cannot be kept, or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// MySQL failed.
    #[error("MySQL does not give the message")]
    Database(#[from] sqlx::Error),
    /// The file failed.
    #[error("the archive file {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The file has something else where the message should be.
    #[error("the archive file has another message at {0}")]
    Elsewhere(String),
}

/// What became of a payload: columns of its row.
#[derive(Debug, Clone)]
pub enum Kept {
    /// It goes into the row.
    InRow {
        /// The message.
        payload: Vec<u8>,
        /// Its headers, as JSON.
        headers: String,
    },
    /// It is in a file, on disk.
    InFile {
        /// `path#offset`.
        location: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: Uuid,
    error: String,
    history: serde_json::Value,
    headers: Headers,
    /// In base64: it may be anything.
    payload: String,
    /// In base64 as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default)]
    tombstone: bool,
}

impl Store {
    /// As the settings say. The file's folder is made where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(settings: &Dlq) -> io::Result<Self> {
        Ok(match settings.archive_storage {
            ArchiveStorage::Mysql => Self::Mysql,
            ArchiveStorage::File => {
                if let Some(folder) = settings.archive_file.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                Self::File(std::path::absolute(&settings.archive_file)?)
            }
        })
    }

    /// Keeps the payload. Once it returns, a row may name it.
    ///
    /// # Errors
    /// When the file does not take it; a part of a line may be left in it.
    pub async fn keep(&self, what: &ToArchive) -> Result<Kept, StoreError> {
        match self {
            Self::Mysql => Ok(Kept::InRow {
                payload: what.payload.clone(),
                headers: what.headers.to_json(),
            }),
            Self::File(path) => {
                let line = Line {
                    id: what.id,
                    error: what.error.clone(),
                    history: serde_json::to_value(&what.history).unwrap_or_default(),
                    headers: what.headers.clone(),
                    payload: BASE64_STANDARD.encode(&what.payload),
                    key: what
                        .envelope
                        .key
                        .as_ref()
                        .map(|key| BASE64_STANDARD.encode(key)),
                    tombstone: what.envelope.is_tombstone,
                };
                let to = path.clone();
                let offset = in_background(path, move || append(&to, &line)).await?;
                Ok(Kept::InFile {
                    location: format!("{}#{offset}", path.display()),
                })
            }
        }
    }
}

impl Kept {
    pub(super) const fn storage(&self) -> &'static str {
        match self {
            Self::InRow { .. } => "mysql",
            Self::InFile { .. } => "file",
        }
    }

    pub(super) fn location(&self) -> Option<&str> {
        match self {
            Self::InRow { .. } => None,
            Self::InFile { location } => Some(location),
        }
    }

    pub(super) fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::InRow { payload, .. } => Some(payload),
            Self::InFile { .. } => None,
        }
    }

    /// What goes into the row where the payload does.
    pub(super) const fn in_row<T>(&self, value: Option<T>) -> Option<T>
    where
        T: Copy,
    {
        match self {
            Self::InRow { .. } => value,
            Self::InFile { .. } => None,
        }
    }

    pub(super) fn headers(&self) -> Option<&str> {
        match self {
            Self::InRow { headers, .. } => Some(headers),
            Self::InFile { .. } => None,
        }
    }
}

/// Reads the message a row names.
pub(super) async fn read_file(location: &str, id: Uuid) -> Result<Message, StoreError> {
    let elsewhere = || StoreError::Elsewhere(location.to_owned());
    let (path, offset) = location.rsplit_once('#').ok_or_else(elsewhere)?;
    let offset: u64 = offset.parse().map_err(|_| elsewhere())?;
    let path = PathBuf::from(path);
    let from = path.clone();
    let text = in_background(&path, move || read_line(&from, offset)).await?;
    let line: Line = serde_json::from_str(&text).map_err(|_| elsewhere())?;
    if line.id != id {
        return Err(elsewhere());
    }
    Ok(Message {
        payload: BASE64_STANDARD
            .decode(line.payload)
            .map_err(|_| elsewhere())?,
        headers: line.headers,
        key: line
            .key
            .map(|key| BASE64_STANDARD.decode(key).map_err(|_| elsewhere()))
            .transpose()?,
        is_tombstone: line.tombstone,
    })
}

/// Appends a line under the file's lock, for several processes may write it, and waits until it is on disk. Gives where it begins.
fn append(path: &Path, line: &Line) -> io::Result<u64> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.lock()?;
    let mut offset = file.seek(SeekFrom::End(0))?;
    if offset > 0 && !ends_with_newline(path, offset)? {
        // Somebody died in the middle of a line.
        file.write_all(b"\n")?;
        offset += 1;
    }
    file.write_all(&text)?;
    file.sync_all()?;
    Ok(offset)
}

fn ends_with_newline(path: &Path, length: u64) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    io::Read::read_exact(&mut file, &mut last)?;
    Ok(last == *b"\n")
}

fn read_line(path: &Path, offset: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = String::new();
    BufReader::new(file).read_line(&mut text)?;
    Ok(text)
}

async fn in_background<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|cause| Err(io::Error::other(cause)))
        .map_err(|cause| StoreError::File {
            path: path.to_owned(),
            cause,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::{Envelope, Subject},
        attempt::History,
    };
    use chrono::Utc;

    fn what(payload: &[u8]) -> ToArchive {
        ToArchive {
            id: Uuid::new_v4(),
            subject: Subject::Message,
            step: "parse",
            error: "no order".to_owned(),
            history: History::default(),
            payload: payload.to_vec(),
            headers: Headers(vec![
                ("a".to_owned(), Some(vec![0, 255])),
                ("none".to_owned(), None),
            ]),
            envelope: Envelope {
                key: Some(vec![0xfe]),
                is_tombstone: payload.is_empty(),
                error_class: None,
            },
            held: false,
            first_failed_at: Utc::now(),
        }
    }

    #[tokio::test]
    async fn a_file_gives_back_what_it_was_given_also_after_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.jsonl");
        let store = Store::File(path.clone());
        let mut kept = Vec::new();
        for payload in [&b"\xff\n\0"[..], b"second", b""] {
            let what = what(payload);
            kept.push((store.keep(&what).await.unwrap(), what));
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"{\"id\": half").unwrap();
        }
        for (kept, what) in kept {
            let read = read_file(kept.location().unwrap(), what.id).await.unwrap();
            assert_eq!((read.payload, read.headers), (what.payload, what.headers));
            assert_eq!(read.key, what.envelope.key);
            assert_eq!(read.is_tombstone, what.envelope.is_tombstone);
        }
    }

    #[tokio::test]
    async fn another_message_at_the_place_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::File(folder.path().join("archive.jsonl"));
        let kept = store.keep(&what(b"x")).await.unwrap();
        let read = read_file(kept.location().unwrap(), Uuid::new_v4()).await;
        assert!(matches!(read, Err(StoreError::Elsewhere(_))));
    }
}
