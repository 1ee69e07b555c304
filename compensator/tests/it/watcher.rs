//! Key figures are judged over what all processes counted, and people are told once.

use crate::world::World;
use compensation::watch::{Change, Figure, store};
use compensator::schedule::Scan as _;
use futures::future::join_all;
use service_kit::heartbeat::{self, Counted};

/// Breaks when each look that finds it begins an occasion of its own: six alerts; and when one ends it that another saw just now.
#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_is_told_of_once_by_many_watchers_and_once_that_it_is_over() {
    let (world, _) = World::open(10).await;
    stuck(&world, 11).await;
    let (mut one, mut other) = (world.scans().await, world.scans().await);
    for _ in 0..3 {
        let (first, second) = tokio::join!(one.watch.run_once(), other.watch.run_once());
        first.and(second).unwrap();
    }
    let troubles = store::troubles(&world.schema.pool).await.unwrap();
    let said: Vec<(&str, &str)> = troubles
        .iter()
        .map(|trouble| (trouble.figure.as_str(), trouble.said.as_str()))
        .collect();
    assert_eq!(said, [("hanging", "11 transactions hang, more than 10")]);
    assert_eq!(
        alerts(&world).await,
        [("urgent".to_owned(), "hanging".to_owned())]
    );

    let over = [
        Change::Over(Figure::Hanging),
        Change::Over(Figure::CommitMean),
    ];
    let tell_four_times = async || {
        let ends = (0..4).map(|_| store::tell(&world.schema.pool, &over));
        for ended in join_all(ends).await {
            ended.unwrap();
        }
    };
    // Whoever began to look later does not end what another one still sees.
    tell_four_times().await;
    assert_eq!(store::troubles(&world.schema.pool).await.unwrap(), troubles);
    world
        .schema
        .execute("update troubles set seen_at = seen_at - interval 1 minute")
        .await;
    tell_four_times().await;
    assert!(
        store::troubles(&world.schema.pool)
            .await
            .unwrap()
            .is_empty()
    );
    let expected = [("info", "hanging"), ("urgent", "hanging")];
    assert_eq!(
        alerts(&world).await,
        expected.map(|(severity, subject)| (severity.to_owned(), subject.to_owned()))
    );
}

/// What a process had counted before it was watched is no news; what each counts since is, together.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_those_of_all_processes_since_they_are_watched() {
    let (world, _) = World::open(10).await;
    let mut scans = world.scans().await;
    // A slow past is nobody's trouble now.
    signs(&world, "one", 100.0, 100.0).await;
    scans.watch.run_once().await.unwrap();
    signs(&world, "one", 110.0, 101.0).await;
    scans.watch.run_once().await.unwrap();
    assert!(alerts(&world).await.is_empty());
    // 10 batches in 1 s there, 10 in 9.5 s here: 525 ms on average.
    signs(&world, "two", 10.0, 9.5).await;
    scans.watch.run_once().await.unwrap();
    assert_eq!(
        alerts(&world).await,
        [("warning".to_owned(), "commit_mean".to_owned())]
    );
    let troubles = store::troubles(&world.schema.pool).await.unwrap();
    assert_eq!(
        troubles[0].said,
        "Completing took 525 ms on average in the last minute, more than 500 ms"
    );
}

async fn signs(world: &World, instance: &str, batches: f64, seconds: f64) {
    let counted = Counted::from([
        ("tx_commit_seconds_count".to_owned(), batches),
        ("tx_commit_seconds_sum".to_owned(), seconds),
    ]);
    let mut db = world.schema.pool.acquire().await.unwrap();
    heartbeat::give(&mut db, "order-consumer", instance, &counted)
        .await
        .unwrap();
}

async fn stuck(world: &World, count: u32) {
    world
        .schema
        .execute(&format!(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at)
             select unhex(concat('ff', lpad(hex(seq), 30, '0'))), 'order', unhex(repeat('0', 32)), 'stuck_committing',
                    unhex(repeat('0', 32)), 1, '{{}}', 9, utc_timestamp(3), utc_timestamp(3)
             from seq_1_to_{count}"
        ))
        .await;
}

/// Severity and subject of those about figures.
async fn alerts(world: &World) -> Vec<(String, String)> {
    sqlx::query_as(
        "select severity, subject from alerts where kind = 'figure' order by severity, subject",
    )
    .fetch_all(&world.schema.pool)
    .await
    .unwrap()
}
