//! `compensator scan NAME`, as it is typed: it does what the scan does, says so, and waits for who is at it already.

use crate::{overdue::settle_up_to_the_end, world::World};
use compensator::schedule::Scan as _;
use ordering::{SaleId, leases::Leases};
use std::{process::Output, time::Duration};

/// Runs the binary with these words after `scan`.
async fn scan(world: &World, more: &str, words: &[&str]) -> Output {
    let file = world.folder.path().join("config.yaml");
    let yaml = world.yaml_with(&[], more);
    std::fs::write(&file, yaml.replace("{listen}", "127.0.0.1:0")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_compensator"));
    command.arg("scan").args(words).arg("--config").arg(file);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap()
}

/// What it printed, having ended well.
async fn said(world: &World, words: &[&str]) -> String {
    let output = scan(world, "", words).await;
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{words:?}: {out} {err}");
    out
}

async fn lose_two(world: &World, sale: SaleId) {
    let stock = ordering::keys::stock(sale);
    for (field, units) in [("available", "-2"), ("sold", "2")] {
        world
            .redis
            .command(&["HINCRBY", &stock, field, units])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_only_told_of_unless_it_is_to_be_repaired() {
    let (world, sale) = World::open(10).await;
    lose_two(&world, sale).await;
    let told = said(&world, &["drift"]).await;
    assert!(told.contains("differ by 2 units"), "{told}");
    assert!(told.contains("at two looks running"), "{told}");
    assert!(told.contains("Compared 1 sales: 1 differ"), "{told}");
    let drifts = ordering::drift::of_sale(&world.schema.pool, sale)
        .await
        .unwrap();
    assert!(drifts.is_empty(), "nothing is written by who only asks");
    assert_eq!(world.levels(sale).await.sold, 2);

    let told = said(&world, &["drift", "--repair", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["scan"], "drift");
    assert_eq!(told["counts"]["differing"], 0, "{told}");
    assert_eq!(told["did"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(world.levels(sale).await.sold, 0);
    let drifts = ordering::drift::of_sale(&world.schema.pool, sale)
        .await
        .unwrap();
    assert!(drifts.len() == 1 && drifts[0].fenced && drifts[0].over_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scan_says_what_there_is_when_there_is_nothing_and_what_is_no_scan_is_refused() {
    let (world, _) = World::open(10).await;
    for (name, says) in [
        ("overdue-reservations", "No reservation is overdue"),
        (
            "unfinished-transactions",
            "No transaction that is due is unfinished",
        ),
        ("drift", "Compared 1 sales: 0 differ"),
        ("unpaid-orders", "scans.unpaid_after_s is 0"),
        ("retention", "Nothing is old enough to be removed"),
        ("weekly-report", "(so far)"),
        (
            "watcher",
            "0 transactions hang; people are told of more than 10",
        ),
    ] {
        let told = said(&world, &[name]).await;
        assert!(told.contains(says), "{name}: {told}");
    }
    let told = said(&world, &["weekly-report", "--week", "2026-W02"]).await;
    assert!(
        told.contains("2026-W02") && told.contains("not stored"),
        "{told}"
    );
    for refused in [
        &["everything"][..],
        &["weekly-report", "--week", "2026-W54"],
        &["weekly-report", "--week", "9000-W01"],
    ] {
        let output = scan(&world, "", refused).await;
        assert!(!output.status.success(), "{refused:?}");
    }
    let help = said(&world, &["--help"]).await;
    for name in ["overdue-reservations", "drift", "unpaid-orders", "watcher"] {
        assert!(help.contains(name), "{help}");
    }
}

/// Breaks when the command looks once: the first look only notes where the topic ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_publishes_a_lost_order_again_at_its_second_look() {
    let (world, sale) = World::open(10).await;
    let order = world.reserve(sale).await;
    world.let_pass(&order).await;
    settle_up_to_the_end(&world).await;
    let told = said(&world, &["overdue-reservations"]).await;
    assert!(
        told.contains("Published 1 overdue reservations again"),
        "{told}"
    );
    assert_eq!(world.published().await, [order.order_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_cancels_what_nobody_paid_for_and_ends_when_redis_knows() {
    let (world, sale) = World::open(10).await;
    let order = world.reserve(sale).await;
    let engine = world.engine();
    engine.submit(order.clone()).await.unwrap();
    engine.drain().await;
    world
        .schema
        .execute("update orders set decided_at = decided_at - interval 1 hour")
        .await;
    let more = "scans: { unpaid_after_s: 60 }\n";
    let output = scan(&world, more, &["unpaid-orders"]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && told.contains("Cancelled 1 orders"),
        "{told}"
    );
    let levels = world.levels(sale).await;
    assert_eq!((levels.available, levels.sold), (10, 0));
}

/// Breaks when a scan works without its lease: `the scan 0 did its work`.
#[tokio::test(flavor = "multi_thread")]
async fn while_another_process_is_at_a_scan_it_is_left_to_it_and_the_command_waits_its_turn() {
    let (world, _) = World::open(10).await;
    let other = Leases::new(world.schema.pool.clone(), "global_tx_lock");
    let settings = world.settings(&[], "scans: { unpaid_after_s: 60 }\n");
    let mut scans = world.scans_with(&settings).await;
    for name in [
        "overdue_reservations",
        "unfinished_transactions",
        "comparison",
        "unpaid_orders",
        "old_records",
        "weekly_report",
    ] {
        assert!(other.acquire(name, Duration::from_mins(10)).await.unwrap());
    }
    let turns = [
        scans.overdue.run_once().await,
        scans.unfinished.run_once().await,
        scans.comparison.run_once().await,
        scans.unpaid.run_once().await,
        scans.old_records.run_once().await,
        scans.weekly.run_once().await,
    ];
    for (at, turn) in turns.into_iter().enumerate() {
        assert!(turn.unwrap().elsewhere, "the scan {at} did its work");
    }
    world
        .schema
        .execute(
            "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
             values ('', '', 0, 1, 'retry', 'failed', utc_timestamp(3) - interval 91 day, 1, 'one')",
        )
        .await;
    let words = ["retention"];
    let waiting = said(&world, &words);
    let freed = async {
        // It is asked for again and again: whoever waits has asked once by now, or asks later.
        assert_eq!(logs(&world).await, 1);
        other.release("old_records").await.unwrap();
    };
    let (told, ()) = tokio::join!(waiting, freed);
    assert!(told.contains("1 rows of settled work"), "{told}");
    assert_eq!(logs(&world).await, 0);
}

async fn logs(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from compensation_logs")
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
}
