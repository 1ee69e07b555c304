//! Payloads in a table of a Postgres, which makes the table itself.

use super::{Answer, Backend, Page};
use crate::{
    archive::{Kept, Record, StoreError},
    headers::Headers,
};
use serde::{Deserialize, Serialize};
use service_kit::settings::{ArchivePostgres, ArchiveStorage};
use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::time::Duration;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// How long a caller waits for a connection.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(3);
/// Held while the tables are made or changed: several processes start at once.
const MAKING: i64 = 0x5245_4452;
/// What was done to the tables, in this order. Only ever added to.
const STEPS: [&[&str]; 1] = [&[
    "create table redress_archives (
        -- id-generation-digest of the content: another content has another name.
        name        text        not null primary key,
        id          uuid        not null,
        generation  bigint      not null,
        payload     bytea       not null,
        message_key bytea,
        tombstone   boolean     not null,
        -- The headers, the last error and every try, as JSON.
        about       text        not null,
        kept_at     timestamptz not null default now()
    )",
    "create index redress_archives_by_time on redress_archives (kept_at, name)",
]];
/// Rows looked at at once.
const ROWS: i64 = 500;

/// One Postgres.
pub(in crate::archive) struct Postgres {
    db: PgPool,
    /// The tables are there.
    made: OnceCell<()>,
}

/// What is not binary.
#[derive(Serialize, Deserialize)]
struct About {
    error: String,
    history: serde_json::Value,
    headers: Headers,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    generation: i64,
    payload: Vec<u8>,
    message_key: Option<Vec<u8>>,
    tombstone: bool,
    about: String,
}

impl Postgres {
    /// Connects once it is asked for something.
    pub fn new(settings: &ArchivePostgres) -> Self {
        // Nothing of the environment or of files in a home: the settings say all.
        let options = PgConnectOptions::new_without_pgpass()
            .host(&settings.host)
            .port(settings.port)
            .username(&settings.user)
            .password(settings.password.expose())
            .database(&settings.name)
            .application_name("redress")
            .options([("synchronous_commit", "on")]);
        let db = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(ACQUIRE_WITHIN)
            .connect_lazy_with(options);
        Self {
            db,
            made: OnceCell::new(),
        }
    }

    async fn db(&self) -> sqlx::Result<&PgPool> {
        self.made
            .get_or_try_init(async || {
                let mut db = self.db.acquire().await?;
                refuse_unsafe(&mut db).await?;
                make(&mut db).await
            })
            .await?;
        Ok(&self.db)
    }

    async fn insert(&self, name: &str, record: &Record) -> sqlx::Result<bool> {
        let about = About {
            error: record.error.clone(),
            history: record.history.clone(),
            headers: record.headers.clone(),
        };
        // JSON writes a NUL as six letters, which a text of Postgres takes.
        let about = serde_json::to_string(&about)
            .unwrap_or_else(|cause| unreachable!("texts always serialise: {cause}"));
        sqlx::query(
            "insert into redress_archives (name, id, generation, payload, message_key, tombstone, about)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (name) do nothing",
        )
        .bind(name)
        .bind(record.id)
        .bind(i64::from(record.generation))
        .bind(&record.payload)
        .bind(&record.key)
        .bind(record.tombstone)
        .bind(about)
        .execute(self.db().await?)
        .await
        .map(|done| done.rows_affected() == 1)
    }

    async fn find(&self, name: &str) -> sqlx::Result<Option<Row>> {
        sqlx::query_as(
            "select id, generation, payload, message_key, tombstone, about from redress_archives where name = $1",
        )
        .bind(name)
        .fetch_optional(self.db().await?)
        .await
    }

    async fn delete(&self, name: &str) -> sqlx::Result<()> {
        sqlx::query("delete from redress_archives where name = $1")
            .bind(name)
            .execute(self.db().await?)
            .await
            .map(drop)
    }

