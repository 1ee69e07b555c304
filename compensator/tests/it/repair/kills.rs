//! Compensators that are killed at any moment, three at once: nothing is lost, nothing is done twice.

use crate::world::{SOON, World};
use compensation::attempt::{Attempt, Lane};
use ordering::{SaleId, message::OrderMessage};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::HashSet, time::Duration};
use testkit::{eventually, process::Process, proxy::Proxy};
use tokio::time::{Instant, sleep};

const FAULTS: &str = "faults: [\"decide:remark=heals:3\", \"decide_lost:remark=lost:2\", \"decide:remark=breaks:6\", \
                      \"archive:remark=breaks:1\"]\n";
/// How many orders of each kind.
const OF_EACH: usize = 15;
/// How long compensators are killed.
const KILLING: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn three_compensators_that_are_killed_at_any_moment_lose_and_double_nothing() {
    let seed =
        std::env::var("REDRESS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("REDRESS_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let (world, sale) = World::open(1_000).await;
    let yaml = world.yaml_with(&[], FAULTS);
    let mut processes: Vec<Process> = (0..3)
        .map(|_| Process::start(env!("CARGO_BIN_EXE_compensator"), &yaml))
        .collect();
    for process in &processes {
        process.ready(SOON).await;
    }
    let mut orders = Vec::new();
    for _ in 0..OF_EACH {
        for remark in ["heals", "lost", "breaks", "fine"] {
            orders.push(world.reserve_with(sale, Some(remark)).await);
        }
    }
    for order in &orders {
        world.hand_on(order).await;
    }
    let until = Instant::now() + KILLING;
    let mut replayed = HashSet::new();
    while Instant::now() < until {
        let victim = dice.random_range(0..processes.len());
        processes[victim].kill().await;
        processes[victim].restart();
        ask_for_replays(&world, &orders, &mut replayed).await;
        sleep(Duration::from_millis(dice.random_range(200..900))).await;
    }
    eventually(
        "every order has its end",
        Duration::from_mins(2),
        || async {
            ask_for_replays(&world, &orders, &mut replayed.clone()).await;
            let confirmed: i64 =
                sqlx::query_scalar("select count(*) from orders where status = 'confirmed'")
                    .fetch_one(&world.schema.pool)
                    .await
                    .unwrap();
            (usize::try_from(confirmed).unwrap() == orders.len()).then_some(())
        },
    )
    .await;
    until_at_rest(&world, sale, orders.len()).await;
    for order in &orders {
        one_history(&world, order).await;
    }
    world.audited_items().await;
    for mut process in processes {
        process.end(SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_mysql_is_away_nothing_is_tried_and_afterwards_nothing_is_missing() {
    let (world, sale) = World::open(100).await;
    let proxy = Proxy::start(world.schema.address()).await;
    let direct = format!("port: {}", world.schema.settings.port);
    let behind = format!("port: {}", proxy.address().port());
    let yaml = world.yaml_with(
        &[(&direct, &behind)],
        "faults: [\"decide:remark=heals:3\"]\n",
    );
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &yaml);
    process.ready(SOON).await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(world.reserve_with(sale, Some("heals")).await);
    }
    let (before, during) = orders.split_at(10);
    for order in before {
        world.hand_on(order).await;
    }
    eventually("half of them are taken in", SOON, || async {
        (!world.compensations(&before[9]).await.is_empty()).then_some(())
    })
    .await;
    proxy.cut();
    for order in during {
        world.hand_on(order).await;
    }
    eventually("the process says that MySQL is away", SOON, || async {
        process
            .get("/health/ready")
            .await
            .filter(|answer| answer.starts_with("HTTP/1.1 503"))
    })
    .await;
    proxy.open();
    for order in &orders {
        eventually("it is confirmed", SOON, || async {
            (world.status(order).await == "confirmed").then_some(())
        })
        .await;
        eventually("its compensation is closed", SOON, || async {
            (world.compensations(order).await == [("closed".to_owned(), 4)]).then_some(())
        })
        .await;
    }
    process.end(SOON).await;
}

/// As an operator would: whatever the archive shows as open.
async fn ask_for_replays(world: &World, orders: &[OrderMessage], asked: &mut HashSet<uuid::Uuid>) {
    for order in orders {
        let open = world
            .archived(order)
            .await
            .is_some_and(|row| !row.handled && row.operation_id.is_none());
        if open && asked.insert(order.order_id.as_uuid()) {
            world.ask_for_replay(order).await;
        }
    }
}

async fn until_at_rest(world: &World, sale: SaleId, sold: usize) {
    let sold = i64::try_from(sold).unwrap();
    eventually("Redis agrees and nothing is open", SOON, || async {
        let levels = world.stock.levels(sale).await.ok()??;
        let open: i64 = sqlx::query_scalar(
            "select (select count(*) from compensations where state in ('scheduled', 'dead', 'archiving', 'held'))
                  + (select count(*) from operations where state <> 'finished')
                  + (select count(*) from transactions where state not in ('committed', 'rolled_back'))",
        )
        .fetch_one(&world.schema.pool)
        .await
        .unwrap();
        ((levels.available, levels.held, levels.sold, levels.owed, open) == (1_000 - sold, 0, sold, 0, 0)).then_some(())
    })
    .await;
    let inventory: (i32, i32) =
        sqlx::query_as("select available, sold from sale_inventory where sale_id = ?")
            .bind(sale)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!(
        (i64::from(inventory.0), i64::from(inventory.1)),
        (1_000 - sold, sold)
    );
}

/// No try is counted twice, none is missing, and what the remark asks for came true.
async fn one_history(world: &World, order: &OrderMessage) {
    let histories: Vec<String> = sqlx::query_scalar(
        "select history from compensations where order_id = ? order by generation",
    )
    .bind(order.order_id)
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    let attempts: Vec<Attempt> = serde_json::from_str(histories.last().unwrap()).unwrap();
    let tries: Vec<(u32, u32)> = attempts
        .iter()
        .filter(|attempt| attempt.lane != Lane::Archive)
        .map(|attempt| (attempt.generation, attempt.attempt))
        .collect();
    let remark = order.remark.as_deref().unwrap();
    let wanted: Vec<(u32, u32)> = match remark {
        "heals" => (1..=4).map(|attempt| (0, attempt)).collect(),
        "lost" => (1..=3).map(|attempt| (0, attempt)).collect(),
        "fine" => vec![(0, 1), (0, 2)],
        _ => (1..=6)
            .map(|attempt| (0, attempt))
            .chain([(1, 1)])
            .collect(),
    };
    assert_eq!(tries, wanted, "{remark}: {attempts:#?}");
    let archived = world.archived(order).await;
    assert_eq!(archived.is_some(), remark == "breaks");
    if let Some(archived) = archived {
        assert_eq!(
            (archived.times_archived, archived.resolution.as_deref()),
            (1, Some("confirmed"))
        );
        let urgent = world.alerts(&order.order_id.to_string()).await;
        assert_eq!(
            urgent
                .iter()
                .filter(|(kind, ..)| kind == "archived")
                .count(),
            1
        );
    }
}
