//! What an order costs in a sale that is a million times sold, beside one that is a thousand times sold.

use crate::shop::Shop;
use futures::future::join_all;
use identity::UserId;
use ordering::{OrderOutcome, SaleId};
use std::time::{Duration, Instant};

const SMALL: u32 = 1_000;
const LARGE: u32 = 1_000_000;
/// Orders in one round; each pair of rounds is one comparison.
const ORDERS: usize = 200;
const PAIRS: usize = 25;
/// An order at 1,000,000 units and buyers costs at most so many times one at 1,000: the design says 1.2, and an unoptimised build on a
/// busy machine says little more than that it is not a thousand times as much.
const AT_MOST: f64 = if cfg!(debug_assertions) { 2.0 } else { 1.2 };

#[tokio::test(flavor = "multi_thread")]
async fn an_order_costs_the_same_in_a_sale_with_a_million_buyers() {
    let shop = Shop::open().await;
    let (small, large) = (sold_to(&shop, SMALL).await, sold_to(&shop, LARGE).await);
    for sale in [small, large] {
        round(&shop, sale).await;
    }
    let mut ratios = Vec::with_capacity(PAIRS);
    let (mut small_ms, mut large_ms) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        // Who is first alternates, so that neither always runs into what the other left to the disk.
        let (a, b) = if pair % 2 == 0 {
            (small, large)
        } else {
            (large, small)
        };
        let (first, second) = (round(&shop, a).await, round(&shop, b).await);
        let (of_small, of_large) = if pair % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        ratios.push(of_large.as_secs_f64() / of_small.as_secs_f64());
        small_ms.push(of_small.as_secs_f64() * 1e3);
        large_ms.push(of_large.as_secs_f64() * 1e3);
    }
    let ratio = median(&mut ratios);
    eprintln!(
        "{ORDERS} orders, reserve to settled: {:.1} ms at {SMALL}, {:.1} ms at {LARGE} buyers; median ratio {ratio:.3} ({:.3}–{:.3})",
        median(&mut small_ms),
        median(&mut large_ms),
        ratios[0],
        ratios[PAIRS - 1],
    );
    assert!(
        ratio <= AT_MOST,
        "an order costs {ratio:.3} times as much at {LARGE} buyers as at {SMALL}"
    );
}

/// A sale with as many units sold as buyers, one each, and as many left again.
async fn sold_to(shop: &Shop, buyers: u32) -> SaleId {
    let sale = shop.sale(buyers * 2 + 100_000, 10).await;
    let id = sale.as_uuid().simple();
    let user = "unhex(concat('01900000', lpad(hex(seq), 24, '0')))";
    let order =
        format!("unhex(concat('0190000000007000', lpad(hex(seq), 8, '0'), right('{id}', 8)))");
    shop.execute(&format!(
        "insert into sale_buyers (sale_id, user_id, units, last_order_id) select unhex('{id}'), {user}, 1, {order} from seq_1_to_{buyers}"
    ))
    .await;
    shop.execute(&format!(
        "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, created_at, decided_at) \
         select {order}, {order}, 0, {user}, unhex('{id}'), 1, 100, 'confirmed', utc_timestamp(3), utc_timestamp(3) from seq_1_to_{buyers}"
    ))
    .await;
    shop.execute(&format!(
        "update sale_inventory set available = available - {buyers}, sold = {buyers} where sale_id = unhex('{id}')"
    ))
    .await;
    shop.rebuilder().sale(sale).await.unwrap();
    assert_eq!(shop.levels(sale).await.2, i64::from(buyers));
    sale
}

/// The time from the first reservation to the last completed branch.
async fn round(shop: &Shop, sale: SaleId) -> Duration {
    let started = Instant::now();
    let reserved = join_all((0..ORDERS).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
    let outcomes = join_all(reserved.into_iter().map(|message| shop.submit(message))).await;
    while shop.unfinished().await > 0 {
        // What an engine could not complete at once it leaves to recovery.
        if started.elapsed() > Duration::from_secs(20) {
            shop.recover().await;
        }
    }
    let took = started.elapsed();
    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == Ok(OrderOutcome::Confirmed))
    );
    took
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
