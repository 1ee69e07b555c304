//! The rebuild of hundreds of sales, one of them with very many buyers: who waits for whom, and for how long.

mod flushes;

use crate::shop::Shop;
use futures::future::join_all;
use identity::UserId;
use ordering::{
    OrderOutcome, SaleId, keys,
    rebuild::{RebuildError, Rebuilder, Step},
    reconcile,
};
use service_kit::settings::Mysql;
use std::{
    collections::HashSet,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Small sales of the measurement; every tenth has [`SOME`] buyers, the others have 20.
const SALES: usize = 300;
const SOME: u32 = 1_000;
const FEW: u32 = 20;
/// Enough to be rebuilt as a large sale.
const LARGE: u32 = 20_000;
/// Buyers of the measurement's large sale.
const MILLION: u32 = 1_000_000;
/// From the design: so long after Redis is there again orders are accepted, where a large sale is among what is rebuilt. (Two seconds
/// where none is: `cargo xtask bench rebuild` measures both.)
const WITHIN: Duration = Duration::from_secs(5);
/// What the rebuild of a million buyers may add to the process.
const MEMORY_MIB: u64 = 150;

/// A sale that was so often sold in MySQL; Redis never heard of it.
pub async fn sold_in_mysql(shop: &Shop, buyers: u32) -> SaleId {
    let (sale, product) = (SaleId::fresh(), Uuid::now_v7().simple());
    let id = sale.as_uuid().simple();
    let total = buyers * 2 + 1_000;
    let user = "unhex(concat('01900000', lpad(hex(seq), 24, '0')))";
    let order =
        format!("unhex(concat('0190000000007000', lpad(hex(seq), 8, '0'), right('{id}', 8)))");
    for statement in [
        format!(
            "insert into products (id, name, description, price, created_at) values (unhex('{product}'), 'thing', '', 100, utc_timestamp(3))"
        ),
        format!(
            "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at) \
             values (unhex('{id}'), unhex(right('{id}', 8)), unhex('{product}'), 100, {total}, 10, utc_timestamp(3) - interval 1 hour, \
             utc_timestamp(3) + interval 1 day, 'open', 1, utc_timestamp(3) - interval 1 hour)"
        ),
        format!(
            "insert into sale_inventory (sale_id, total, available, sold, epoch) values (unhex('{id}'), {total}, {total} - {buyers}, {buyers}, 0)"
        ),
        format!(
            "insert into sale_buyers (sale_id, user_id, units, last_order_id) select unhex('{id}'), {user}, 1, {order} from seq_1_to_{buyers}"
        ),
        format!(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, created_at, decided_at) \
             select {order}, {order}, 0, {user}, unhex('{id}'), 1, 100, 'confirmed', utc_timestamp(3), utc_timestamp(3) from seq_1_to_{buyers}"
        ),
    ] {
        shop.execute(&statement).await;
    }
    sale
}

/// A rebuilder as a compensator has it, with the pool of the example's settings.
async fn with_a_pool_of_its_own(shop: &Shop) -> Rebuilder {
    let settings = Mysql {
        max_connections: 16,
        ..shop.schema.settings.clone()
    };
    let db = service_kit::mysql::connect(&settings).await.unwrap();
    Rebuilder::new(db, redis::Client::open(shop.redis.url()).unwrap(), 100_000)
}

/// What the fence's watch would have rebuilt.
async fn fenced(shop: &Shop) -> Vec<SaleId> {
    let redis = service_kit::redis::connect(&shop.redis.url())
        .await
        .unwrap();
    reconcile::fenced(&shop.schema.pool, &redis).await.unwrap()
}

async fn lose_everything(shop: &Shop) {
    let mut redis = shop.patient().await;
    for words in [["FLUSHALL", "SYNC"], ["SCRIPT", "FLUSH"]] {
        redis::cmd(words[0])
            .arg(words[1])
            .exec_async(&mut redis)
            .await
            .unwrap();
    }
}

/// One order of each sale, settled.
async fn sell_one_of_each(shop: &Shop, sales: &[SaleId]) {
    for sale in sales {
        let order = shop.reserve(*sale, UserId::fresh(), 1).await;
        assert_eq!(shop.submit(order).await, Ok(OrderOutcome::Confirmed));
        shop.at_rest(*sale).await;
    }
}

