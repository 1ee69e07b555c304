//! Payloads in a bucket, an object each: a line of JSON, as files have it.

use super::{Answer, Backend, Page};
use crate::archive::{Kept, Record, StoreError, record::digest};
use futures::StreamExt as _;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use service_kit::settings::{ArchiveS3, ArchiveStorage};
use std::time::Duration;
use uuid::Uuid;

/// How long a connection, and a request, may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Objects looked at at once.
const OBJECTS: usize = 500;

/// One bucket.
pub(in crate::archive) struct Bucket {
    store: AmazonS3,
    name: String,
    prefix: String,
}

impl Bucket {
    /// Connects once it is asked for something.
    pub fn new(settings: &ArchiveS3) -> Result<Self, StoreError> {
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_WITHIN)
            .with_timeout(ANSWER_WITHIN)
            .with_allow_http(settings.allow_http);
        // Whoever calls tries again, at a pace of its own.
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 0,
            retry_timeout: ANSWER_WITHIN,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(settings.access_key.expose())
            .with_secret_access_key(settings.secret_key.expose())
            .with_virtual_hosted_style_request(false)
            .with_client_options(client)
            .with_retry(retry);
        if !settings.endpoint.is_empty() {
            builder = builder.with_endpoint(&settings.endpoint);
        }
        Ok(Self {
            store: builder.build().map_err(away)?,
            name: settings.bucket.clone(),
            prefix: settings.prefix.clone(),
        })
    }

    /// Rows name the bucket too: another one may be set meanwhile.
    fn location(&self, path: &Path) -> String {
        format!("s3://{}/{path}", self.name)
    }

    fn path(&self, location: &str) -> Result<Path, StoreError> {
        let path = location
            .strip_prefix("s3://")
            .and_then(|rest| rest.strip_prefix(&self.name))
            .and_then(|rest| rest.strip_prefix('/'));
        path.and_then(|path| Path::parse(path).ok())
            .ok_or_else(|| StoreError::AnotherBucket {
                location: location.to_owned(),
                bucket: self.name.clone(),
            })
    }

    /// `None` where there is none.
    async fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    async fn put(&self, path: &Path, content: &[u8]) -> Result<Put, Error> {
        let payload = PutPayload::from(content.to_vec());
        let put = self
            .store
            .put_opts(path, payload.clone(), PutMode::Create.into())
            .await;
        match put {
            Ok(_) => Ok(Put::Done),
            Err(Error::AlreadyExists { .. }) => self.compare(path, content).await,
            // Its name tells its content, so that of two at once it does not matter who was last.
            Err(cause) if is_unknown_there(&cause) => match self.compare(path, content).await? {
                Put::Missing => self.store.put(path, payload).await.map(|_| Put::Done),
                put => Ok(put),
            },
            Err(cause) => Err(cause),
        }
    }

    async fn compare(&self, path: &Path, content: &[u8]) -> Result<Put, Error> {
        Ok(match self.get(path).await? {
            None => Put::Missing,
            Some(there) if there == content => Put::Done,
            Some(_) => Put::Occupied,
        })
    }

    async fn page(&self, than: Duration, after: Option<&str>) -> Result<Page, Error> {
        let prefix = Path::from(self.prefix.as_str());
        let all = match after {
            None => self.store.list(Some(&prefix)),
            Some(after) => self
                .store
                .list_with_offset(Some(&prefix), &Path::parse(after)?),
        };
        let listed: Vec<_> = all.take(OBJECTS).collect().await;
        let mut page = Page::default();
        let is_full = listed.len() >= OBJECTS;
        for object in listed {
            let object = object?;
            let age = (chrono::Utc::now() - object.last_modified).to_std();
            if age.is_ok_and(|age| age >= than) {
                page.pieces.push(self.location(&object.location));
            }
            page.next = is_full.then(|| object.location.to_string());
        }
        Ok(page)
    }
}

enum Put {
    Done,
    /// Something else is there.
    Occupied,
    /// Nothing is there, or not any more.
    Missing,
}

/// Servers that know no conditions say so; those that pass over them write the same content again.
fn is_unknown_there(cause: &Error) -> bool {
    match cause {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
        Error::Generic { source, .. } => {
            let mut source: Option<&dyn std::error::Error> = Some(source.as_ref());
            while let Some(cause) = source {
                if cause.to_string().contains("501 Not Implemented") {
                    return true;
                }
                source = cause.source();
            }
            false
        }
        _ => false,
    }
}

impl Backend for Bucket {
    fn keep<'a>(&'a self, record: &'a Record) -> Answer<'a, Kept> {
        Box::pin(async move {
            let path = Path::from(format!("{}/{}.json", self.prefix, record.name()));
            let location = self.location(&path);
            match self.put(&path, &record.to_bytes()).await.map_err(away)? {
                Put::Done => Ok(Kept::Elsewhere {
                    storage: ArchiveStorage::S3,
                    location,
                }),
                Put::Occupied => Err(StoreError::occupied(ArchiveStorage::S3, &location)),
                Put::Missing => Err(StoreError::away(
                    ArchiveStorage::S3,
                    std::io::Error::other("the object was removed while it was compared"),
                )),
            }
        })
    }

    fn read<'a>(&'a self, id: Uuid, location: &'a str) -> Answer<'a, Record> {
        Box::pin(async move {
            let path = self.path(location)?;
            let content = self
                .get(&path)
                .await
                .map_err(away)?
                .ok_or_else(|| StoreError::missing(ArchiveStorage::S3, location))?;
            let name = path.filename().unwrap_or_default();
            Record::parse(&content)
                .filter(|record| record.id == id && name.contains(&digest(&content)))
                .ok_or_else(|| StoreError::elsewhere(ArchiveStorage::S3, location))
        })
    }

    fn let_go<'a>(&'a self, location: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.store.delete(&self.path(location)?).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(cause) => Err(away(cause)),
            }
        })
    }

    fn old<'a>(&'a self, than: Duration, after: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(async move { self.page(than, after).await.map_err(away) })
    }

    fn remove<'a>(&'a self, piece: &'a str, _: Duration) -> Answer<'a, ()> {
        self.let_go(piece)
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let nothing = Path::from(format!("{}/ping", self.prefix));
            self.get(&nothing).await.map(drop).map_err(away)
        })
    }
}

fn away(cause: Error) -> StoreError {
    StoreError::away(ArchiveStorage::S3, cause)
}
