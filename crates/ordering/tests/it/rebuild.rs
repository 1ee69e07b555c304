//! The rebuild on real servers, stopped, killed and overtaken at each of its steps, and the leases it runs under.

use crate::{
    shop::Shop,
    stock::{completion, refusal},
};
use futures::future::join_all;
use identity::UserId;
use ordering::{
    OrderOutcome, SaleId, keys,
    leases::{Held, Leases},
    message::{Idempotency, OrderMessage},
    rebuild::{NodeIds, RebuildError, Rebuilder, Step, node_name, remembered},
    stock::{Completed, Op, Refusal, ReservationState, Reserved},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};

const STEPS: [Step; 5] = [
    Step::Closed,
    Step::SurvivorsRead,
    Step::SnapshotOpened,
    Step::Loaded,
    Step::Flipped,
];

/// A rebuild of one sale that stands still at one step until it is let go.
struct Stopped {
    go: Arc<Notify>,
    rebuild: JoinHandle<Result<i64, RebuildError>>,
}

impl Stopped {
    async fn at(step: Step, rebuilder: Rebuilder, sale: SaleId) -> Self {
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (reached.clone(), go.clone());
        let rebuilder = rebuilder.observed_by(Arc::new(move |_, now| {
            let (tell, wait) = (tell.clone(), wait.clone());
            Box::pin(async move {
                if now == step {
                    tell.notify_one();
                    wait.notified().await;
                }
            })
        }));
        let rebuild = tokio::spawn(async move { rebuilder.sale(sale).await });
        tokio::time::timeout(Duration::from_mins(1), reached.notified())
            .await
            .expect("the rebuild gets there");
        Self { go, rebuild }
    }

    async fn go(self) -> Result<i64, RebuildError> {
        self.go.notify_one();
        self.rebuild.await.unwrap()
    }
}

/// Whether Redis has everything of the sale when it is rebuilt, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Nothing,
}

