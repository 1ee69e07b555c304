//! People are told when the archive is away for long, and when it is back: each time, and by whichever process is left.

use crate::world::{SOON, World};
use compensation::{
    alerts::{Channels, Folder, Spool},
    archive::Store,
};
use compensator::{archive_watch::ArchiveWatch, schedule::Scan as _};
use service_kit::settings::Settings;
use std::{fs, os::unix::fs::symlink, time::Duration};
use tokio::time::{Instant, sleep};

/// Breaks when an occasion has the time of day for its id: the second outage within five minutes is the first one then. And when a
/// process that begins does not look for what the one before it told of.
#[tokio::test(flavor = "multi_thread")]
async fn each_outage_of_the_archive_is_told_of_and_ends_whoever_dies() {
    let world = World::closed().await;
    let storage = [("dlq: {", "dlq: { archive_storage: file,")];
    let settings = world.settings(&storage, "");
    let db = world.schema.pool.clone();
    let folder = Folder::new(db.clone(), &settings.alerts, &Channels::default());
    let place = world.folder.path().join("archive");
    let begin = || watch(&world, &settings);
    let (mut watch, from) = (begin(), Instant::now());
    for outage in 1..=3 {
        let _ = fs::remove_dir_all(&place);
        symlink("/dev/null", &place).unwrap();
        for _ in 0..2 {
            watch.run_once().await.unwrap_err();
        }
        folder.run_once().await.unwrap();
        if outage == 3 {
            // It dies, and another one begins.
            watch = begin();
        }
        fs::remove_file(&place).unwrap();
        // It is left alone for a moment after trouble.
        while watch.run_once().await.is_err() {
            assert!(from.elapsed() < SOON, "it is not back");
            sleep(Duration::from_millis(50)).await;
        }
        watch.run_once().await.unwrap();
        folder.run_once().await.unwrap();
    }
    let titles: Vec<String> =
        sqlx::query_scalar("select title from alerts order by created_at, severity desc")
            .fetch_all(&db)
            .await
            .unwrap();
    let [away, back] = ["The archive does not answer", "The archive is back"];
    assert_eq!(titles, [away, back, away, back, away, back]);
    let states: Vec<String> = sqlx::query_scalar("select state from incidents")
        .fetch_all(&db)
        .await
        .unwrap();
    assert_eq!(states, ["resolved"; 3]);
}

fn watch(world: &World, settings: &Settings) -> ArchiveWatch {
    let db = world.schema.pool.clone();
    let store = Store::new(&settings.dlq, db.clone()).unwrap();
    let spool = Spool::new(&settings.alerts.spool);
    ArchiveWatch::new(store, db, spool).with_patience(Duration::ZERO)
}
