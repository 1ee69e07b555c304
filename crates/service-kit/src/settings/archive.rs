//! Where the payload of what is given up is kept, and for how long.

use super::{Dlq, Secret};
use serde::Deserialize;
use std::fmt;

/// Days for which Kafka keeps messages unless it is told otherwise, and as many again: a late copy must meet what became of it.
const KEPT_AT_LEAST_D: u64 = 14;
/// Ten years: beyond it a time cannot be reckoned.
const KEPT_AT_MOST_D: u64 = 3_650;
/// What a file of the archive may grow to, in MiB.
const FILE_AT_MOST_MB: u64 = 4_096;
/// What a path or a prefix may take, in bytes: with what the archive adds it fits the column of places.
const PLACE_AT_MOST: usize = 300;
/// Connections to a Postgres.
const CONNECTIONS_AT_MOST: u32 = 64;

/// Where the payload of what is given up is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveStorage {
    /// In the table `failed_order_archives`.
    Mysql,
    /// In a table of a Postgres.
    Postgres,
    /// In a bucket, an object each.
    S3,
    /// In files, a line each.
    File,
}

/// A Postgres that keeps payloads. It is there for reading as soon as it has a host.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchivePostgres {
    /// Host name or address; empty: there is none.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The database; the archive makes its tables in it.
    pub name: String,
    /// Connections of a process.
    pub max_connections: u32,
}

/// A bucket that keeps payloads. It is there for reading as soon as it has a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveS3 {
    /// The bucket; empty: there is none.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The server, `https://host:port`; empty: Amazon's in the region.
    pub endpoint: String,
    /// Whether the endpoint may be `http://`, which anyone on the way reads.
    pub allow_http: bool,
    /// The account's access key.
    pub access_key: Secret,
    /// The account's secret key.
    pub secret_key: Secret,
    /// What the names of all objects begin with.
    pub prefix: String,
}

/// Days for which what is handled stays in the archive, by where its payload is; 0: for ever. What is open always stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveKeep {
    /// Payloads in the table.
    pub mysql: u64,
    /// Payloads in the Postgres.
    pub postgres: u64,
    /// Payloads in the bucket.
    pub s3: u64,
    /// Payloads in files.
    pub file: u64,
}

impl ArchiveStorage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mysql, Self::Postgres, Self::S3, Self::File];

    /// As settings and rows name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::S3 => "s3",
            Self::File => "file",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

impl fmt::Display for ArchiveStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for ArchivePostgres {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 5432,
            user: "redress".to_owned(),
            password: Secret::default(),
            name: "redress".to_owned(),
            max_connections: 4,
        }
    }
}

impl Default for ArchiveS3 {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: String::new(),
            allow_http: false,
            access_key: Secret::default(),
            secret_key: Secret::default(),
            prefix: "redress/archive".to_owned(),
        }
    }
}

impl Default for ArchiveKeep {
    fn default() -> Self {
        Self {
            mysql: 365,
            postgres: 365,
            s3: 365,
            file: 365,
        }
    }
}

impl ArchiveKeep {
    /// Days for payloads kept there; 0: for ever.
    #[must_use]
    pub const fn days(&self, storage: ArchiveStorage) -> u64 {
        match storage {
            ArchiveStorage::Mysql => self.mysql,
            ArchiveStorage::Postgres => self.postgres,
            ArchiveStorage::S3 => self.s3,
            ArchiveStorage::File => self.file,
        }
    }
}

impl Dlq {
    /// The first complaint about the archive, or none. Urls and secrets are not repeated in it.
    pub(super) fn archive_complaint(&self) -> Option<String> {
        self.file_complaint()
            .or_else(|| self.postgres_complaint())
            .or_else(|| self.s3_complaint())
            .or_else(|| {
                let storage = ArchiveStorage::ALL.into_iter().find(|storage| {
                    let days = self.archive_keep_d.days(*storage);
                    days != 0 && !(KEPT_AT_LEAST_D..=KEPT_AT_MOST_D).contains(&days)
                })?;
                Some(format!(
                    "dlq.archive_keep_d.{storage} must be 0 (for ever), or {KEPT_AT_LEAST_D} to {KEPT_AT_MOST_D}: Kafka keeps messages for \
                     7 days, and a late copy must still meet what became of it"
                ))
            })
    }

