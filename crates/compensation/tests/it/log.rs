//! Tries are in the table and in the file, whichever of the two fails for a while.

use chrono::{SubsecRound as _, Utc};
use compensation::{
    attempt::{Attempt, Lane},
    log::{AttemptLog, LogFile, LogFileError},
};
use service_kit::settings::{Compensation, LogStorage};
use std::{fs, os::unix::fs::symlink, path::Path};
use tempfile::TempDir;
use testkit::mysql::{Schema, schema};
use uuid::Uuid;

struct Desk {
    schema: Schema,
    _folder: TempDir,
    settings: Compensation,
    log: AttemptLog,
}

impl Desk {
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = Compensation {
            log_storage: LogStorage::Both,
            log_file: folder.path().join("logs/tries.log"),
            ..Compensation::default()
        };
        Self {
            schema: schema().await,
            log: AttemptLog::new(&settings).unwrap(),
            _folder: folder,
            settings,
        }
    }

    fn file(&self) -> LogFile {
        LogFile::new(self.schema.pool.clone(), &self.settings).unwrap()
    }

    fn path(&self) -> &Path {
        &self.settings.log_file
    }

    async fn write(&self, order: Uuid) {
        let mut tx = self.schema.pool.begin().await.unwrap();
        self.log
            .write(&mut tx, order, order, &attempt())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// The orders of the file's lines.
    fn lines(&self) -> Vec<Uuid> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        let order = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["order_id"].as_str().unwrap().parse().unwrap()
        };
        text.lines().map(order).collect()
    }

    /// The orders of the table's rows.
    async fn rows(&self) -> Vec<Uuid> {
        sqlx::query_scalar("select order_id from compensation_logs order by id")
            .fetch_all(&self.schema.pool)
            .await
            .unwrap()
    }
}

fn attempt() -> Attempt {
    Attempt {
        generation: 0,
        attempt: 1,
        lane: Lane::DeadLetter,
        started_at: Utc::now().trunc_subsecs(3),
        duration_ms: 7,
        worker: "one".to_owned(),
        outcome: "failed".to_owned(),
        error: Some("a \"quoted\"\nreason".to_owned()),
        next_after_ms: Some(60_000),
    }
}

/// Breaks when gaps are not looked at again: the first order is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_committed_late_is_in_the_file_too() {
    let desk = Desk::open().await;
    let mut file = desk.file();
    let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let mut late = desk.schema.pool.begin().await.unwrap();
    desk.log
        .write(&mut late, first, first, &attempt())
        .await
        .unwrap();
    desk.write(second).await;
    assert_eq!(file.catch_up().await.unwrap(), 1);
    late.commit().await.unwrap();
    desk.write(third).await;
    assert_eq!(file.catch_up().await.unwrap(), 2);
    assert_eq!(file.catch_up().await.unwrap(), 0);
    assert_eq!(desk.lines(), [second, first, third]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_says_all_that_a_row_does() {
    let desk = Desk::open().await;
    let order = Uuid::now_v7();
    desk.write(order).await;
    desk.file().catch_up().await.unwrap();
    let line = fs::read_to_string(desk.path()).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["order_id"], order.to_string());
    assert_eq!(line["lane"], "dead_letter");
    let attempt: Attempt = serde_json::from_value(line).unwrap();
    assert_eq!(
        attempt,
        Attempt {
            started_at: attempt.started_at,
            ..self::attempt()
        }
    );
}

/// Breaks when the file is written in the transaction of the try: nothing is written while the disk is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_nothing_and_the_file_catches_up() {
    let desk = Desk::open().await;
    let mut file = desk.file();
    let orders: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
    desk.write(orders[0]).await;
    file.catch_up().await.unwrap();
    let aside = desk.path().with_extension("aside");
    fs::rename(desk.path(), &aside).unwrap();
    symlink("/dev/full", desk.path()).unwrap();
    desk.write(orders[1]).await;
    desk.write(orders[2]).await;
    let trouble = file.catch_up().await.unwrap_err();
    assert!(matches!(trouble, LogFileError::File { .. }), "{trouble}");
    fs::remove_file(desk.path()).unwrap();
    fs::rename(&aside, desk.path()).unwrap();
    assert_eq!(file.catch_up().await.unwrap(), 2);
    assert_eq!(desk.lines(), orders);
    assert_eq!(desk.rows().await, orders);
}

/// Breaks when the table's error is given to the caller, or what it is owed is forgotten: the try is rolled back, or in neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_nothing_stops_nothing_and_gets_what_it_is_owed() {
    let desk = Desk::open().await;
    let mut file = desk.file();
    let orders: Vec<Uuid> = (0..2).map(|_| Uuid::now_v7()).collect();
    desk.write(orders[0]).await;
    let away = "rename table compensation_logs to logs_away";
    desk.schema.execute(away).await;
    let mut tx = desk.schema.pool.begin().await.unwrap();
    sqlx::query(
        "insert into leases (name, holder, expires_at) values ('work', '', utc_timestamp(3))",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    desk.log
        .write(&mut tx, orders[1], orders[1], &attempt())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let work: i64 = sqlx::query_scalar("select count(*) from leases")
        .fetch_one(&desk.schema.pool)
        .await
        .unwrap();
    assert_eq!(work, 1, "the work went on");
    for _ in 0..2 {
        let trouble = file.catch_up().await.unwrap_err();
        assert!(matches!(trouble, LogFileError::Table(_)), "{trouble}");
    }
    desk.schema
        .execute("rename table logs_away to compensation_logs")
        .await;
    file.catch_up().await.unwrap();
    assert_eq!(desk.rows().await, orders);
    assert_eq!(desk.lines(), orders);
}

/// Breaks when the lock is not asked for: lines are there twice.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_writes_the_file_and_the_other_goes_on_where_it_ended() {
    let desk = Desk::open().await;
    let (mut one, mut other) = (desk.file(), desk.file());
    let orders: Vec<Uuid> = (0..40).map(|_| Uuid::now_v7()).collect();
    for order in &orders[..20] {
        desk.write(*order).await;
        let (first, second) = tokio::join!(one.catch_up(), other.catch_up());
        assert_eq!(first.unwrap() + second.unwrap(), 1);
    }
    drop(one);
    for order in &orders[20..] {
        desk.write(*order).await;
    }
    assert_eq!(other.catch_up().await.unwrap(), 20);
    assert_eq!(desk.lines(), orders);
}

/// More than one batch, and a restart in between.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_rows_are_written_once_across_restarts() {
    let desk = Desk::open().await;
    for _ in 0..2 {
        desk.schema
            .execute(
                "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
                 select unhex(lpad(hex(seq), 32, '0')), unhex(lpad(hex(seq), 32, '0')), 0, 1, 'retry', 'failed', utc_timestamp(3), 1, 'one'
                 from seq_1_to_2500",
            )
            .await;
        // Ids that a bulk insert took and did not use are a gap.
        assert_eq!(desk.file().catch_up().await.unwrap(), 2_500);
    }
    assert_eq!(desk.lines().len(), 5_000);
}
