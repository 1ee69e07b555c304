//! The process itself: started before its stock node is usable, ready once it is, ended in order.

use crate::world::{SOON, World};
use testkit::{eventually, process::Process};

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_its_servers_opens_the_node_and_ends_when_asked() {
    let mut world = World::closed().await;
    let sale = world.sale(10).await;
    world.redis.kill().await;
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &world.yaml());
    let answer = eventually("the process says what it waits for", SOON, || async {
        process
            .get("/health/ready")
            .await
            .filter(|answer| answer.contains(r#""mysql":"ok""#))
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains(r#""redis_stock":"not reached yet""#),
        "{answer}"
    );
    world.redis.restart().await;
    process.ready(SOON).await;
    assert_eq!(world.levels(sale).await.available, 10);

    // A node that restarts later is rebuilt by the schedule, without anybody asking.
    let before = world.epoch(sale).await;
    world.redis.restart().await;
    eventually("the sale is open again", SOON, || async {
        let levels = world.stock.levels(sale).await.ok()??;
        (levels.epoch == before + 1).then_some(())
    })
    .await;
    let metrics = process.get("/metrics").await.unwrap();
    assert!(metrics.contains("build_info"), "{metrics}");
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_node_that_forgets_stops_the_start_with_one_line() {
    let world = World::closed().await;
    world
        .redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await;
    let file = format!(
        "{}/forgetful-{}.yaml",
        env!("CARGO_TARGET_TMPDIR"),
        world.redis.port()
    );
    std::fs::write(&file, world.yaml().replace("{listen}", "127.0.0.1:0")).unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_compensator"))
            .args(["--config", &file])
            .output()
    })
    .await
    .unwrap()
    .unwrap();
    assert!(!ended.status.success());
    let told = String::from_utf8(ended.stderr).unwrap();
    let last = told.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("compensator: ") && last.contains("maxmemory-policy noeviction"),
        "{told}"
    );
}