/// Breaks when what goes wrong with a sale ends its lane (`return Err` for every cause): then the others stay closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_cannot_be_rebuilt_keeps_no_other_closed() {
    let shop = Shop::open().await;
    let mut sales = Vec::new();
    for _ in 0..8 {
        sales.push(sold_in_mysql(&shop, FEW).await);
    }
    shop.rebuild().await;
    lose_everything(&shop).await;
    // Somebody holds its row longer than anyone waits for a row.
    let (locked, others) = (sales[3], [&sales[..3], &sales[4..]].concat());
    let mut holder = shop.schema.pool.begin().await.unwrap();
    sqlx::query("set session wait_timeout = 600")
        .execute(&mut *holder)
        .await
        .unwrap();
    sqlx::query("select epoch from sale_inventory where sale_id = ? for update")
        .bind(locked)
        .execute(&mut *holder)
        .await
        .unwrap();
    let rebuilt = shop.rebuilder().node().await.unwrap();
    assert!(
        matches!(rebuilt.failed[..], [(sale, RebuildError::Mysql(_))] if sale == locked),
        "{:?}",
        rebuilt.failed
    );
    assert_eq!(
        rebuilt.opened.keys().copied().collect::<HashSet<_>>(),
        others.iter().copied().collect()
    );
    sell_one_of_each(&shop, &others).await;
    assert_eq!(fenced(&shop).await, [locked]);

    holder.rollback().await.unwrap();
    let rebuilt = shop.rebuilder().sales(&[locked]).await.unwrap();
    assert!(rebuilt.failed.is_empty(), "{:?}", rebuilt.failed);
    sell_one_of_each(&shop, &sales).await;
}

/// Breaks when every lane takes the large sales first.
#[tokio::test(flavor = "multi_thread")]
async fn small_sales_open_while_the_large_ones_are_still_read() {
    let shop = Shop::open().await;
    let mut large = Vec::new();
    for _ in 0..3 {
        large.push(sold_in_mysql(&shop, LARGE).await);
    }
    let mut small = Vec::new();
    for _ in 0..12 {
        small.push(sold_in_mysql(&shop, FEW).await);
    }
    let (go, opened) = (
        Arc::new(Semaphore::new(0)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (wait, seen, of_large) = (Arc::clone(&go), Arc::clone(&opened), large.clone());
    let rebuilder = shop.rebuilder().observed_by(Arc::new(move |sale, step| {
        let (wait, seen, is_large) = (
            Arc::clone(&wait),
            Arc::clone(&seen),
            of_large.contains(&sale),
        );
        Box::pin(async move {
            match step {
                Step::SnapshotOpened if is_large => {
                    let _unused = wait.acquire().await;
                }
                Step::Flipped => seen.lock().unwrap().push(sale),
                _ => {}
            }
        })
    }));
    let opening = tokio::spawn(async move { rebuilder.node().await });
    testkit::eventually(
        "the small sales are open while the large ones stand still",
        Duration::from_mins(1),
        || async { (opened.lock().unwrap().len() == small.len()).then_some(()) },
    )
    .await;
    sell_one_of_each(&shop, &small).await;
    go.add_permits(100);
    let rebuilt = opening.await.unwrap().unwrap();
    assert_eq!((rebuilt.opened.len(), rebuilt.failed.len()), (15, 0));
    for sale in large {
        shop.at_rest(sale).await;
    }
}

/// Breaks when the rebuild of a sale without room leaves what it wrote (`forget`): then no other finds room either.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_the_node_has_no_room_for_stays_closed_alone_until_there_is_some() {
    let shop = Shop::open().await;
    let large = sold_in_mysql(&shop, 2 * LARGE).await;
    let mut small = vec![sold_in_mysql(&shop, SOME).await];
    for _ in 0..6 {
        small.push(sold_in_mysql(&shop, FEW).await);
    }
    lose_everything(&shop).await;
    shop.redis
        .command(&[
            "CONFIG",
            "SET",
            "maxmemory",
            &(used_memory(&shop).await + 2_000_000).to_string(),
        ])
        .await;
    let rebuilt = shop.rebuilder().node().await.unwrap();
    assert!(
        matches!(rebuilt.failed[..], [(sale, RebuildError::NoRoom(of))] if (sale, of) == (large, large)),
        "{:?}",
        rebuilt.failed
    );
    assert_eq!(rebuilt.opened.len(), small.len());
    sell_one_of_each(&shop, &small).await;
    let again = shop.rebuilder().sale(large).await;
    assert!(matches!(again, Err(RebuildError::NoRoom(_))), "{again:?}");
    let mut left: Vec<String> = redis::cmd("KEYS")
        .arg(keys::everything_of(large))
        .query_async(&mut shop.redis.connection().await)
        .await
        .unwrap();
    left.retain(|name| *name != keys::stock(large));
    assert!(left.is_empty(), "{left:?}");
    sell_one_of_each(&shop, &small).await;

    shop.redis
        .command(&["CONFIG", "SET", "maxmemory", "0"])
        .await;
    shop.rebuilder().sale(large).await.unwrap();
    sell_one_of_each(&shop, &[large]).await;
}

/// Bytes.
async fn used_memory(shop: &Shop) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut shop.redis.connection().await)
        .await
        .unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

