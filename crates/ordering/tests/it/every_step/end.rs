//! A legal end: whatever happened, this is what must hold once recovery has nothing left to do.

use super::{
    process::Told,
    scenario::{Ask, Scenario},
    stage::Stage,
};
use identity::UserId;
use ordering::{OrderId, OrderOutcome, OrderStatus, SaleId, keys::Names};
use std::collections::BTreeMap;

/// An order as it is stored, and what the log says of the transaction that placed it or gave it up.
struct Stored {
    user: UserId,
    units: i32,
    status: OrderStatus,
    outcome: OrderOutcome,
    log: Option<String>,
}

/// Every order has one end, which is what everybody was told. MySQL, Redis and the coupon service say the same of units, of the sale's
/// and of every buyer's; nothing is held for anybody, and nothing is unfinished.
pub async fn is_legal(
    stage: &Stage,
    scenario: &Scenario,
    sale: SaleId,
    asks: &[Ask],
    told: &[Told],
) {
    nothing_is_unfinished(stage).await;
    let orders = orders(stage, sale).await;
    assert_eq!(orders.len(), asks.len(), "each order once");
    for (number, ask) in asks.iter().enumerate() {
        let stored = orders.get(&ask.order().order_id);
        let stored = stored.unwrap_or_else(|| panic!("not written: {ask:?}"));
        let answers = told.iter().filter(|(of, _)| *of == number);
        let answers: Vec<&OrderOutcome> = answers.map(|(_, outcome)| outcome).collect();
        ended_as_told(ask, stored, &answers);
        coupons_are_used(stage, scenario, ask, stored);
    }
    assert_eq!(stage.coupons.reserved(), 0, "coupons that are reserved");
    assert_eq!(
        stage.coupons.broken_rules(),
        [""; 0],
        "rules of the barrier"
    );
    let mut bought: BTreeMap<UserId, (i32, OrderId)> = BTreeMap::new();
    for (order, stored) in &orders {
        if stored.status == OrderStatus::Confirmed {
            let (units, last) = bought.entry(stored.user).or_insert((0, *order));
            (*units, *last) = (*units + stored.units, *order.max(last));
        }
    }
    mysql_balances(stage, sale, &bought).await;
    redis_says_the_same(stage, sale, &bought).await;
}

async fn nothing_is_unfinished(stage: &Stage) {
    let (unfinished, branches): (i64, i64) = sqlx::query_as(
        "select (select count(*) from transactions where state not in ('committed', 'rolled_back')), \
         (select count(*) from transaction_branches where is_foreign and state not in ('done', 'refused'))",
    )
    .fetch_one(&stage.shop.schema.pool)
    .await
    .unwrap();
    assert_eq!(unfinished, 0, "unfinished transactions");
    assert_eq!(branches, 0, "branches without an end");
}

async fn orders(stage: &Stage, sale: SaleId) -> BTreeMap<OrderId, Stored> {
    type Row = (OrderId, UserId, i32, String, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "select o.id, o.user_id, o.quantity, o.status, o.reason, t.state \
         from orders o left join transactions t on t.gid = o.gid where o.sale_id = ?",
    )
    .bind(sale)
    .fetch_all(&stage.shop.schema.pool)
    .await
    .unwrap();
    let stored = rows
        .into_iter()
        .map(|(id, user, units, status, reason, log)| {
            let status: OrderStatus = status.parse().unwrap();
            let outcome = OrderOutcome::from(status.outcome(reason.as_deref()));
            let stored = Stored {
                user,
                units,
                status,
                outcome,
                log,
            };
            (id, stored)
        });
    stored.collect()
}

fn ended_as_told(ask: &Ask, stored: &Stored, answers: &[&OrderOutcome]) {
    assert!(!answers.is_empty(), "nobody was told of {ask:?}");
    let outcome = match (ask, stored.status) {
        (Ask::Place(_) | Ask::GiveUp(_), _) => stored.outcome.clone(),
        (Ask::Cancel(_), OrderStatus::Cancelled) => OrderOutcome::Confirmed,
        (Ask::Cancel(_), other) => OrderOutcome::Rejected {
            reason: other.to_string(),
        },
    };
    assert!(
        answers.iter().all(|told| **told == outcome),
        "told {answers:?}, stored {outcome:?}: {ask:?}"
    );
    let log = if stored.outcome == OrderOutcome::Confirmed {
        "committed"
    } else {
        "rolled_back"
    };
    assert_eq!(stored.log.as_deref(), Some(log), "the log of {ask:?}");
}

/// A unit each, where a confirmed order has one at all. What is cancelled keeps its own: it was used.
fn coupons_are_used(stage: &Stage, scenario: &Scenario, ask: &Ask, stored: &Stored) {
    let has_them = scenario.is_outside && stored.outcome == OrderOutcome::Confirmed;
    let expected = if has_them { stored.units } else { 0 };
    let used = stage.coupons.used_by(ask.order().gid.as_uuid());
    assert_eq!(i32::try_from(used), Ok(expected), "coupons of {ask:?}");
}

async fn mysql_balances(stage: &Stage, sale: SaleId, bought: &BTreeMap<UserId, (i32, OrderId)>) {
    let pool = &stage.shop.schema.pool;
    let buyers: Vec<(UserId, i32, OrderId)> = sqlx::query_as(
        "select user_id, units, last_order_id from sale_buyers where sale_id = ? and units <> 0",
    )
    .bind(sale)
    .fetch_all(pool)
    .await
    .unwrap();
    let buyers = buyers.into_iter();
    let buyers: BTreeMap<_, _> = buyers
        .map(|(user, units, last)| (user, (units, last)))
        .collect();
    assert_eq!(&buyers, bought, "buyers in MySQL");
    let (total, limit, available, sold): (i32, i32, i32, i32) = sqlx::query_as(
        "select s.total, s.per_user_limit, i.available, i.sold from sales s join sale_inventory i on i.sale_id = s.id where s.id = ?",
    )
    .bind(sale)
    .fetch_one(pool)
    .await
    .unwrap();
    let units: Vec<i32> = bought.values().map(|(units, _)| *units).collect();
    assert_eq!(sold, units.iter().sum::<i32>(), "sold in MySQL");
    assert_eq!(available, total - sold, "available in MySQL");
    assert!(available >= 0 && units.iter().all(|units| *units <= limit));
}

async fn redis_says_the_same(
    stage: &Stage,
    sale: SaleId,
    bought: &BTreeMap<UserId, (i32, OrderId)>,
) {
    let levels = stage.shop.stock.levels(sale).await.unwrap().unwrap();
    let sold: i32 = bought.values().map(|(units, _)| units).sum();
    assert_eq!(
        (levels.available, levels.held, levels.sold, levels.owed),
        (levels.total - i64::from(sold), 0, sold.into(), 0),
        "available, held, sold and owed in Redis"
    );
    let names = Names {
        sale,
        epoch: levels.epoch,
    };
    let mut redis = stage.redis.clone();
    let (buyers, waiting): (BTreeMap<String, String>, i64) = redis::pipe()
        .hgetall(names.buyers())
        .zcard(names.pending())
        .query_async(&mut redis)
        .await
        .unwrap();
    let expected = bought
        .iter()
        .map(|(user, (units, last))| (user.to_string(), format!("{units}|{last}")));
    assert_eq!(buyers, expected.collect(), "buyers in Redis");
    assert_eq!(waiting, 0, "reservations that wait");
}