/// Promise 3. Breaks when the snapshot is opened at READ COMMITTED: what lands between read and load is counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_that_land_at_any_step_of_a_rebuild_count_once() {
    for kept in [Kept::All, Kept::Nothing] {
        for step in STEPS {
            let shop = Shop::open().await;
            let sale = shop.sale(50, 1).await;
            let before = join_all((0..5).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
            let during = join_all((0..5).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
            let after = join_all((0..5).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
            // Buyers who have one order sold already, in MySQL alone: the reserved one will be rolled back.
            let refused = join_all((0..3).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
            let instead: Vec<_> = refused
                .iter()
                .map(|order| shop.order(sale, order.user_id, 1))
                .collect();
            confirm_all(&shop, &before).await;
            confirm_all(&shop, &instead).await;
            if kept == Kept::Nothing {
                shop.redis.command(&["FLUSHALL"]).await;
            }

            let stopped = Stopped::at(step, shop.rebuilder(), sale).await;
            confirm_all(&shop, &during).await;
            for outcome in join_all(refused.iter().cloned().map(|order| shop.submit(order))).await {
                assert!(
                    matches!(outcome, Ok(OrderOutcome::Rejected { .. })),
                    "{outcome:?}"
                );
            }
            stopped.go().await.unwrap();
            confirm_all(&shop, &after).await;
            shop.at_rest(sale).await;
            assert_eq!(
                shop.levels(sale).await,
                (32, 0, 18),
                "{kept:?} kept, decided at {step:?}"
            );
        }
    }
}

async fn confirm_all(shop: &Shop, orders: &[OrderMessage]) {
    for outcome in join_all(orders.iter().cloned().map(|order| shop.submit(order))).await {
        assert_eq!(outcome, Ok(OrderOutcome::Confirmed));
    }
}

/// Promise 3. No one-line break of it is known: a connection that is made anew fails its first call too.
#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_at_any_step_of_a_rebuild_ends_it_and_the_next_one_succeeds() {
    for step in STEPS {
        let mut shop = Shop::open().await;
        let sale = shop.sale(20, 1).await;
        let orders = join_all((0..6).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
        confirm_all(&shop, &orders[..2]).await;
        shop.until_finished().await;
        let stopped = Stopped::at(step, shop.rebuilder(), sale).await;
        shop.redis.restart().await;
        let ended = stopped.go().await;
        assert!(
            matches!(ended, Err(RebuildError::Redis(_))),
            "killed at {step:?}: {ended:?}"
        );

        shop.rebuild().await;
        shop.reconnected().await;
        assert_eq!(shop.levels(sale).await, (14, 4, 2), "killed at {step:?}");
        let epoch = shop.stock.levels(sale).await.unwrap().unwrap().epoch;
        let (_, names) = shop.everything(sale).await;
        let left_over = names
            .iter()
            .filter_map(|name| keys::epoch_of(sale, name))
            .find(|of| *of != epoch);
        assert_eq!(left_over, None, "only this epoch's names are left");
        confirm_all(&shop, &orders[2..]).await;
        shop.at_rest(sale).await;
    }
}

/// As where a slow machine lets a session be silent for too long. Breaks when a snapshot that cannot be closed fails the rebuild
/// (`close().await?`): of a sale that was open.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_when_all_is_read_fails_no_rebuild() {
    let shop = Shop::open().await;
    let sale = shop.sale(20, 3).await;
    shop.reserve(sale, UserId::fresh(), 3).await;
    let stopped = Stopped::at(Step::Loaded, shop.rebuilder(), sale).await;
    let mut db = shop.schema.pool.acquire().await.unwrap();
    let others: Vec<i64> = sqlx::query_scalar(
        "select cast(id as signed) from information_schema.processlist where db = database() and id <> connection_id()",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    assert!(!others.is_empty(), "the snapshot has one");
    for session in others {
        let kill = sqlx::AssertSqlSafe(format!("kill {session}"));
        sqlx::raw_sql(kill).execute(&mut *db).await.unwrap();
    }
    stopped.go().await.unwrap();
    assert_eq!(shop.levels(sale).await, (17, 3, 0));
}

/// Promise 3. Breaks when `flip.lua` does not compare `closed` with the rebuild's number.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilder_that_slept_while_another_opened_the_sale_is_refused_and_does_no_harm() {
    for step in [
        Step::Closed,
        Step::SurvivorsRead,
        Step::SnapshotOpened,
        Step::Loaded,
    ] {
        let shop = Shop::open().await;
        let sale = shop.sale(20, 1).await;
        let orders = join_all((0..4).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
        let sleeper = Stopped::at(step, shop.rebuilder(), sale).await;
        shop.rebuilder().sale(sale).await.unwrap();
        confirm_all(&shop, &orders[..2]).await;
        shop.until_finished().await;
        let later = shop.reserve(sale, UserId::fresh(), 1).await;
        let before = shop.everything(sale).await.0;

        let ended = sleeper.go().await;
        assert!(
            matches!(ended, Err(RebuildError::Superseded(of) | RebuildError::LostAgain(of)) if of == sale),
            "slept at {step:?}: {ended:?}"
        );
        assert_eq!(
            shop.everything(sale).await.0,
            before,
            "slept at {step:?}: the sale stays as it was"
        );
        assert_eq!(shop.levels(sale).await, (15, 3, 2));
        // It may have raised MySQL's epoch, which the watch sees and answers with a rebuild.
        shop.rebuilder().sale(sale).await.unwrap();
        confirm_all(&shop, &orders[2..]).await;
        confirm_all(&shop, &[later]).await;
        shop.at_rest(sale).await;
        assert_eq!(shop.levels(sale).await, (15, 0, 5), "slept at {step:?}");
    }
}

/// Breaks when `copy_records` leaves out the key.
#[tokio::test(flavor = "multi_thread")]
async fn undecided_reservations_stay_held_with_record_key_and_buyers_units() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 1).await;
    let keyed = shop.order_with_key(sale, UserId::fresh(), "k");
    assert_eq!(shop.try_reserve(&keyed).await.unwrap(), Reserved::New);
    let prepared = shop.reserve(sale, UserId::fresh(), 1).await;
    shop.stock.prepare(&[(sale, prepared.gid)]).await;
    let given_back = shop.reserve(sale, UserId::fresh(), 1).await;
    let epoch = shop.rebuilder().sale(sale).await.unwrap();

    assert_eq!(shop.levels(sale).await, (7, 3, 0));
    assert_eq!(
        shop.state_of(&prepared).await,
        Some(ReservationState::Prepared)
    );
    let repeat = shop.order_with_key(sale, keyed.user_id, "k");
    assert_eq!(
        shop.try_reserve(&repeat).await.unwrap(),
        Reserved::Known {
            order: keyed.order_id,
            state: ReservationState::Reserved,
            publish_again: Some(keyed.to_bytes())
        }
    );
    assert_eq!(
        refusal(
            shop.try_reserve(&shop.order(sale, prepared.user_id, 1))
                .await
        ),
        Refusal::AlreadyOrdered {
            order: prepared.order_id
        }
    );
    let pending = keys::Names { sale, epoch }.pending();
    shop.redis
        .command(&["ZADD", &pending, "XX", "1", &keyed.gid.to_string()])
        .await;
    assert_eq!(shop.stock.overdue(sale, 0, 10).await.unwrap(), [keyed.gid]);

    let batch = [
        completion(&keyed, epoch, Op::Confirm),
        completion(&prepared, epoch, Op::Confirm),
        completion(&given_back, epoch, Op::Release),
    ];
    assert_eq!(shop.stock.complete(&batch).await, vec![Completed::Done; 3]);
    assert_eq!(shop.levels(sale).await, (8, 0, 2));
}

/// Promise 5. Breaks when the keys of rejected orders are left out.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_last_day_survive_flushall() {
    let shop = Shop::open().await;
    let sale = shop.sale(2, 1).await;
    let users: Vec<_> = (0..4).map(|_| UserId::fresh()).collect();
    let orders: Vec<_> = users
        .iter()
        .map(|user| shop.order_with_key(sale, *user, "k"))
        .collect();
    for order in &orders {
        shop.submit(order.clone()).await.unwrap();
    }
    shop.until_finished().await;
    // The first is of the day before yesterday: neither its id nor its row is young enough.
    sqlx::query("update orders set created_at = created_at - interval 49 hour where id = ?")
        .bind(orders[0].order_id)
        .execute(&shop.schema.pool)
        .await
        .unwrap();
    shop.redis.command(&["FLUSHALL"]).await;
    shop.rebuilder().sale(sale).await.unwrap();
    for order in &orders[1..] {
        let repeat = shop.order_with_key(sale, order.user_id, "k");
        assert_eq!(
            shop.try_reserve(&repeat).await.unwrap(),
            Reserved::Known {
                order: order.order_id,
                state: ReservationState::Gone,
                publish_again: None
            }
        );
        let idempotency = Some(Idempotency {
            key: "k".to_owned(),
            body_hash: "1".repeat(64),
        });
        let other_body = OrderMessage {
            idempotency,
            ..repeat
        };
        assert_eq!(
            refusal(shop.try_reserve(&other_body).await),
            Refusal::IdempotencyConflict
        );
    }
    let too_old = shop.order_with_key(sale, users[0], "k");
    assert_eq!(
        refusal(shop.try_reserve(&too_old).await),
        Refusal::AlreadyOrdered {
            order: orders[0].order_id
        }
    );
    shop.at_rest(sale).await;
}

