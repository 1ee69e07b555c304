//! Payloads in their rows: written with them, read with them, gone with them.

use super::{Answer, Backend, Page};
use crate::{
    archive::{Kept, Record, StoreError},
    headers::Headers,
    queue::unreadable,
};
use service_kit::{mysql, settings::ArchiveStorage};
use sqlx::MySqlPool;
use std::time::Duration;
use uuid::Uuid;

/// The table `failed_order_archives`.
pub(in crate::archive) struct Rows(MySqlPool);

impl Rows {
    pub const fn new(db: MySqlPool) -> Self {
        Self(db)
    }

    async fn find(&self, id: Uuid) -> Result<Record, StoreError> {
        let row = sqlx::query!(
            r#"select generation as "generation: u32", error, history, payload, headers, message_key, tombstone as "tombstone: bool"
               from failed_order_archives where id = ? and storage = 'mysql'"#,
            id
        )
        .fetch_optional(&self.0)
        .await?
        .ok_or_else(|| StoreError::missing(ArchiveStorage::Mysql, &id.to_string()))?;
        Ok(Record {
            id,
            generation: row.generation,
            error: row.error,
            history: serde_json::from_str(&row.history).map_err(unreadable)?,
            headers: Headers::from_json(row.headers.as_deref().unwrap_or("[]"))
                .map_err(unreadable)?,
            payload: row.payload.unwrap_or_default(),
            key: row.message_key,
            tombstone: row.tombstone,
        })
    }
}

impl Backend for Rows {
    fn keep<'a>(&'a self, record: &'a Record) -> Answer<'a, Kept> {
        Box::pin(async move { Ok(Kept::from(record)) })
    }

    fn read<'a>(&'a self, id: Uuid, _: &'a str) -> Answer<'a, Record> {
        Box::pin(self.find(id))
    }

    fn let_go<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn old<'a>(&'a self, _: Duration, _: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(async { Ok(Page::default()) })
    }

    fn remove<'a>(&'a self, _: &'a str, _: Duration) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(mysql::ping(&self.0).await?) })
    }
}
