//! Operations on many orders, carried out: whoever dies, however many work on them, each order has one end.

use crate::{
    repair::BREAKS,
    world::{SOON, World},
};
use compensation::operations::{self, Kind, ReplayRefused, State, terms::Terms};
use compensator::repair::{Observer, Repair, Step};
use ordering::{OrderOutcome, message::OrderMessage};
use std::{sync::Arc, time::Duration};
use testkit::eventually;
use tokio::sync::Notify;
use uuid::Uuid;

const FOREVER: &str = "faults: [\"decide:remark=breaks:forever\"]\n";

fn terms(canary: bool, stop_percent: u32) -> Terms {
    Terms::new(500, canary, stop_percent, Duration::ZERO).unwrap()
}

async fn many(
    world: &World,
    sale: ordering::SaleId,
    count: usize,
    remark: Option<&str>,
) -> Vec<OrderMessage> {
    let engine = world.engine();
    let orders = futures_of(count, || world.given_up(sale, remark, &engine)).await;
    engine.drain().await;
    orders
}

async fn futures_of<F: Future>(count: usize, mut make: impl FnMut() -> F) -> Vec<F::Output> {
    let mut done = Vec::with_capacity(count);
    for _ in 0..count {
        done.push(make().await);
    }
    done
}

async fn number(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&world.schema.pool)
        .await
        .unwrap()
}

