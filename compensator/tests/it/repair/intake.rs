//! Whatever lies on the topics is taken in once, and stops nobody else.

use crate::world::{SOON, World};
use rdkafka::message::{Header, OwnedHeaders};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_order_is_archived_once_as_it_came() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let topic = world.topics.dead_letters.clone();
    let headers = |offset: i64| {
        OwnedHeaders::new()
            .insert(Header {
                key: "kafka_dlt-original-topic",
                value: Some("orders"),
            })
            .insert(Header {
                key: "kafka_dlt-original-partition",
                value: Some(&3_i32.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-original-offset",
                value: Some(&offset.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-original-timestamp",
                value: Some(&7_i64.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-exception-message",
                value: Some("no order"),
            })
    };
    for offset in [1, 1, 2] {
        world
            .send(&topic, "k", b"\xff\0 no order", headers(offset))
            .await;
    }
    world
        .send(
            &topic,
            "k",
            br#"{"version": 9, "of": "another system"}"#,
            OwnedHeaders::new(),
        )
        .await;
    let foreign = world.reserve(sale).await;
    world
        .send(&topic, "k", &foreign.to_bytes(), OwnedHeaders::new())
        .await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("all of it is taken in", SOON, || async {
        (world.compensations(&foreign).await.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
    intake.await.unwrap();
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "select error, payload from failed_order_archives where order_id is null order by error, archived_at",
    )
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 3, "the copy is not kept twice");
    assert!(
        rows.iter()
            .filter(|(error, payload)| error == "no order" && payload == b"\xff\0 no order")
            .count()
            == 2
    );
    let told: i64 = sqlx::query_scalar(
        "select count(*) from alert_outbox where kind = 'archived' and severity = 'urgent'",
    )
    .fetch_one(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(told, 3);
    assert_eq!(
        world.compensations(&foreign).await,
        [("dead".to_owned(), 4)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_column_takes_stops_nobody_else() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let order = world.reserve(sale).await;
    let mut odd = serde_json::to_value(&order).unwrap();
    odd["generation"] = 3_000_000_000_u32.into();
    let topic = world.topics.compensation.clone();
    world
        .send(&topic, "k", odd.to_string().as_bytes(), OwnedHeaders::new())
        .await;
    let long = "g".repeat(300);
    let headers = OwnedHeaders::new().insert(Header {
        key: "kafka_dlt-original-consumer-group",
        value: Some(&long),
    });
    world.send(&topic, "k", &order.to_bytes(), headers).await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("both are taken in", SOON, || async {
        let raw: i64 = sqlx::query_scalar("select count(*) from failed_order_archives")
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
        (raw == 1 && world.compensations(&order).await.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
    intake.await.unwrap();
}
