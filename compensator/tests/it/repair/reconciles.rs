//! A reconcile puts right what is wrong with one order, whoever dies at it, and says what it did. Each wrong is made on real servers.

use crate::{
    repair::BREAKS,
    world::{SOON, World},
};
use compensation::operations::{self, ReplayRefused, State};
use compensator::{
    repair::{Observer, Repair, Step},
    schedule::Scan as _,
};
use ordering::{
    OrderOutcome, SaleId, drift,
    keys::{self, Names},
    message::OrderMessage,
};
use std::{collections::BTreeMap, sync::Arc};
use testkit::eventually;
use tokio::sync::Notify;
use uuid::Uuid;

impl World {
    async fn ask_for_reconcile(&self, order: &OrderMessage) -> Uuid {
        let id = order.order_id.as_uuid();
        operations::claim_reconcile(&self.schema.pool, id, "night", None)
            .await
            .unwrap()
    }

    /// Runs until the operation has ended: how, and what it noted.
    async fn until_reconciled(&self, operation: Uuid) -> (String, Option<String>) {
        let repair = self.repair_with("").await;
        let mut scans = self.scans().await;
        for _ in 0..300 {
            self.let_claims_end().await;
            repair.replays.run_batch().await.unwrap();
            scans.fence_watch.run_once().await.unwrap();
            scans.unfinished.run_once().await.unwrap();
            let found = self.operation(operation).await;
            if found.state == State::Finished {
                let item = &found.items[0];
                return (item.state.clone(), item.reason.clone());
            }
        }
        panic!("the reconcile never ended");
    }

    async fn reconciles(&self, order: &OrderMessage) -> (String, Option<String>) {
        let operation = self.ask_for_reconcile(order).await;
        self.until_reconciled(operation).await
    }

    /// Section 7 of the protocol, for the sale and every buyer; some units may be kept for orders that are held.
    async fn agrees(&self, sale: SaleId, held: i64) {
        let levels = self.levels(sale).await;
        let mysql: (i32, i32) =
            sqlx::query_as("select available, sold from sale_inventory where sale_id = ?")
                .bind(sale)
                .fetch_one(&self.schema.pool)
                .await
                .unwrap();
        assert_eq!(
            (levels.available, levels.held, levels.sold, levels.owed),
            (i64::from(mysql.0) - held, held, i64::from(mysql.1), 0),
            "available, held, sold, owed"
        );
        let names = Names {
            sale,
            epoch: levels.epoch,
        };
        let mut redis = service_kit::redis::connect(&self.redis.url())
            .await
            .unwrap();
        let in_redis: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(names.buyers())
            .query_async(&mut redis)
            .await
            .unwrap();
        let in_mysql: Vec<(identity::UserId, i32)> = sqlx::query_as(
            "select user_id, units from sale_buyers where sale_id = ? and units > 0",
        )
        .bind(sale)
        .fetch_all(&self.schema.pool)
        .await
        .unwrap();
        let sold: i64 = in_mysql.iter().map(|(_, units)| i64::from(*units)).sum();
        assert_eq!(sold, levels.sold, "what buyers have was sold");
        for (user, units) in in_mysql {
            let kept = &in_redis[&user.to_string()];
            assert!(kept.starts_with(&format!("{units}|")), "{kept}");
        }
        assert_eq!(
            i64::try_from(in_redis.len()).unwrap(),
            levels.sold + held,
            "{in_redis:?}"
        );
    }

    /// An order that was given up, settled everywhere.
    async fn settled_failed(&self, sale: SaleId) -> OrderMessage {
        let engine = self.engine();
        let order = self.given_up(sale, None, &engine).await;
        engine.drain().await;
        self.until_units(sale, (10, 0, 0)).await;
        self.until_finished().await;
        order
    }

    async fn until_finished(&self) {
        eventually("no transaction is unfinished", SOON, || async {
            let open: i64 = sqlx::query_scalar(
                "select count(*) from transactions where state not in ('committed', 'rolled_back')",
            )
            .fetch_one(&self.schema.pool)
            .await
            .unwrap();
            (open == 0).then_some(())
        })
        .await;
    }

    /// An order that was confirmed, and is in the archive as if it were not.
    async fn confirmed_and_archived(&self, sale: SaleId) -> OrderMessage {
        let engine = self.engine();
        let order = self.reserve(sale).await;
        assert_eq!(
            engine.submit(order.clone()).await,
            Ok(OrderOutcome::Confirmed)
        );
        engine.drain().await;
        self.until_units(sale, (9, 0, 1)).await;
        self.until_finished().await;
        self.put_into_archive(&order).await;
        order
    }