/// Two compensators that both believe they may.
#[tokio::test(flavor = "multi_thread")]
async fn two_rebuilds_of_one_node_end_in_one_epoch_of_each_sale() {
    let shop = Shop::open().await;
    let mut sales = Vec::new();
    for _ in 0..12 {
        sales.push(sold_in_mysql(&shop, FEW).await);
    }
    let (one, other) = (
        with_a_pool_of_its_own(&shop).await,
        with_a_pool_of_its_own(&shop).await,
    );
    for _ in 0..4 {
        lose_everything(&shop).await;
        let (first, second) = tokio::join!(one.node(), other.node());
        for (sale, cause) in [first, second]
            .into_iter()
            .flat_map(|done| done.unwrap().failed)
        {
            assert!(
                matches!(cause, RebuildError::Superseded(of) if of == sale),
                "{cause:?}"
            );
        }
        // One may have raised the epoch of a sale that the other then opened: the watch has it rebuilt.
        let left = fenced(&shop).await;
        let rebuilt = shop.rebuilder().sales(&left).await.unwrap();
        assert_eq!(rebuilt.opened.len(), left.len());
        assert!(fenced(&shop).await.is_empty());
        sell_one_of_each(&shop, &sales).await;
    }
}

/// How long after `since` each of `sales` takes its first order, asked some hundred times a second.
async fn first_orders(shop: &Shop, sales: &[SaleId], since: Instant) -> Vec<(SaleId, Duration)> {
    let mut taken = Vec::new();
    let mut closed = sales.to_vec();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while !closed.is_empty() {
        ticks.tick().await;
        let asked = closed.iter().map(|sale| async {
            let order = shop.order(*sale, UserId::fresh(), 1);
            (*sale, shop.try_reserve(&order).await.is_ok())
        });
        for (sale, _) in join_all(asked).await.iter().filter(|(_, taken)| *taken) {
            closed.retain(|other| other != sale);
            taken.push((*sale, since.elapsed()));
        }
    }
    taken
}

/// MiB, of /proc/self/status.
fn resident(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1_024
}

/// From now on the peak is counted anew.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The figures of the design, at full size: `cargo test --release -p ordering --test it -- --ignored --nocapture rebuild_load`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: a minute, and only a release build says anything"]
async fn three_hundred_sales_and_one_with_a_million_buyers_are_open_in_time() {
    let shop = Shop::open().await;
    let large = sold_in_mysql(&shop, MILLION).await;
    let mut sales = Vec::new();
    for number in 0..SALES {
        sales.push(sold_in_mysql(&shop, if number % 10 == 0 { SOME } else { FEW }).await);
    }
    sales.push(large);
    let rebuilder = with_a_pool_of_its_own(&shop).await;
    for round in 1..=3 {
        lose_everything(&shop).await;
        let before = resident("VmRSS");
        forget_peak();
        let since = Instant::now();
        let (rebuilt, taken) = tokio::join!(
            async {
                let rebuilt = rebuilder.node().await.unwrap();
                assert_eq!((rebuilt.opened.len(), rebuilt.failed.len()), (SALES + 1, 0));
                since.elapsed()
            },
            first_orders(&shop, &sales, since)
        );
        let grown = resident("VmHWM").saturating_sub(before);
        let (of_large, of_small): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|(sale, _)| *sale == large);
        let mut small: Vec<Duration> = of_small.into_iter().map(|(_, took)| took).collect();
        small.sort_unstable();
        eprintln!(
            "round {round}: {SALES} small sales closed {:?} (first) {:?} (median) {:?} (last), {MILLION} buyers {:?}, node {rebuilt:?}, {grown} MiB more",
            small[0],
            small[small.len() / 2],
            small[small.len() - 1],
            of_large[0].1
        );
        assert!(small[small.len() - 1] <= WITHIN, "{small:?}");
        assert!(of_large[0].1 <= WITHIN, "{of_large:?}");
        assert!(grown <= MEMORY_MIB, "{grown} MiB");
    }
}
