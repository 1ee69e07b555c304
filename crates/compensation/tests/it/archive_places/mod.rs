//! Every place that keeps messages of what was given up does what the archive needs: one list of checks for all of them, on a real
//! Postgres, a real server that speaks S3, the table, and files.

mod s3_server;

use chrono::Utc;
use compensation::{
    archive::{
        self, Archived, ArchivedOrder, Envelope, Expiry, Kept, Store, StoreError, Subject,
        ToArchive,
        listing::{self, Filter, Paging},
    },
    attempt::{Attempt, FAILED, History, Lane},
    headers::Headers,
};
use futures::future::join_all;
use s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use service_kit::settings::{ArchiveStorage, Dlq, Secret};
use sqlx::Connection as _;
use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, time::Duration};
use tempfile::TempDir;
use testkit::{eventually, mysql::Schema, postgres_server::PostgresServer, proxy::Proxy};
use uuid::Uuid;

const WITHIN: Duration = Duration::from_mins(1);
/// What tests let stand for a year: a second in which nothing is removed.
const SOON: Duration = Duration::from_secs(1);

/// The checks that every place passes.
async fn conforms(storage: ArchiveStorage) {
    let server = Server::start(storage).await;
    untouched(&Place::on(&server).await).await;
    kept_twice(&Place::on(&server).await).await;
    kept_at_once(&Place::on(&server).await).await;
    nothing_written_over(&Place::on(&server).await).await;
    big(&Place::on(&server).await).await;
    missing(&Place::on(&server).await).await;
    down_and_back(&Place::on(&server).await).await;
    readable_after_a_change(&Place::on(&server).await).await;
    gone_after_its_time(&Place::on(&server).await).await;
    orphans_go(&Place::on(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_conforms() {
    conforms(ArchiveStorage::Mysql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_conforms() {
    conforms(ArchiveStorage::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_conforms() {
    conforms(ArchiveStorage::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_conform() {
    conforms(ArchiveStorage::File).await;
}

/// Bytes, key, headers and every try come back as they were, and the list does not depend on who has them.
async fn untouched(place: &Place<'_>) {
    let mut kept = Vec::new();
    for (key, tombstone, payload) in [
        (Some(vec![0xfe, 0, b'\n']), false, b"\xff\n\0\x80".to_vec()),
        (None, true, Vec::new()),
        (Some(Vec::new()), false, Vec::new()),
        (None, false, "\u{1F980} {\"gid\": 7}".into()),
    ] {
        let what = ToArchive {
            payload,
            envelope: Envelope {
                key,
                is_tombstone: tombstone,
                error_class: Some("java.lang.NullPointerException".to_owned()),
            },
            ..message()
        };
        kept.push((place.archived(&what).await, what));
    }
    let store = place.store();
    for (row, what) in &kept {
        assert_eq!(row.storage, place.storage().as_str());
        let record = store.record(row).await.unwrap();
        assert_eq!(record.payload, what.payload);
        assert_eq!(record.headers, what.headers);
        assert_eq!(record.key, what.envelope.key);
        assert_eq!(record.tombstone, what.envelope.is_tombstone);
        assert_eq!(record.error, what.error);
        assert_eq!(record.history, serde_json::to_value(&what.history).unwrap());
        assert_eq!(row.history.attempts().len(), 2);
    }
    let paging = Paging {
        after: None,
        limit: 10,
    };
    let listed = listing::page(&place.schema.pool, &Filter::default(), paging)
        .await
        .unwrap();
    assert_eq!(listed.rows.len(), kept.len());
}

/// A process that died between the place and the row keeps it again.
///
/// Meant to catch: `on conflict do nothing` removed (Postgres refuses the second), the conditional put taken for an error (the bucket).
async fn kept_twice(place: &Place<'_>) {
    let (store, what) = (place.store(), order(0));
    let first = store.keep(&what).await.unwrap();
    let second = place.store().keep(&what).await.unwrap();
    for kept in [&first, &second] {
        let row = place.put(&what, kept).await;
        assert_eq!(store.message(&row).await.unwrap().payload, what.payload);
    }
    // The next replay that fails has the same row and another content.
    let later = ToArchive {
        payload: b"of generation 1".to_vec(),
        ..order_of(what.id, 1)
    };
    let row = place.archived(&later).await;
    assert_eq!(store.message(&row).await.unwrap().payload, later.payload);
    assert_eq!((row.generation, row.times_archived), (1, 3));
}

async fn kept_at_once(place: &Place<'_>) {
    let what = order(0);
    let stores: Vec<_> = (0..4).map(|_| place.store()).collect();
    let others: Vec<_> = (0..4).map(|_| message()).collect();
    let same = join_all(stores.iter().map(|store| store.keep(&what)));
    let apart = join_all(
        stores
            .iter()
            .zip(&others)
            .map(|(store, other)| store.keep(other)),
    );
    let (same, apart) = tokio::join!(same, apart);
    for kept in same {
        let row = place.put(&what, &kept.unwrap()).await;
        let read = stores[0].message(&row).await.unwrap();
        assert_eq!(read.payload, what.payload);
    }
    for (kept, other) in apart.into_iter().zip(&others) {
        let row = place.put(other, &kept.unwrap()).await;
        let read = stores[0].message(&row).await.unwrap();
        assert_eq!(read.payload, other.payload);
    }
}

/// What is under its name and is not the same is left as it is.
///
/// Meant to catch: `PutMode::Create` made an overwrite, `on conflict` an update.
async fn nothing_written_over(place: &Place<'_>) {
    let (store, what) = (place.store(), message());
    let row = place.archived(&what).await;
    if !place.spoil(&row).await {
        return;
    }
    let again = store.keep(&what).await;
    assert!(
        matches!(again, Err(StoreError::Occupied { .. })),
        "{again:?}"
    );
    let read = store.message(&row).await;
    assert!(
        matches!(read, Err(StoreError::Elsewhere { .. })),
        "{read:?}"
    );
}

async fn big(place: &Place<'_>) {
    let what = ToArchive {
        payload: (0..1024 * 1024)
            .map(|at: u32| at.to_le_bytes()[at as usize % 3])
            .collect(),
        ..message()
    };
    let row = place.archived(&what).await;
    let read = place.store().message(&row).await.unwrap();
    assert!(read.payload == what.payload, "1 MiB comes back as it was");
}

/// What is not there is told in a sentence, and is no reason to come again.
async fn missing(place: &Place<'_>) {
    let row = place.archived(&message()).await;
    place.remove(&row).await;
    let read = place.store().message(&row).await.unwrap_err();
    assert!(!read.passes(), "{read:?}");
    assert!(read.to_string().contains("has nothing at"), "{read}");
}

/// Down it keeps nothing and says so at once from the second time on; nothing is lost, and it is used again by itself.
async fn down_and_back(place: &Place<'_>) {
    let (store, before) = (place.store(), place.archived(&message()).await);
    assert_eq!(store.trouble(), None);
    place.down();
    let what = message();
    if place.storage() == ArchiveStorage::Mysql {
        // The row is the place: who cannot write it has nothing to keep.
        let read = store.message(&before).await.unwrap_err();
        assert!(read.passes(), "{read:?}");
    } else {
        let refused = store.keep(&what).await.unwrap_err();
        assert!(refused.passes(), "{refused:?}");
        let (why, rest) = store.pause().expect("it is left alone for a while");
        assert!(!why.contains(SECRET_KEY), "{why}");
        assert!(rest <= Duration::from_secs(15));
        assert_eq!(store.trouble(), Some(why));
        let kept = store.keep_now(&what).await.unwrap();
        assert!(matches!(kept, Kept::InRow { .. }), "what cannot wait");
    }
    place.up();
    let kept = eventually("it is back", WITHIN, || async {
        store.keep(&what).await.ok()
    })
    .await;
    assert_eq!((store.trouble(), store.pause()), (None, None));
    let row = place.put(&what, &kept).await;
    for row in [row, before] {
        eventually("it is read", WITHIN, || async {
            store.message(&row).await.ok()
        })
        .await;
    }
}

/// Rows stay readable where new ones go elsewhere, as long as the place is set.
async fn readable_after_a_change(place: &Place<'_>) {
    let what = message();
    let row = place.archived(&what).await;
    let settings = Dlq {
        archive_storage: ArchiveStorage::Mysql,
        ..place.settings.clone()
    };
    let store = Store::new(&settings, place.db.clone()).unwrap();
    assert_eq!(store.message(&row).await.unwrap().payload, what.payload);
    let kept = store.keep(&message()).await.unwrap();
    assert!(matches!(kept, Kept::InRow { .. }));
    let nowhere = Store::new(&Dlq::default(), place.db.clone()).unwrap();
    let read = nowhere.message(&row).await;
    match place.storage() {
        ArchiveStorage::Mysql | ArchiveStorage::File => assert!(read.is_ok()),
        ArchiveStorage::Postgres | ArchiveStorage::S3 => {
            let refused = read.unwrap_err();
            assert!(!refused.passes());
            assert!(refused.to_string().contains("is not set here"), "{refused}");
        }
    }
}

/// What was handled long enough ago goes, row and message; what is open stays, and what went is not missed by its group.
///
/// Meant to catch: `handled = true` left out together with `handled_at` (open rows went), the message not let go.
async fn gone_after_its_time(place: &Place<'_>) {
    let (old, open, fresh) = (message(), message(), message());
    let mut rows = Vec::new();
    for what in [&old, &open, &fresh] {
        rows.push(place.archived(what).await);
    }
    let handled = "update failed_order_archives set handled = true, resolution = 'x', handled_at";
    for (id, at) in [
        (old.id, "utc_timestamp(3) - interval 1 hour"),
        (fresh.id, "utc_timestamp(3)"),
    ] {
        let id = id.simple();
        place
            .schema
            .execute(&format!("{handled} = {at} where id = x'{id}'"))
            .await;
    }
    let expiry = place.expiry(Duration::from_mins(30));
    assert_eq!(expiry.run_batch().await.unwrap(), 1);
    assert_eq!(expiry.run_batch().await.unwrap(), 0);
    let db = &place.schema.pool;
    assert!(archive::find(db, old.id).await.unwrap().is_none());
    let store = place.store();
    for what in [&open, &fresh] {
        let row = archive::find(db, what.id).await.unwrap().unwrap();
        assert_eq!(store.message(&row).await.unwrap().payload, what.payload);
    }
    if !matches!(place.storage(), ArchiveStorage::File) {
        // A file goes as a whole, later.
        let gone = store.message(&rows[0]).await;
        assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
    }
}

/// What no row names goes once it is old, and nothing that a row names.
///
/// Meant to catch: the look for a row that names it left out (a file went with the message of an open row).
async fn orphans_go(place: &Place<'_>) {
    let store = place.store();
    let named = place.archived(&message()).await;
    let orphan = order(0);
    let lost = store.keep(&orphan).await.unwrap();
    let never = place.expiry(Duration::from_hours(1));
    assert_eq!(never.sweep().await.unwrap(), 0, "it is young");
    tokio::time::sleep(SOON + Duration::from_millis(200)).await; // Its age is what is waited for.
    let expiry = place.expiry(SOON);
    let removed = expiry.sweep().await.unwrap();
    assert!(store.message(&named).await.is_ok(), "a row names it");
    match place.storage() {
        ArchiveStorage::Mysql => assert_eq!(removed, 0),
        ArchiveStorage::File => {
            // The orphan's line is in a file that is needed.
            assert_eq!(removed, 0);
            place
                .schema
                .execute("delete from failed_order_archives")
                .await;
            assert_eq!(expiry.sweep().await.unwrap(), 1);
            let gone = store.message(&named).await;
            assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
        }
        ArchiveStorage::Postgres | ArchiveStorage::S3 => {
            assert_eq!(removed, 1);
            let row = place.put(&orphan, &lost).await;
            let gone = store.message(&row).await;
            assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
        }
    }
}

/// What keeps the messages of one kind of place.
enum Server {
    Mysql,
    Postgres(Box<PostgresServer>),
    S3(S3Server),
    File,
}

/// A schema and an empty place of its own on a server, which can be cut off.
struct Place<'a> {
    server: &'a Server,
    schema: Schema,
    /// What the store reads rows with: through the proxy where the table is the place.
    db: sqlx::MySqlPool,
    settings: Dlq,
    proxy: Option<Proxy>,
    folder: TempDir,
}

impl Server {
    async fn start(storage: ArchiveStorage) -> Self {
        match storage {
            ArchiveStorage::Mysql => Self::Mysql,
            ArchiveStorage::Postgres => Self::Postgres(Box::new(PostgresServer::start().await)),
            ArchiveStorage::S3 => Self::S3(S3Server::start().await),
            ArchiveStorage::File => Self::File,
        }
    }
}

impl<'a> Place<'a> {
    async fn on(server: &'a Server) -> Self {
        let (schema, folder) = (testkit::mysql::schema().await, TempDir::new().unwrap());
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut settings = Dlq {
            archive_file: folder.path().join("letters").join("archive.jsonl"),
            ..Dlq::default()
        };
        let mut db = schema.pool.clone();
        let proxied = async |address: SocketAddr| Proxy::start(address).await;
        let proxy = match server {
            Server::File => {
                settings.archive_storage = ArchiveStorage::File;
                None
            }
            Server::Mysql => {
                let proxy = proxied(schema.address()).await;
                let mut through = schema.settings.clone();
                through.host = proxy.address().ip().to_string();
                through.port = proxy.address().port();
                db = service_kit::mysql::connect(&through).await.unwrap();
                Some(proxy)
            }
            Server::Postgres(postgres) => {
                let proxy = proxied(postgres.address()).await;
                postgres_execute(postgres, "postgres", &format!("create database {name}")).await;
                settings.archive_storage = ArchiveStorage::Postgres;
                settings.archive_postgres.host = proxy.address().ip().to_string();
                settings.archive_postgres.port = proxy.address().port();
                settings.archive_postgres.user = String::from("test");
                settings.archive_postgres.name = name;
                Some(proxy)
            }
            Server::S3(s3) => {
                let proxy = proxied(s3.address()).await;
                settings.archive_storage = ArchiveStorage::S3;
                settings.archive_s3.bucket = String::from(BUCKET);
                settings.archive_s3.endpoint = format!("http://{}", proxy.address());
                settings.archive_s3.allow_http = true;
                settings.archive_s3.access_key = Secret::new(ACCESS_KEY);
                settings.archive_s3.secret_key = Secret::new(SECRET_KEY);
                settings.archive_s3.prefix = format!("of/{name}");
                Some(proxy)
            }
        };
        Self {
            server,
            schema,
            db,
            settings,
            proxy,
            folder,
        }
    }

    fn storage(&self) -> ArchiveStorage {
        self.settings.archive_storage
    }

    /// As another process has it.
    fn store(&self) -> Store {
        Store::new(&self.settings, self.db.clone()).unwrap()
    }

    fn expiry(&self, keep: Duration) -> Expiry {
        let keep = BTreeMap::from([(self.storage(), keep)]);
        Expiry::new(self.schema.pool.clone(), self.store(), keep)
    }

    async fn put(&self, what: &ToArchive, kept: &Kept) -> Archived {
        let mut db = self.schema.pool.acquire().await.unwrap();
        archive::put(&mut db, what, kept).await.unwrap();
        archive::find(&self.schema.pool, what.id)
            .await
            .unwrap()
            .unwrap()
    }

    async fn archived(&self, what: &ToArchive) -> Archived {
        let kept = self.store().keep(what).await.unwrap();
        self.put(what, &kept).await
    }

    fn down(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.cut();
        } else {
            fs::rename(self.letters(), self.folder.path().join("aside")).unwrap();
            // Where the folder was is none.
            fs::write(self.letters(), "").unwrap();
        }
    }

    fn up(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.open();
        } else {
            fs::remove_file(self.letters()).unwrap();
            fs::rename(self.folder.path().join("aside"), self.letters()).unwrap();
        }
    }

    fn letters(&self) -> PathBuf {
        self.folder.path().join("letters")
    }

    /// Other hands change what is under a name; whether this place has names.
    async fn spoil(&self, row: &Archived) -> bool {
        let location = row.location.as_deref().unwrap_or_default();
        match self.server {
            Server::Mysql | Server::File => return false,
            Server::Postgres(postgres) => {
                let name = &self.settings.archive_postgres.name;
                let sql = "update redress_archives set payload = 'other', id = gen_random_uuid()";
                postgres_execute(postgres, name, sql).await;
            }
            Server::S3(s3) => fs::write(s3.file(location), "other").unwrap(),
        }
        true
    }

    /// Other hands remove the message.
    async fn remove(&self, row: &Archived) {
        let location = row.location.as_deref().unwrap_or_default();
        match self.server {
            Server::Mysql => {
                self.schema
                    .execute("delete from failed_order_archives")
                    .await;
            }
            Server::File => fs::remove_dir_all(self.letters()).unwrap(),
            Server::Postgres(postgres) => {
                let name = &self.settings.archive_postgres.name;
                postgres_execute(postgres, name, "delete from redress_archives").await;
            }
            Server::S3(s3) => fs::remove_file(s3.file(location)).unwrap(),
        }
    }
}

async fn postgres_execute(server: &PostgresServer, name: &str, sql: &str) {
    let url = format!("postgres://test@{}/{name}", server.address());
    let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&mut db)
        .await
        .unwrap();
}

/// A message that is no order, another each time.
fn message() -> ToArchive {
    ToArchive {
        subject: Subject::Message,
        ..order(0)
    }
}

fn order(generation: u32) -> ToArchive {
    order_of(Uuid::now_v7(), generation)
}

fn order_of(id: Uuid, generation: u32) -> ToArchive {
    let mut history = History::default();
    for attempt in 1..=2 {
        history.push(Attempt {
            generation,
            attempt,
            lane: Lane::Retry,
            started_at: Utc::now(),
            duration_ms: 3,
            worker: "w".to_owned(),
            outcome: FAILED.to_owned(),
            error: Some("a NUL \0 and a \u{1F980}".to_owned()),
            next_after_ms: None,
        });
    }
    ToArchive {
        id,
        subject: Subject::Order(ArchivedOrder {
            gid: Uuid::now_v7(),
            generation,
            sale_id: Uuid::now_v7(),
            user_id: Uuid::now_v7(),
            quantity: 1,
        }),
        step: "decide",
        error: "it failed with a NUL \0".to_owned(),
        history,
        payload: id.as_bytes().to_vec(),
        headers: Headers(vec![
            ("bytes".to_owned(), Some(vec![0, 255, 10])),
            ("twice".to_owned(), Some(b"1".to_vec())),
            ("twice".to_owned(), Some(b"2".to_vec())),
            ("none".to_owned(), None),
        ]),
        envelope: Envelope::default(),
        held: false,
        first_failed_at: Utc::now(),
    }
}
