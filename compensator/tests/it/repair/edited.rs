//! An order that was edited is tried again as it was edited: what it reserves, what its row says, and what is given back.

use crate::{repair::BREAKS, world::World};
use compensation::{
    archive::versions::{self, Made, NewVersion},
    operations::{self, Kind, State, terms::Terms},
};
use ordering::{Quantity, SaleId, cancel, keys, message::OrderMessage};
use std::time::Duration;
use uuid::Uuid;

/// A sale of which one buyer may have five units.
async fn generous(total: u32) -> (World, SaleId) {
    let (world, sale) = World::open(total).await;
    let in_mysql = "update sales set per_user_limit = 5";
    world.schema.execute(in_mysql).await;
    let in_redis = ["HSET", &keys::stock(sale), "per_user_limit", "5"];
    world.redis.command(&in_redis).await;
    (world, sale)
}

/// The same with so many units, another remark and another price.
fn with_units(order: &OrderMessage, units: u32) -> OrderMessage {
    OrderMessage {
        quantity: Quantity::try_from(units).unwrap(),
        remark: Some("edited".to_owned()),
        price: 5,
        ..order.clone()
    }
}

impl World {
    /// Makes a version of it, as the admin does.
    async fn edit(&self, order: &OrderMessage, edited: &OrderMessage, revision: u32) -> u32 {
        let new = NewVersion {
            archive_id: order.order_id.as_uuid(),
            revision,
            made_from: revision,
            original: &order.to_bytes(),
            payload: &edited.to_bytes(),
            made_by: "night",
            reason: "he wanted more",
        };
        let mut tx = self.schema.pool.begin().await.unwrap();
        let made = versions::make(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        let Made::Now(number) = made else {
            panic!("{made:?}")
        };
        number
    }

    async fn replay_version(&self, order: &OrderMessage, version: u32) -> Uuid {
        let mut tx = self.schema.pool.begin().await.unwrap();
        let id = order.order_id.as_uuid();
        let asked = operations::claim_version_in(&mut tx, id, Some(version), "night", None).await;
        tx.commit().await.unwrap();
        asked.unwrap()
    }

    /// Quantity, price and remark of its row.
    async fn row(&self, order: &OrderMessage) -> (i32, i64, Option<String>) {
        sqlx::query_as("select quantity, price, remark from orders where id = ?")
            .bind(order.order_id)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }
}

/// Breaks when the row keeps what was ordered first: then a cancellation gives back two units of three.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_order_is_confirmed_as_edited_and_gives_all_of_it_back() {
    let (world, sale) = generous(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (10, 0, 0)).await;
    let version = world.edit(&order, &with_units(&order, 3), 0).await;
    let operation = world.replay_version(&order, version).await;
    repair.replays.run_batch().await.unwrap();
    assert_eq!(world.units(sale).await, (7, 3, 0), "three are reserved");
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(world.row(&order).await, (3, 5, Some("edited".to_owned())));
    assert_eq!(world.operation(operation).await.items[0].version, Some(1));
    world.until_units(sale, (7, 0, 3)).await;

    let engine = world.engine();
    cancel::cancel(&world.schema.pool, &engine, order.user_id, order.order_id)
        .await
        .unwrap();
    engine.drain().await;
    world.until_units(sale, (10, 0, 0)).await;
    let sold: i32 = sqlx::query_scalar("select sold from sale_inventory")
        .fetch_one(&world.schema.pool)
        .await
        .unwrap();
    assert_eq!(sold, 0);
}

/// Breaks when a replay that fails too loses what came, or the archive tells other units than were tried.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_order_that_fails_again_keeps_all_versions_and_takes_the_one_that_is_chosen() {
    let (world, sale) = generous(10).await;
    let repair = world
        .repair(&world.settings(
            &[],
            "faults: [\"decide:remark=edited:12\", \"decide:remark=breaks:6\"]\n",
        ))
        .await;
    let order = world.failed(sale, "breaks", &repair).await;
    let version = world.edit(&order, &with_units(&order, 3), 0).await;
    world.replay_version(&order, version).await;
    world.drive(&repair).await;
    let archived = world.archived(&order).await.unwrap();
    assert_eq!(
        (archived.times_archived, archived.quantity, archived.version),
        (2, Some(3), 1)
    );
    assert_eq!(world.status(&order).await, "failed");
    assert_eq!(world.row(&order).await.0, 3);
    let kept = versions::all(&world.schema.pool, archived.id)
        .await
        .unwrap();
    assert_eq!(kept[0].payload, order.to_bytes());
    world.until_units(sale, (10, 0, 0)).await;

    world.replay_version(&order, 0).await;
    world.drive(&repair).await;
    assert_eq!(world.status(&order).await, "confirmed");
    assert_eq!(
        world.row(&order).await,
        (1, order.price, Some("breaks".to_owned()))
    );
    world.until_units(sale, (9, 0, 1)).await;
}

/// Breaks when an operation on many tries an edited order as it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_many_takes_the_newest_version() {
    let (world, sale) = generous(10).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    let first = world.edit(&order, &with_units(&order, 5), 0).await;
    world.edit(&order, &with_units(&order, 2), first).await;
    let terms = Terms::new(500, false, 100, Duration::ZERO).unwrap();
    let operation = world.ask_for_all(Kind::Replay, terms).await;
    assert_eq!(
        world.until_over(operation, &repair).await.state,
        State::Finished
    );
    assert_eq!(world.row(&order).await.0, 2);
    let items = operations::items(&world.schema.pool, operation, None, None, 10)
        .await
        .unwrap();
    assert_eq!(items[0].version, Some(2));
    world.until_units(sale, (8, 0, 2)).await;
}

/// Breaks when an edit asks for more than there is and gets it, or what it had is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_order_that_wants_too_much_is_refused_and_stays_as_it_is() {
    let (world, sale) = generous(2).await;
    let repair = world.repair_with(BREAKS).await;
    let order = world.failed(sale, "breaks", &repair).await;
    world.until_units(sale, (2, 0, 0)).await;
    let version = world.edit(&order, &with_units(&order, 3), 0).await;
    let operation = world.replay_version(&order, version).await;
    world.drive(&repair).await;
    let item = world.operation(operation).await.items.remove(0);
    assert_eq!(
        (item.state.as_str(), item.reason.as_deref()),
        ("refused", Some("insufficient_stock"))
    );
    assert_eq!(world.row(&order).await.0, 1);
    world.until_units(sale, (2, 0, 0)).await;
}