    /// As when Redis lost the last thing it was told of the order: its unit is held again.
    async fn leak(&self, order: &OrderMessage) {
        let sale = order.sale_id;
        let names = Names {
            sale,
            epoch: self.levels(sale).await.epoch,
        };
        let (stock, record) = (keys::stock(sale), names.reservation(order.gid));
        let (id, user) = (order.order_id.to_string(), order.user_id.to_string());
        let buyer = format!("1|{id}");
        for command in [
            &["HINCRBY", &stock, "available", "-1"][..],
            &["HINCRBY", &stock, "held", "1"],
            &["HSET", &names.buyers(), &user, &buyer],
            &[
                "HSET", &record, "state", "prepared", "order", &id, "user", &user, "units", "1",
            ],
        ] {
            self.redis.command(command).await;
        }
    }

    /// Two units that Redis sold and MySQL did not.
    async fn drift(&self, sale: SaleId) {
        let stock = keys::stock(sale);
        for (field, units) in [("available", "-2"), ("sold", "2")] {
            self.redis.command(&["HINCRBY", &stock, field, units]).await;
        }
    }

    /// Runs a compensator that never comes back from `step`.
    async fn dies_reconciling_at(&self, step: Step) {
        let reached = Arc::new(Notify::new());
        let tell = Arc::clone(&reached);
        let observer: Observer = Arc::new(move |passed| {
            let tell = Arc::clone(&tell);
            Box::pin(async move {
                if passed == step {
                    tell.notify_one();
                    std::future::pending::<()>().await;
                }
            })
        });
        let settings = self.settings(&[], "");
        let repair: Repair = self.repair_observed(&settings, observer).await;
        let turns = async {
            loop {
                self.let_claims_end().await;
                repair.replays.run_batch().await.unwrap();
            }
        };
        let died = async {
            tokio::select! {
                () = turns => {}
                () = reached.notified() => {}
            }
        };
        tokio::time::timeout(SOON, died)
            .await
            .unwrap_or_else(|_| panic!("{step:?} was never reached"));
    }
}

fn done(notes: &str) -> (String, Option<String>) {
    ("reconciled".to_owned(), Some(notes.to_owned()))
}