/// Breaks when `node` leaves out one sale.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_twenty_sales_comes_back_whole() {
    let mut shop = Shop::open().await;
    let mut sales = Vec::new();
    let mut undecided = Vec::new();
    for number in 0..20_u32 {
        let sale = shop.sale(10 + number, 1).await;
        let orders = join_all((0..4).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
        confirm_all(&shop, &orders[..2]).await;
        undecided.extend_from_slice(&orders[2..]);
        sales.push((sale, i64::from(number)));
    }
    shop.until_finished().await;
    let name = node_name(&redis::Client::open(shop.redis.url()).unwrap());
    let old = remembered(&shop.schema.pool, &name).await.unwrap().unwrap();
    shop.redis.restart().await;
    let now = NodeIds::read(&mut shop.redis.connection().await)
        .await
        .unwrap();
    assert_ne!(now, old);
    assert_eq!(shop.rebuilder().node().await.unwrap().opened.len(), 20);
    assert_eq!(
        remembered(&shop.schema.pool, &name).await.unwrap(),
        Some(now)
    );
    shop.reconnected().await;
    for (sale, number) in &sales {
        assert_eq!(shop.levels(*sale).await, (6 + number, 2, 2));
    }
    confirm_all(&shop, &undecided).await;
    for (sale, _) in sales {
        shop.at_rest(sale).await;
    }
}

/// Breaks when `take` of the leases does not look at `expires_at`: two at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_one_holder_at_a_time() {
    let schema = testkit::mysql::schema().await;
    let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ttl = Duration::from_secs(30);
    join_all((0..8).map(|_| async {
        let leases = Leases::new(schema.pool.clone(), "test");
        let work = async || {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            tokio::task::yield_now().await;
            sqlx::query("select 1").execute(&schema.pool).await.unwrap();
            inside.fetch_sub(1, Ordering::SeqCst);
        };
        loop {
            match leases.under("rebuild", ttl, work()).await.unwrap() {
                Held::Done(()) => break,
                Held::Busy => tokio::task::yield_now().await,
                Held::Lost => panic!("nobody takes a lease that is held"),
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
    }))
    .await;
    assert_eq!(done.into_inner(), 8);
}

/// Breaks when `renew_until_lost` renews a lease that is another's: it is never told.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_slept_past_its_lease_has_lost_it() {
    let schema = testkit::mysql::schema().await;
    let ttl = Duration::from_secs(9);
    let (sleeper, other) = (
        Leases::new(schema.pool.clone(), "test"),
        Leases::new(schema.pool.clone(), "test"),
    );
    let begun = Notify::new();
    let (ended, ()) = tokio::join!(
        tokio::time::timeout(
            Duration::from_mins(1),
            sleeper.under("rebuild", ttl, async {
                begun.notify_one();
                std::future::pending::<()>().await;
            })
        ),
        async {
            begun.notified().await;
            assert!(!other.acquire("rebuild", ttl).await.unwrap(), "it is held");
            schema
                .execute("update leases set expires_at = utc_timestamp(3) - interval 1 second")
                .await;
            assert!(other.acquire("rebuild", ttl).await.unwrap(), "it is free");
        }
    );
    assert_eq!(ended.expect("it is told").unwrap(), Held::Lost);
    sleeper.release("rebuild").await.unwrap();
    assert!(
        !sleeper.acquire("rebuild", ttl).await.unwrap(),
        "what is not its own it cannot give away"
    );
}
