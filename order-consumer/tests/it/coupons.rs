//! A service outside has a part in the orders of one sale: `participants` in the settings.

use crate::world::World;
use ordering::{OrderStatus, SaleId};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use std::time::Duration;
use testkit::{
    eventually,
    foreign_participant::{Behaviour, ForeignParticipant, Then},
};

const SOON: Duration = Duration::from_mins(1);

fn with_coupons(sale: SaleId, coupons: &ForeignParticipant) -> String {
    let url = coupons.url();
    format!("participants: [{{ name: coupon, style: tcc, url: \"{url}\", sales: [\"{sale}\"] }}]\n")
}

/// Breaks when the engine asks nobody outside (`OrderWork::foreign` is empty), and when an order without its promise is decided all
/// the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_sales_orders_are_confirmed_with_their_coupons_or_not_at_all() {
    let world = World::open().await;
    let coupons = ForeignParticipant::start().await;
    let (with, without) = (world.sale(30).await, world.sale(30).await);
    coupons.next("try", Behaviour::Refuse("expired"));
    coupons.next("try", Behaviour::Apply(Then::Reset));
    coupons.next("try", Behaviour::Skip(Then::Status(500)));
    // Ten more than there are units: their coupons are given back.
    let orders = world.admit(with, 30).await;
    world.publish_new(with, 10).await;
    world.admit(without, 5).await;
    let process = world.process_with(&with_coupons(with, &coupons));
    world.until_all_committed(&world.topics.group).await;

    let handed_on =
        testkit::kafka::read_all(&world.topics.brokers, &world.topics.compensation).await;
    assert_eq!(handed_on.len(), 2, "two promises never came");
    for message in &handed_on {
        let key = String::from_utf8_lossy(message.key().unwrap()).into_owned();
        world
            .publish_raw(&key, message.payload().unwrap(), OwnedHeaders::new())
            .await;
    }
    eventually("all are decided", SOON, async || {
        let decided = world.count("select count(*) from orders").await;
        (decided == 45).then_some(())
    })
    .await;
    world.until_finished().await;
    drop(process);
    let confirmed = world.orders_with(OrderStatus::Confirmed).await;
    assert_eq!(confirmed.len(), 30 + 5);
    assert_eq!(coupons.broken_rules(), [""; 0]);
    assert_eq!((coupons.used(), coupons.reserved()), (30, 0));
    for order in &orders {
        let used = coupons.used_by(order.gid.as_uuid());
        assert_eq!(used == 1, confirmed.contains(&order.order_id), "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_is_asked_in_the_orders_own_trace() {
    let world = World::open().await;
    let coupons = ForeignParticipant::start().await;
    let sale = world.sale(1).await;
    let order = World::order(sale);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = OwnedHeaders::new().insert(Header {
        key: "traceparent",
        value: Some(trace),
    });
    let key = order.order_id.to_string();
    world.publish_raw(&key, &order.to_bytes(), headers).await;
    let _process = world.process_with(&with_coupons(sale, &coupons));
    let calls = coupons.called("try", 1).await;
    assert_eq!(calls[0].request.header("traceparent"), trace);
    let body: serde_json::Value = serde_json::from_slice(&calls[0].request.body).unwrap();
    assert_eq!(body["order"], order.order_id.to_string());
    assert_eq!(body["units"], 1);
}