fn undone(notes: &str) -> (String, Option<String>) {
    ("refused".to_owned(), Some(notes.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_leaked_is_given_back() {
    let (world, sale) = World::open(10).await;
    let order = world.settled_failed(sale).await;
    world.leak(&order).await;
    assert_eq!(world.units(sale).await, (9, 1, 0));
    assert_eq!(world.reconciles(&order).await, done("reservation_settled"));
    world.agrees(sale, 0).await;
    // The archive still asks for a person: the order failed, and can be replayed.
    let row = world.archived(&order).await.unwrap();
    assert_eq!((row.handled, row.operation_id), (false, None));
    // Where nothing is wrong, nothing is done.
    let nothing = ("reconciled".to_owned(), None);
    assert_eq!(world.reconciles(&order).await, nothing);
}

/// Breaks when a committed transaction's unit is released: MySQL sold it.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_was_sold_and_is_only_held_is_sold_and_the_archive_closed() {
    let (world, sale) = World::open(10).await;
    let order = world.confirmed_and_archived(sale).await;
    let stock = keys::stock(sale);
    world
        .redis
        .command(&["HINCRBY", &stock, "sold", "-1"])
        .await;
    world
        .redis
        .command(&["HINCRBY", &stock, "available", "1"])
        .await;
    world.leak(&order).await;
    assert_eq!(world.units(sale).await, (9, 1, 0));
    assert_eq!(
        world.reconciles(&order).await,
        done("reservation_settled, archive_closed")
    );
    world.agrees(sale, 0).await;
    let row = world.archived(&order).await.unwrap();
    assert_eq!(
        (row.handled, row.resolution.as_deref(), row.operation_id),
        (true, Some("confirmed"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_differs_is_made_anew_and_told_of_once() {
    let (world, sale) = World::open(10).await;
    let order = world.settled_failed(sale).await;
    world.drift(sale).await;
    assert_eq!(world.reconciles(&order).await, done("sale_rebuilt@2"));
    world.agrees(sale, 0).await;
    let found = drift::of_sale(&world.schema.pool, sale).await.unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.units, one.fenced)).collect();
    assert_eq!(found, [(2, true)]);
    let told: i64 =
        sqlx::query_scalar("select count(*) from alerts where kind = 'drift' and resolves = 0")
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!(told, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_whom_redis_forgot_is_counted_again() {
    let (world, sale) = World::open(10).await;
    let order = world.confirmed_and_archived(sale).await;
    let names = Names {
        sale,
        epoch: world.epoch(sale).await,
    };
    let user = order.user_id.to_string();
    world.redis.command(&["HDEL", &names.buyers(), &user]).await;
    assert_eq!(
        world.reconciles(&order).await,
        done("sale_rebuilt@2, archive_closed")
    );
    world.agrees(sale, 0).await;
}

/// Breaks when what nobody decided is only told of: its unit stays held, and no replay is possible.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_decided_is_given_up_and_can_be_replayed() {
    let (world, sale) = World::open(10).await;
    let order = world.reserve(sale).await;
    world.put_into_archive(&order).await;
    assert_eq!(world.reconciles(&order).await, done("order_given_up"));
    assert_eq!(world.status(&order).await, "failed");
    world.agrees(sale, 0).await;
    world.ask_for_replay(&order).await;
    world.drive(&world.repair_with("").await).await;
    assert_eq!(world.status(&order).await, "confirmed");
    world.until_units(sale, (9, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_goes_on_and_is_waited_for() {
    let (world, sale) = World::open(10).await;
    let order = world.settled_failed(sale).await;
    world.leak(&order).await;
    world
        .schema
        .execute("update transactions set state = 'stuck_rolling_back', finished_at = null, handed_over = 1")
        .await;
    assert_eq!(world.reconciles(&order).await, done("transaction_resumed"));
    world.agrees(sale, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_to_be_kept_are_held_again() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "breaks", &repair).await;
    assert_eq!(world.units(sale).await, (9, 1, 0));
    world
        .stock
        .withdraw(sale, order.gid, order.user_id, None)
        .await
        .unwrap();
    assert_eq!(world.units(sale).await, (10, 0, 0));
    assert_eq!(world.reconciles(&order).await, done("sale_rebuilt@2"));
    world.agrees(sale, 1).await;
    assert!(world.archived(&order).await.unwrap().held);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_mend_is_left_with_the_reason() {
    let (world, sale) = World::open(10).await;
    let order = world.settled_failed(sale).await;
    world.schema.execute("delete from orders").await;
    assert_eq!(world.reconciles(&order).await, undone("order_missing"));
    let row = world.archived(&order).await.unwrap();
    assert_eq!((row.handled, row.operation_id), (false, None));
}

/// Breaks when a sale that is being rebuilt is believed, or waited for without end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_waited_for_and_not_for_ever() {
    let (world, sale) = World::open(10).await;
    let order = world.settled_failed(sale).await;
    world.leak(&order).await;
    let stock = keys::stock(sale);
    world.redis.command(&["HSET", &stock, "suspect", "1"]).await;
    let repair = world.repair_with("").await;
    let operation = world.ask_for_reconcile(&order).await;
    for _ in 0..3 {
        world.let_claims_end().await;
        repair.replays.run_batch().await.unwrap();
    }
    let item = world.operation(operation).await.items[0].clone();
    assert_eq!((item.state.as_str(), item.reason), ("requested", None));
    world
        .schema
        .execute("update operation_items set begun_at = utc_timestamp(3) - interval 3 minute")
        .await;
    world.let_claims_end().await;
    repair.replays.run_batch().await.unwrap();
    let found = world.operation(operation).await;
    assert_eq!(found.state, State::Finished);
    assert_eq!(found.items[0].reason.as_deref(), Some("unknown"));
    // Made anew, the sale holds nothing for what was decided.
    let again = world.reconciles(&order).await;
    assert_eq!(again.0, "reconciled");
    world.agrees(sale, 0).await;
}

/// Breaks when the claim does not see what is under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_click_is_told_who_and_when() {
    let (world, sale) = World::open(10).await;
    let order = world.settled_failed(sale).await;
    let operation = world.ask_for_reconcile(&order).await;
    let id = order.order_id.as_uuid();
    let pool = &world.schema.pool;
    let refused = [
        operations::claim_reconcile(pool, id, "day", None).await,
        operations::claim_replay(pool, id, "day", None).await,
    ];
    for refused in refused {
        let Err(ReplayRefused::InHand {
            operation_id, by, ..
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((operation_id, by.as_str()), (operation, "night"));
    }
}

/// What is wrong, made so; and what a reconcile notes of it.
type Case = (&'static str, &'static str);

/// Breaks when a mend is not noted before it is done, or a mend is not harmless twice: noted twice, units given back twice.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_at_it_it_is_done_once_and_told() {
    let cases: [Case; 3] = [
        ("leak", "reservation_settled"),
        ("drift", "sale_rebuilt@2"),
        ("missing", "order_given_up"),
    ];
    for (wrong, note) in cases {
        for step in Step::OF_A_RECONCILE {
            let (world, sale) = World::open(10).await;
            let order = match wrong {
                "missing" => {
                    let order = world.reserve(sale).await;
                    world.put_into_archive(&order).await;
                    order
                }
                _ => world.settled_failed(sale).await,
            };
            match wrong {
                "leak" => world.leak(&order).await,
                "drift" => world.drift(sale).await,
                _ => {}
            }
            let operation = world.ask_for_reconcile(&order).await;
            world.dies_reconciling_at(step).await;
            let ended = world.until_reconciled(operation).await;
            assert_eq!(ended, done(note), "{wrong}, dying at {step:?}");
            world.agrees(sale, 0).await;
            assert_eq!(world.units(sale).await, (10, 0, 0), "{wrong} at {step:?}");
            assert_eq!(world.status(&order).await, "failed");
            let claimed: i64 = sqlx::query_scalar(
                "select count(*) from failed_order_archives where operation_id is not null",
            )
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
            assert_eq!(claimed, 0, "{wrong}, dying at {step:?}");
        }
    }
}