    /// By time, so that what is young is not looked at.
    async fn older(&self, than: Duration, after: Option<&str>) -> sqlx::Result<Page> {
        let after = after.and_then(|after| after.split_once(' '));
        let (micros, name) = after.unwrap_or(("0", ""));
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select cast(extract(epoch from kept_at) * 1000000 as bigint), name from redress_archives
             where kept_at < now() - make_interval(secs => $1)
               and (kept_at, name) > ('epoch'::timestamptz + $2 * interval '1 microsecond', $3)
             order by redress_archives.kept_at, name limit $4",
        )
        .bind(than.as_secs_f64())
        .bind(micros.parse::<i64>().unwrap_or_default())
        .bind(name)
        .bind(ROWS)
        .fetch_all(self.db().await?)
        .await?;
        let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= ROWS;
        let last = rows.last().filter(|_| is_full);
        Ok(Page {
            next: last.map(|(micros, name)| format!("{micros} {name}")),
            pieces: rows.into_iter().map(|(_, name)| name).collect(),
        })
    }
}

/// A server that forgets what it committed keeps nothing.
async fn refuse_unsafe(db: &mut PgConnection) -> sqlx::Result<()> {
    let fsync: String = sqlx::query_scalar("select current_setting('fsync')")
        .fetch_one(db)
        .await?;
    if fsync == "on" {
        Ok(())
    } else {
        Err(sqlx::Error::Configuration(
            "the Postgres must run with fsync on, or a power cut loses what it keeps".into(),
        ))
    }
}

/// Any number of processes may do it at once, and again.
async fn make(db: &mut PgConnection) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(MAKING)
        .execute(&mut *tx)
        .await?;
    // Looked for first: a notice each time that it is there already helps nobody.
    let known: bool = sqlx::query_scalar("select to_regclass('redress_archive_steps') is not null")
        .fetch_one(&mut *tx)
        .await?;
    if !known {
        sqlx::query("create table redress_archive_steps (step integer not null primary key, done_at timestamptz not null default now())")
            .execute(&mut *tx)
            .await?;
    }
    let done: i32 = sqlx::query_scalar("select coalesce(max(step), 0) from redress_archive_steps")
        .fetch_one(&mut *tx)
        .await?;
    let done = usize::try_from(done).unwrap_or_default();
    // What a newer build added is its own: columns that this one knows stay.
    for (number, statements) in (1_i32..).zip(STEPS).skip(done) {
        for statement in statements {
            sqlx::query(*statement).execute(&mut *tx).await?;
        }
        sqlx::query("insert into redress_archive_steps (step) values ($1)")
            .bind(number)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await
}

impl Row {
    fn record(self) -> Option<Record> {
        let About {
            error,
            history,
            headers,
        } = serde_json::from_str(&self.about).ok()?;
        Some(Record {
            id: self.id,
            generation: u32::try_from(self.generation).ok()?,
            error,
            history,
            headers,
            payload: self.payload,
            key: self.message_key,
            tombstone: self.tombstone,
        })
    }
}

impl Backend for Postgres {
    fn keep<'a>(&'a self, record: &'a Record) -> Answer<'a, Kept> {
        Box::pin(async move {
            let name = record.name();
            if !self.insert(&name, record).await.map_err(away)? {
                let there = self.find(&name).await.map_err(away)?.and_then(Row::record);
                if there.is_some_and(|there| there != *record) {
                    return Err(StoreError::occupied(ArchiveStorage::Postgres, &name));
                }
            }
            Ok(Kept::Elsewhere {
                storage: ArchiveStorage::Postgres,
                location: name,
            })
        })
    }

    fn read<'a>(&'a self, id: Uuid, location: &'a str) -> Answer<'a, Record> {
        Box::pin(async move {
            self.find(location)
                .await
                .map_err(away)?
                .ok_or_else(|| StoreError::missing(ArchiveStorage::Postgres, location))?
                .record()
                .filter(|record| record.id == id)
                .ok_or_else(|| StoreError::elsewhere(ArchiveStorage::Postgres, location))
        })
    }

    fn let_go<'a>(&'a self, location: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.delete(location).await.map_err(away) })
    }

    fn old<'a>(&'a self, than: Duration, after: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(async move { self.older(than, after).await.map_err(away) })
    }

    fn remove<'a>(&'a self, piece: &'a str, _: Duration) -> Answer<'a, ()> {
        self.let_go(piece)
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let db = self.db().await.map_err(away)?;
            sqlx::query("select 1")
                .execute(db)
                .await
                .map(drop)
                .map_err(away)
        })
    }
}

fn away(cause: sqlx::Error) -> StoreError {
    StoreError::away(ArchiveStorage::Postgres, cause)
}
