//! What can never be an order goes to the dead letters with all it came with.

use crate::world::World;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use serde_json::{Value, json};

fn header<'a>(message: &'a OwnedMessage, key: &str) -> &'a [u8] {
    message
        .headers()
        .unwrap()
        .iter()
        .find(|header| header.key == key)
        .and_then(|header| header.value)
        .unwrap_or_else(|| panic!("no {key}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letters_and_the_orders_around_it_are_settled() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    let before = world.publish_new(sale, 20).await;
    let changed = |key: &str, value: Value| {
        let mut order = serde_json::to_value(World::order(sale)).unwrap();
        order[key] = value;
        order.to_string().into_bytes()
    };
    let poison: Vec<Vec<u8>> = vec![
        b"not json \xff".to_vec(),
        changed("quantity", json!(-1)),
        changed("quantity", json!(0)),
        changed("quantity", json!("1")),
        changed("surprise", json!(true)),
        changed("order_id", json!("not-a-uuid")),
        b"[1]".to_vec(),
        Vec::new(),
    ];
    for (number, payload) in poison.iter().enumerate() {
        let headers = OwnedHeaders::new().insert(Header {
            key: "traceparent",
            value: Some(format!("trace-{number}").as_bytes()),
        });
        world
            .publish_raw(&format!("key-{number}"), payload, headers)
            .await;
    }
    let after = world.publish_new(sale, 20).await;
    let consumer = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    consumer.end().await;
    world
        .assert_confirmed_once(sale, &[before, after].concat())
        .await;

    let originals = testkit::kafka::read_all(&world.topics.brokers, &world.topics.orders).await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), poison.len());
    for (number, payload) in poison.iter().enumerate() {
        let key = format!("key-{number}");
        let of_key = |message: &&OwnedMessage| message.key() == Some(key.as_bytes());
        let (original, letter) = (
            originals.iter().find(of_key).unwrap(),
            letters.iter().find(of_key).unwrap(),
        );
        assert_eq!(letter.payload().unwrap_or_default(), payload);
        assert_eq!(
            header(letter, "traceparent"),
            format!("trace-{number}").as_bytes()
        );
        assert_eq!(
            header(letter, "kafka_dlt-original-topic"),
            world.topics.orders.as_bytes()
        );
        assert_eq!(
            header(letter, "kafka_dlt-original-partition"),
            original.partition().to_be_bytes()
        );
        assert_eq!(
            header(letter, "kafka_dlt-original-offset"),
            original.offset().to_be_bytes()
        );
        assert_eq!(
            header(letter, "kafka_dlt-original-timestamp"),
            original.timestamp().to_millis().unwrap().to_be_bytes()
        );
        assert_eq!(
            header(letter, "kafka_dlt-original-timestamp-type"),
            b"CreateTime"
        );
        assert_eq!(
            header(letter, "kafka_dlt-original-consumer-group"),
            world.topics.group.as_bytes()
        );
        assert_eq!(
            header(letter, "kafka_dlt-exception-fqcn"),
            b"ordering::message::BadMessage"
        );
        assert_eq!(
            header(letter, "kafka_dlt-exception-cause-fqcn"),
            b"serde_json::Error"
        );
        for text in [
            "kafka_dlt-exception-message",
            "kafka_dlt-exception-stacktrace",
        ] {
            assert!(header(letter, text).starts_with(b"not an order message: "));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_poison_is_no_reason_to_pause() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    for number in 0..60 {
        world
            .publish_raw(&number.to_string(), b"{}", OwnedHeaders::new())
            .await;
    }
    let orders = world.publish_new(sale, 10).await;
    let consumer = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    consumer.end().await;
    assert_eq!(world.dead_letters().await.len(), 60);
    world.assert_confirmed_once(sale, &orders).await;
}