    fn file_complaint(&self) -> Option<String> {
        let path = &self.archive_file;
        if path.file_name().is_none() || path.to_str().is_none_or(|path| path.len() > PLACE_AT_MOST)
        {
            return Some(format!(
                "dlq.archive_file must name a file, in UTF-8 and at most {PLACE_AT_MOST} bytes"
            ));
        }
        (!(1..=FILE_AT_MOST_MB).contains(&self.archive_file_max_mb))
            .then(|| format!("dlq.archive_file_max_mb must be 1 to {FILE_AT_MOST_MB}"))
    }

    fn postgres_complaint(&self) -> Option<String> {
        let postgres = &self.archive_postgres;
        if postgres.host.trim().is_empty() {
            return (self.archive_storage == ArchiveStorage::Postgres).then(|| {
                "dlq.archive_storage is postgres: set dlq.archive_postgres.host".to_owned()
            });
        }
        if postgres.user.is_empty() || postgres.name.is_empty() {
            return Some(
                "dlq.archive_postgres: user and name must not be empty where a host is set"
                    .to_owned(),
            );
        }
        (!(1..=CONNECTIONS_AT_MOST).contains(&postgres.max_connections)).then(|| {
            format!("dlq.archive_postgres.max_connections must be 1 to {CONNECTIONS_AT_MOST}")
        })
    }

    fn s3_complaint(&self) -> Option<String> {
        let s3 = &self.archive_s3;
        if s3.bucket.is_empty() {
            return (self.archive_storage == ArchiveStorage::S3).then(|| {
                "dlq.archive_storage is s3: set dlq.archive_s3.bucket, access_key and secret_key"
                    .to_owned()
            });
        }
        let is_name = |letter: u8| letter.is_ascii_alphanumeric() || b"-._".contains(&letter);
        if !(3..=63).contains(&s3.bucket.len()) || !s3.bucket.bytes().all(is_name) {
            return Some(
                "dlq.archive_s3.bucket must be 3 to 63 of letters, digits, '-', '.' and '_'"
                    .to_owned(),
            );
        }
        if s3.access_key.expose().is_empty() || s3.secret_key.expose().is_empty() {
            return Some(
                "dlq.archive_s3.access_key and secret_key must be set where a bucket is: no others are looked for"
                    .to_owned(),
            );
        }
        if s3.region.is_empty() {
            return Some(
                "dlq.archive_s3.region must not be empty: servers without regions take us-east-1"
                    .to_owned(),
            );
        }
        let is_path = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_name)
        };
        if s3.prefix.len() > PLACE_AT_MOST || !s3.prefix.split('/').all(is_path) {
            return Some(format!(
                "dlq.archive_s3.prefix must be names of letters, digits, '-', '.' and '_' with '/' between them, at most {PLACE_AT_MOST} bytes"
            ));
        }
        s3.endpoint_complaint()
    }
}

impl ArchiveS3 {
    fn endpoint_complaint(&self) -> Option<String> {
        let host = |scheme| {
            let rest: &str = self.endpoint.strip_prefix(scheme)?;
            let plain = !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']);
            plain.then_some(())
        };
        if self.endpoint.is_empty() || host("https://").is_some() {
            return None;
        }
        if host("http://").is_none() {
            return Some("dlq.archive_s3.endpoint must be https://host:port, or empty".to_owned());
        }
        (!self.allow_http).then(|| {
            "dlq.archive_s3.endpoint is http, which anyone on the way reads: make it https, or set dlq.archive_s3.allow_http".to_owned()
        })
    }
}
