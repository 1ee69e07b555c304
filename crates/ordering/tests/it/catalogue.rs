//! Products, sales and orders as they are read.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use identity::UserId;
use ordering::{
    OrderId, OrderStatus, Paging, ProductId, SaleId, orders,
    orders::ShownStatus,
    products::{self, NewProduct},
    sales::{self, Filter, NewSale, Sale, SaleState},
};
use sqlx::MySqlPool;

const ALL: Paging = Paging {
    page: 1,
    per_page: 100,
};

async fn product(db: &MySqlPool) -> ProductId {
    let new = NewProduct {
        name: "Kettle 🫖".to_owned(),
        description: String::new(),
        price: 4_999,
    };
    products::create(db, new).await.unwrap().id
}

fn hours(hours: i64) -> DateTime<Utc> {
    (Utc::now() + TimeDelta::hours(hours)).trunc_subsecs(3)
}

fn sale_of(product_id: ProductId) -> NewSale {
    NewSale {
        product_id,
        price: 100,
        total: 10,
        per_user_limit: 2,
        starts_at: hours(-1),
        ends_at: hours(1),
    }
}

#[tokio::test]
async fn products_are_listed_newest_first_page_by_page() {
    let schema = testkit::mysql::schema().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(product(&schema.pool).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    for page in 1..=3 {
        let (items, total) = products::list(&schema.pool, Paging { page, per_page: 2 })
            .await
            .unwrap();
        assert_eq!(total, 5);
        seen.extend(items.into_iter().map(|product| product.id));
    }
    assert_eq!(seen, made);
    assert!(
        products::list(
            &schema.pool,
            Paging {
                page: u32::MAX,
                per_page: 100
            }
        )
        .await
        .unwrap()
        .0
        .is_empty()
    );
    let kettle = products::get(&schema.pool, made[0]).await.unwrap().unwrap();
    assert_eq!((kettle.name.as_str(), kettle.price), ("Kettle 🫖", 4_999));
    assert!(
        products::get(&schema.pool, ProductId::fresh())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_sale_begins_open_with_all_its_units_at_its_first_epoch() {
    let schema = testkit::mysql::schema().await;
    let made = sales::create(&schema.pool, sale_of(product(&schema.pool).await))
        .await
        .unwrap();
    assert_eq!(
        sales::get(&schema.pool, made.id).await.unwrap(),
        Some(made.clone())
    );
    assert_eq!(
        (
            made.state,
            made.revision,
            made.terms(7).epoch,
            made.terms(7).held_max
        ),
        (SaleState::Open, 1, 1, 7)
    );
    let row: (i32, i32, i32, i64) = sqlx::query_as(
        "select total, available, sold, epoch from sale_inventory where sale_id = ?",
    )
    .bind(made.id)
    .fetch_one(&schema.pool)
    .await
    .unwrap();
    assert_eq!(row, (10, 10, 0, 1));
    assert_eq!(
        sales::by_tag(&schema.pool, OrderId::mint(made.id).sale_tag())
            .await
            .unwrap(),
        [made.id]
    );
    assert!(
        made.is_open_at(Utc::now())
            && made.is_open_at(made.starts_at)
            && !made.is_open_at(made.ends_at)
    );
    let paused = Sale {
        state: SaleState::Paused,
        ..made
    };
    assert!(!paused.is_open_at(Utc::now()));
}

#[tokio::test]
async fn a_sale_that_cannot_be_leaves_nothing_behind() {
    let schema = testkit::mysql::schema().await;
    let there = product(&schema.pool).await;
    for bad in [
        sale_of(ProductId::fresh()),
        NewSale {
            total: 0,
            ..sale_of(there)
        },
        NewSale {
            total: u32::MAX,
            ..sale_of(there)
        },
        NewSale {
            per_user_limit: 0,
            ..sale_of(there)
        },
        NewSale {
            price: -1,
            ..sale_of(there)
        },
        NewSale {
            ends_at: hours(-1),
            starts_at: hours(-1),
            ..sale_of(there)
        },
    ] {
        assert!(
            sales::create(&schema.pool, bad.clone()).await.is_err(),
            "{bad:?}"
        );
    }
    let left: (i64, i64) = sqlx::query_as(
        "select (select count(*) from sales), (select count(*) from sale_inventory)",
    )
    .fetch_one(&schema.pool)
    .await
    .unwrap();
    assert_eq!(left, (0, 0));
}

#[tokio::test]
async fn sales_are_live_upcoming_or_ended_by_the_databases_clock() {
    let schema = testkit::mysql::schema().await;
    let product = product(&schema.pool).await;
    let mut ids = Vec::new();
    for (starts, ends) in [(-1, 1), (1, 2), (-2, -1)] {
        let new = NewSale {
            starts_at: hours(starts),
            ends_at: hours(ends),
            ..sale_of(product)
        };
        ids.push(sales::create(&schema.pool, new).await.unwrap().id);
    }
    for (filter, wanted) in [
        (Filter::Live, ids[0]),
        (Filter::Upcoming, ids[1]),
        (Filter::Ended, ids[2]),
    ] {
        let (items, total) = sales::list(&schema.pool, filter, ALL).await.unwrap();
        assert_eq!(
            (items.iter().map(|sale| sale.id).collect::<Vec<_>>(), total),
            (vec![wanted], 1),
            "{filter:?}"
        );
    }
    let (items, total) = sales::list(
        &schema.pool,
        Filter::All,
        Paging {
            page: 2,
            per_page: 2,
        },
    )
    .await
    .unwrap();
    assert_eq!((items.len(), items[0].id, total), (1, ids[0], 3));
}

#[tokio::test]
async fn a_walk_over_all_sales_meets_each_once() {
    let schema = testkit::mysql::schema().await;
    let product = product(&schema.pool).await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(
            sales::create(&schema.pool, sale_of(product))
                .await
                .unwrap()
                .id,
        );
    }
    made.sort_unstable();
    let (mut met, mut last) = (Vec::new(), None);
    loop {
        let next = sales::after(&schema.pool, last, 3).await.unwrap();
        let Some(end) = next.last().copied() else {
            break;
        };
        last = Some(end);
        met.extend(next);
    }
    assert_eq!(met, made);
}

struct Placed {
    order: OrderId,
    user: UserId,
}

/// An order as a decision would have written it, with its transaction in `state`.
async fn decided(
    db: &MySqlPool,
    user: UserId,
    status: OrderStatus,
    reason: Option<&str>,
    state: Option<&str>,
) -> Placed {
    let sale = SaleId::fresh();
    let order = OrderId::mint(sale);
    sqlx::query(
        "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, created_at, decided_at)
         values (?, ?, 0, ?, ?, 2, 100, ?, ?, utc_timestamp(3), utc_timestamp(3))",
    )
    .bind(order)
    .bind(order.as_uuid())
    .bind(user)
    .bind(sale)
    .bind(status.as_str())
    .bind(reason)
    .execute(db)
    .await
    .unwrap();
    if let Some(state) = state {
        sqlx::query(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at)
             values (?, 'order', ?, ?, ?, 1, '{}', 0, utc_timestamp(3), utc_timestamp(3))",
        )
        .bind(order.as_uuid())
        .bind(sale)
        .bind(state)
        .bind(order.as_uuid())
        .execute(db)
        .await
        .unwrap();
    }
    Placed { order, user }
}

#[tokio::test]
async fn an_order_reads_processing_until_its_transaction_is_complete() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    for (status, reason, state, shown) in [
        (
            OrderStatus::Confirmed,
            None,
            Some("committing"),
            ShownStatus::Processing,
        ),
        (
            OrderStatus::Confirmed,
            None,
            Some("committed"),
            ShownStatus::Settled(OrderStatus::Confirmed),
        ),
        (
            OrderStatus::Confirmed,
            None,
            None,
            ShownStatus::Settled(OrderStatus::Confirmed),
        ),
        (
            OrderStatus::Rejected,
            Some("sold_out"),
            Some("rolling_back"),
            ShownStatus::Settled(OrderStatus::Rejected),
        ),
        (
            OrderStatus::Failed,
            None,
            Some("rolled_back"),
            ShownStatus::Settled(OrderStatus::Failed),
        ),
    ] {
        let placed = decided(db, UserId::fresh(), status, reason, state).await;
        let found = orders::find(db, placed.user, placed.order)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.status, found.reason.as_deref(), found.quantity),
            (shown, reason, 2),
            "{status} {state:?}"
        );
        assert_eq!(
            orders::list_of_user(db, placed.user, ALL).await.unwrap(),
            (vec![found], 1)
        );
    }
}

#[tokio::test]
async fn nobody_reads_anothers_orders() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let (ann, bob) = (UserId::fresh(), UserId::fresh());
    let mut anns = Vec::new();
    for _ in 0..3 {
        anns.push(
            decided(db, ann, OrderStatus::Confirmed, None, Some("committed"))
                .await
                .order,
        );
    }
    decided(db, bob, OrderStatus::Confirmed, None, Some("committed")).await;
    assert!(orders::find(db, bob, anns[0]).await.unwrap().is_none());
    anns.sort_unstable();
    anns.reverse();
    let (first, total) = orders::list_of_user(
        db,
        ann,
        Paging {
            page: 1,
            per_page: 2,
        },
    )
    .await
    .unwrap();
    let (second, _) = orders::list_of_user(
        db,
        ann,
        Paging {
            page: 2,
            per_page: 2,
        },
    )
    .await
    .unwrap();
    assert_eq!(total, 3);
    assert_eq!(
        first
            .iter()
            .chain(&second)
            .map(|order| order.id)
            .collect::<Vec<_>>(),
        anns,
        "newest first"
    );
}
