//! Those who keep payloads. Each keeps a message under a name that no other content has, before any row names it; a process that
//! dies in between leaves one that nobody names, and the next try finds it there or leaves it to [`super::Expiry`].
//!
//! Nothing here waits for ever or tries again: [`super::Store`] bounds each call and remembers who is down.

mod file;
mod mysql;
mod postgres;
mod s3;

pub(super) use file::Files;
pub(super) use mysql::Rows;
pub(super) use postgres::Postgres;
pub(super) use s3::Bucket;

use super::{Kept, Record, StoreError};
use futures::future::BoxFuture;
use std::time::Duration;
use uuid::Uuid;

/// What a backend's promise comes to.
pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// One that keeps payloads.
pub(super) trait Backend: Send + Sync {
    /// Keeps it: once this returns it survives a power cut, and a row may name it. Kept again it is there once; what is there under
    /// its name is never written over.
    fn keep<'a>(&'a self, record: &'a Record) -> Answer<'a, Kept>;

    /// Reads what a row names.
    fn read<'a>(&'a self, id: Uuid, location: &'a str) -> Answer<'a, Record>;

    /// Removes what a row names, which goes next. Nothing happens where it is not there, or goes with its file or row.
    fn let_go<'a>(&'a self, location: &'a str) -> Answer<'a, ()>;

    /// Some of what is older than this, after a place in the list.
    fn old<'a>(&'a self, than: Duration, after: Option<&'a str>) -> Answer<'a, Page>;

    /// Removes one of [`Page::pieces`].
    fn remove<'a>(&'a self, piece: &'a str, older_than: Duration) -> Answer<'a, ()>;

    /// Whether it would answer.
    fn ping(&self) -> Answer<'_, ()>;
}

/// A part of what a backend has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// What the locations in rows that need it begin with.
    pub pieces: Vec<String>,
    /// Where it goes on; `None` after the last.
    pub next: Option<String>,
}