/// Two processes on one operation: breaks when an item can be claimed by both, or a turn taken by both.
#[tokio::test(flavor = "multi_thread")]
async fn two_compensators_replay_each_of_many_once() {
    let (world, sale) = World::open(60).await;
    let orders = many(&world, sale, 40, None).await;
    let (one, two) = (world.repair_with("").await, world.repair_with("").await);
    let operation = world.ask_for_all(Kind::Replay, terms(true, 10)).await;
    eventually("it is finished", SOON, || async {
        tokio::join!(world.round(&one), world.round(&two));
        (world.operation(operation).await.state == State::Finished).then_some(())
    })
    .await;
    let counts = world.counts(operation).await;
    assert_eq!(
        (counts.selected, counts.begun, counts.confirmed),
        (40, 40, 40),
        "{counts:?}"
    );
    for order in &orders {
        assert_eq!(world.status(order).await, "confirmed");
        assert_eq!(world.compensations(order).await.len(), 1);
    }
    assert_eq!(world.audited_items().await.len(), 40);
    world.until_units(sale, (20, 0, 40)).await;
    assert_eq!(
        number(
            &world,
            "select count(*) from failed_order_archives where handled = 1 and operation_id is null"
        )
        .await,
        40
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_many_that_fail_again_stops_at_the_first() {
    let (world, sale) = World::open(60).await;
    many(&world, sale, 5, Some("breaks")).await;
    let repair = world.repair_with(FOREVER).await;
    let operation = world.ask_for_all(Kind::Replay, terms(true, 50)).await;
    let over = world.until_over(operation, &repair).await;
    assert_eq!(over.state, State::Paused);
    let counts = world.counts(operation).await;
    assert_eq!((counts.begun, counts.archived), (1, 1));
    assert_eq!(
        world.audited_items().await,
        [["item.replay", "failed", "archived"]]
    );
    let again = "select count(*) from failed_order_archives where times_archived = 2 and handled = 0 and operation_id is null";
    assert_eq!(number(&world, again).await, 1);
    world.until_units(sale, (60, 0, 0)).await;
}

/// Breaks when what MySQL rejects counts as a failure.
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_rejected_have_their_answer_and_stop_nothing() {
    let (world, sale) = World::open(60).await;
    let orders = many(&world, sale, 3, None).await;
    // MySQL alone decides, and has none left.
    world
        .schema
        .execute("update sale_inventory set available = 0, sold = total")
        .await;
    let repair = world.repair_with("").await;
    let operation = world.ask_for_all(Kind::Replay, terms(true, 0)).await;
    assert_eq!(
        world.until_over(operation, &repair).await.state,
        State::Finished
    );
    assert_eq!(world.counts(operation).await.rejected, 3);
    assert_eq!(world.status(&orders[0]).await, "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_orders_are_handled_and_what_is_not_failed_is_left_alone() {
    let (world, sale) = World::open(60).await;
    let orders = many(&world, sale, 3, None).await;
    sqlx::query("update orders set status = 'cancelled' where id = ?")
        .bind(orders[2].order_id)
        .execute(&world.schema.pool)
        .await
        .unwrap();
    let repair = world.repair_with("").await;
    let operation = world.ask_for_all(Kind::Discard, terms(false, 100)).await;
    assert_eq!(
        world.until_over(operation, &repair).await.state,
        State::Finished
    );
    let counts = world.counts(operation).await;
    assert_eq!((counts.discarded, counts.refused), (2, 1));
    let mut told = world.audited_items().await;
    told.sort();
    let discarded = ["item.discard", "done", "discarded"];
    let refused = ["item.discard", "refused", "refused: already_resolved"];
    assert_eq!(told, [discarded, discarded, refused]);
    let row = world.archived(&orders[0]).await.unwrap();
    assert_eq!(
        (row.handled, row.resolution.as_deref(), row.operation_id),
        (true, Some("discarded"), None)
    );
    assert_eq!(world.status(&orders[0]).await, "failed");
    let settled = world.archived(&orders[2]).await.unwrap();
    assert_eq!(
        (settled.handled, settled.resolution.as_deref()),
        (true, Some("cancelled"))
    );
    // The order's page tells who and why.
    let told = operations::latest(&world.schema.pool, Some(row.id), 10)
        .await
        .unwrap();
    assert_eq!(
        (told[0].asked_by.as_str(), told[0].reason.as_deref()),
        ("night", Some("the cause is gone"))
    );
    assert_eq!(told[0].items[0].state, "discarded");
    world.until_units(sale, (60, 0, 0)).await;
}

/// Runs one that never comes back from `step`, and ends it there.
async fn die_at(step: Step, world: &World, settings: &service_kit::settings::Settings) {
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
    let repair: Repair = world.repair_observed(settings, observer).await;
    let rounds = async {
        loop {
            world.round(&repair).await;
        }
    };
    let died = async {
        tokio::select! {
            () = rounds => {}
            () = reached.notified() => {}
        }
    };
    tokio::time::timeout(SOON, died)
        .await
        .unwrap_or_else(|_| panic!("{step:?} was never reached"));
    world.let_claims_end().await;
}

/// Breaks when a turn is not one transaction: items twice, or claimed and forgotten; twice in the audit, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_of_an_operation_leaves_each_order_one_end() {
    for step in Step::OF_AN_OPERATION {
        let (world, sale) = World::open(30).await;
        let orders = many(&world, sale, 12, None).await;
        let operation = world.ask_for_all(Kind::Replay, terms(true, 10)).await;
        for _ in 0..2 {
            die_at(step, &world, &world.settings(&[], "")).await;
            if step == Step::Selected {
                // The next one selects them.
                break;
            }
        }
        let repair = world.repair_with("").await;
        let over = world.until_over(operation, &repair).await;
        assert_eq!(over.state, State::Finished, "dying at {step:?}");
        let counts = world.counts(operation).await;
        assert_eq!(
            (counts.selected, counts.begun, counts.confirmed),
            (12, 12, 12),
            "dying at {step:?}"
        );
        for order in &orders {
            assert_eq!(
                world.compensations(order).await.len(),
                1,
                "dying at {step:?}"
            );
        }
        world.until_units(sale, (18, 0, 12)).await;
        let confirmed = ["item.replay", "done", "confirmed"];
        assert_eq!(
            world.audited_items().await,
            [confirmed; 12],
            "dying at {step:?}"
        );
    }
}

/// Breaks when the units are given back without a decision, or the end of what was held is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_order_whose_unit_is_held_gives_it_back_whoever_dies() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "breaks", &repair).await;
    assert_eq!(world.units(sale).await, (9, 1, 0));
    let operation = world.ask_for_all(Kind::Discard, terms(true, 10)).await;
    die_at(Step::GivenUp, &world, &settings).await;
    assert!(!world.archived(&order).await.unwrap().handled);
    assert_eq!(
        world.until_over(operation, &repair).await.state,
        State::Finished
    );
    let row = world.archived(&order).await.unwrap();
    assert_eq!(
        (row.handled, row.held, row.resolution.as_deref()),
        (true, false, Some("discarded"))
    );
    assert_eq!(world.status(&order).await, "failed");
    assert_eq!(world.compensations(&order).await[0].0, "closed");
    assert_eq!(world.counts(operation).await.discarded, 1);
    world.until_units(sale, (10, 0, 0)).await;
}

/// Breaks when the discard of one order ends its item and not its operation, has no line in the audit, or a second one is taken.
#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_discarded_for_good_and_its_operation_is_finished() {
    let (world, sale) = World::open(10).await;
    let orders = many(&world, sale, 1, None).await;
    let (repair, order) = (world.repair_with("").await, &orders[0]);
    let operation = world.ask_for_discard(order).await;
    let id = order.order_id.as_uuid();
    let again = operations::claim_discard(&world.schema.pool, id, "day", "me too").await;
    assert!(
        matches!(&again, Err(ReplayRefused::InHand { operation_id, .. }) if *operation_id == operation),
        "{again:?}"
    );
    world.drive(&repair).await;
    let done = world.operation(operation).await;
    assert_eq!(
        (done.kind, done.state, done.items[0].state.as_str()),
        (Kind::Discard, State::Finished, "discarded")
    );
    assert!(done.finished_at.is_some());
    assert_eq!(
        world.audited_items().await,
        [["item.discard", "done", "discarded"]]
    );
    let row = world.archived(order).await.unwrap();
    assert_eq!(
        (row.handled, row.resolution.as_deref(), row.operation_id),
        (true, Some("discarded"), None)
    );
    assert_eq!(world.status(order).await, "failed");
    world.until_units(sale, (10, 0, 0)).await;
    for late in [
        operations::claim_discard(&world.schema.pool, id, "day", "again").await,
        operations::claim_replay(&world.schema.pool, id, "day", None).await,
    ] {
        assert!(matches!(late, Err(ReplayRefused::AlreadyResolved)));
    }
}

