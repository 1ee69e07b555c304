//! People are told when the log of tries is behind for long, and when it has caught up.

use crate::world::World;
use compensation::{alerts::Spool, log::LogFile};
use compensator::{log_file::LogInBoth, schedule::Scan as _};
use std::{fs, os::unix::fs::symlink, time::Duration};

/// Breaks when each look that fails tells: three alerts instead of one. And when only the process that told of it tells that it is over:
/// the second outage, of one that died, stands for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_is_told_of_once_and_that_it_can_again() {
    let (world, _) = World::open(10).await;
    let settings = world.settings(
        &[(
            "retry_delay: [0.1], log_file",
            "log_storage: both, retry_delay: [0.1], log_file",
        )],
        "",
    );
    let db = world.schema.pool.clone();
    let begin = || {
        LogInBoth::new(
            LogFile::new(db.clone(), &settings.compensation),
            db.clone(),
            Spool::new(&settings.alerts.spool),
        )
        .with_patience(Duration::ZERO)
    };
    let mut log = begin();
    log.run_once().await.unwrap();
    symlink("/dev/full", &settings.compensation.log_file).unwrap();
    try_once(&world).await;
    for _ in 0..3 {
        log.run_once().await.unwrap_err();
    }
    fs::remove_file(&settings.compensation.log_file).unwrap();
    for _ in 0..2 {
        log.run_once().await.unwrap();
    }
    fs::remove_file(&settings.compensation.log_file).unwrap();
    symlink("/dev/full", &settings.compensation.log_file).unwrap();
    try_once(&world).await;
    log.run_once().await.unwrap_err();
    fs::remove_file(&settings.compensation.log_file).unwrap();
    let mut next = begin();
    for _ in 0..2 {
        next.run_once().await.unwrap();
    }
    let titles: Vec<String> =
        sqlx::query_scalar("select title from alerts order by created_at, severity desc")
            .fetch_all(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!(
        titles,
        [
            "The log of tries is behind",
            "The log of tries has caught up",
            "The log of tries is behind",
            "The log of tries has caught up"
        ]
    );
}

async fn try_once(world: &World) {
    world
        .schema
        .execute(
            "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
             values (unhex(repeat('0', 32)), unhex(repeat('0', 32)), 0, 1, 'retry', 'failed', utc_timestamp(3), 1, 'one')",
        )
        .await;
}
