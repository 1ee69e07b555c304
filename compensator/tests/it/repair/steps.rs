//! A process that dies at each step in turn: whoever comes next finds what it did, and does the rest once.

use crate::{
    repair::BREAKS,
    repaired::tries,
    world::{SOON, World},
};
use compensation::attempt::Lane;
use compensator::repair::{Observer, Repair, Step};
use ordering::{SaleId, message::OrderMessage};
use rdkafka::message::Message as _;
use std::sync::Arc;
use testkit::eventually;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Runs a compensator that never comes back from `step`, and ends it there.
async fn die_at(step: Step, world: &World) {
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
    let settings = world.settings(&[], BREAKS);
    let Repair {
        intake,
        retry_lane,
        archive_lane,
        replays,
        ..
    } = world.repair_observed(&settings, observer).await;
    let taking_in = tokio::spawn(intake.run(CancellationToken::new()));
    let lanes = async {
        loop {
            world.let_time_pass().await;
            replays.run_batch().await.unwrap();
            retry_lane.run_batch().await.unwrap();
            archive_lane.run_batch().await.unwrap();
        }
    };
    let died = async {
        tokio::select! {
            () = lanes => {}
            () = reached.notified() => {}
        }
    };
    tokio::time::timeout(SOON, died)
        .await
        .unwrap_or_else(|_| panic!("{step:?} was never reached"));
    taking_in.abort();
    let _ = taking_in.await;
    world.let_claims_end().await;
}

async fn until_taken_in(world: &World, order: &OrderMessage) {
    let repair = world.repair_with(BREAKS).await;
    let stop = CancellationToken::new();
    let taking_in = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("it is taken in", SOON, || async {
        (!world.compensations(order).await.is_empty()).then_some(())
    })
    .await;
    stop.cancel();
    taking_in.await.unwrap();
}

/// An order that fails six times, is archived, and replayed; with a process that dies at `step` on the way.
async fn through(step: Step, world: &World, sale: SaleId) {
    let repair = world.repair_with(BREAKS).await;
    let order = world.reserve_with(sale, Some("breaks")).await;
    world.hand_on(&order).await;
    if step == Step::Reserved {
        until_taken_in(world, &order).await;
        world.drive(&repair).await;
        world.ask_for_replay(&order).await;
        die_at(step, world).await;
    } else {
        die_at(step, world).await;
        until_taken_in(world, &order).await;
        world.drive(&repair).await;
        assert_eq!(world.status(&order).await, "failed", "dying at {step:?}");
        world.ask_for_replay(&order).await;
    }
    world.drive(&repair).await;

    assert_eq!(world.status(&order).await, "confirmed", "dying at {step:?}");
    let archived = world.archived(&order).await.unwrap();
    let wanted = (1..=6)
        .map(|number| match number {
            1 => (Lane::First, 0, 1),
            2..=4 => (Lane::Retry, 0, number),
            _ => (Lane::DeadLetter, 0, number),
        })
        .chain([(Lane::Archive, 0, 6), (Lane::Retry, 1, 1)])
        .collect::<Vec<_>>();
    assert_eq!(tries(&archived), wanted, "dying at {step:?}");
    assert_eq!((archived.times_archived, archived.handled), (1, true));
    let logged: i64 =
        sqlx::query_scalar("select count(*) from compensation_logs where order_id = ?")
            .bind(order.order_id)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
    assert_eq!(
        logged,
        i64::try_from(wanted.len()).unwrap(),
        "dying at {step:?}"
    );
    let told = world.alerts(&order.order_id.to_string()).await;
    assert_eq!(told.len(), 3, "dying at {step:?}: {told:?}");
    let key = order.order_id.to_string();
    let letters = world.dead_letters().await;
    let copies = letters
        .iter()
        .filter(|letter| letter.key() == Some(key.as_bytes()))
        .count();
    let at_most = if step == Step::Published { 2 } else { 1 };
    assert!(
        (1..=at_most).contains(&copies),
        "dying at {step:?}: {copies} dead letters"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_leaves_an_order_with_one_history_and_one_end() {
    let (world, sale) = World::open(10).await;
    for step in Step::ALL {
        through(step, &world, sale).await;
    }
    let orders = i64::try_from(Step::ALL.len()).unwrap();
    eventually("Redis agrees", SOON, || async {
        let levels = world.stock.levels(sale).await.ok()??;
        ((levels.available, levels.held, levels.sold) == (10 - orders, 0, orders)).then_some(())
    })
    .await;
    assert_eq!(world.audited_items().await.len(), Step::ALL.len());
}