/// Breaks when a process that dies between the decision and the end leaves the units held, or the operation open.
#[tokio::test(flavor = "multi_thread")]
async fn one_held_order_that_is_discarded_gives_its_unit_back_whoever_dies() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "breaks", &repair).await;
    assert_eq!(world.units(sale).await, (9, 1, 0));
    let operation = world.ask_for_discard(&order).await;
    die_at(Step::GivenUp, &world, &settings).await;
    assert!(!world.archived(&order).await.unwrap().handled);
    world.drive(&repair).await;
    assert_eq!(world.operation(operation).await.state, State::Finished);
    let row = world.archived(&order).await.unwrap();
    assert_eq!(
        (row.handled, row.held, row.resolution.as_deref()),
        (true, false, Some("discarded"))
    );
    assert_eq!(world.compensations(&order).await[0].0, "closed");
    assert_eq!(
        world.audited_items().await,
        [["item.discard", "done", "discarded"]]
    );
    world.until_units(sale, (10, 0, 0)).await;
}

/// Breaks when a discard does not look at what the decision under the held gid came to.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_order_that_was_decided_meanwhile_is_not_discarded() {
    let (world, sale) = World::open(10).await;
    let settings = world.settings(
        &[("dlq: { retry_delay", "dlq: { hold_stock: true, retry_delay")],
        BREAKS,
    );
    let repair = world.repair(&settings).await;
    let order = world.failed(sale, "breaks", &repair).await;
    let engine = world.engine();
    assert_eq!(
        engine.submit(order.clone()).await,
        Ok(OrderOutcome::Confirmed)
    );
    engine.drain().await;
    let operation = world.ask_for_all(Kind::Discard, terms(false, 100)).await;
    assert_eq!(
        world.until_over(operation, &repair).await.state,
        State::Finished
    );
    assert_eq!(world.counts(operation).await.refused, 1);
    let row = world.archived(&order).await.unwrap();
    assert_eq!(
        (row.handled, row.resolution.as_deref()),
        (true, Some("confirmed"))
    );
    assert_eq!(world.compensations(&order).await[0].0, "closed");
    world.until_units(sale, (9, 0, 1)).await;
}

/// A single replay under way, and an operation on the same order: it is done once.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_a_single_replays_hands_is_refused_to_an_operation() {
    let (world, sale) = World::open(10).await;
    let orders = many(&world, sale, 2, None).await;
    let repair = world.repair_with("").await;
    let hour = Duration::from_hours(1);
    let waits = Terms::new(500, false, 100, hour).unwrap();
    let operation = world.ask_for_all(Kind::Replay, waits).await;
    repair.operations.run_batch().await.unwrap();
    let single: Uuid = world.ask_for_replay(&orders[0]).await;
    world
        .schema
        .execute("update operations set due_at = utc_timestamp(3), starts_at = utc_timestamp(3) where due_at is not null")
        .await;
    world.until_over(operation, &repair).await;
    let counts = world.counts(operation).await;
    assert_eq!(counts.confirmed + counts.refused, 2, "{counts:?}");
    world.drive(&repair).await;
    let of_single = &world.operation(single).await.items[0];
    assert_eq!(of_single.state, "confirmed");
    for order in &orders {
        assert_eq!(world.status(order).await, "confirmed");
        assert_eq!(world.compensations(order).await.len(), 1);
    }
    world.until_units(sale, (8, 0, 2)).await;
}

/// Breaks when what nobody confirmed is begun, or its end is not written down, or twice, by whichever process sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_discard_nobody_confirms_ends_by_itself_and_is_written_down_once() {
    let (world, sale) = World::open(10).await;
    let orders = many(&world, sale, 2, None).await;
    let operation = world.ask_for_all(Kind::Discard, terms(false, 100)).await;
    world
        .schema
        .execute("update operations set confirm_above = 1")
        .await;
    let (one, two) = (world.repair_with("").await, world.repair_with("").await);
    eventually("it waits", SOON, || async {
        world.round(&one).await;
        (world.operation(operation).await.state == State::Unconfirmed).then_some(())
    })
    .await;
    world
        .schema
        .execute("update operations set created_at = created_at - interval 1 day, due_at = due_at - interval 1 day")
        .await;
    eventually("it has ended", SOON, || async {
        tokio::join!(world.round(&one), world.round(&two));
        (world.operation(operation).await.state == State::Expired).then_some(())
    })
    .await;
    assert_eq!(
        world.audited_items().await,
        [[
            "operation.expire",
            "refused",
            "no second operator confirmed it in time: nothing was done"
        ]]
    );
    for order in &orders {
        assert!(!world.archived(order).await.unwrap().handled);
    }
}
