//! A legal end: whatever happened, this is what must hold once everything is committed.

use super::scenario::{Backlog, POISON};
use crate::world::World;
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};
use std::collections::BTreeSet;

/// How often a message may be on its topic: once more for the one fault.
const COPIES_AT_MOST: usize = 2;

/// Every order is decided once and its units are where MySQL and Redis say they are, nothing is held; what fails alone is handed on
/// as it came and not decided; what is no order is among the dead letters, and every copy tells where it lay. Everything is committed.
pub async fn is_legal(world: &World, backlog: &Backlog) {
    // What a dead process left to the compensator is due now rather than in some seconds.
    world
        .schema
        .execute(
            "update transactions set due_at = utc_timestamp(3) \
             where state in ('begun', 'prepared', 'committing', 'rolling_back') and due_at > utc_timestamp(3)",
        )
        .await;
    world.assert_at_rest(backlog.sale).await;
    world
        .assert_confirmed_once(backlog.sale, &backlog.fine)
        .await;
    let topics = &world.topics;
    let handed_on = testkit::kafka::read_all(&topics.brokers, &topics.compensation).await;
    match &backlog.fails_alone {
        Some(order) => are_copies(
            &handed_on,
            &order.order_id.to_string(),
            &order.to_bytes(),
            &topics.orders,
        ),
        None => assert!(handed_on.is_empty(), "nothing fails alone: {handed_on:?}"),
    }
    let letters = world.dead_letters().await;
    match backlog.poison {
        Some((partition, offset)) => {
            are_copies(&letters, "poison", POISON, &topics.orders);
            for letter in &letters {
                assert_eq!(
                    header(letter, "kafka_dlt-original-partition"),
                    partition.to_be_bytes()
                );
                assert_eq!(
                    header(letter, "kafka_dlt-original-offset"),
                    offset.to_be_bytes()
                );
            }
        }
        None => assert!(letters.is_empty(), "all are orders: {letters:?}"),
    }
}

/// At least one, not many, and all of them the message with where it lay: whoever takes them in takes in one.
fn are_copies(messages: &[OwnedMessage], key: &str, payload: &[u8], topic: &str) {
    assert!(
        (1..=COPIES_AT_MOST).contains(&messages.len()),
        "{} copies of {key}",
        messages.len()
    );
    let places: BTreeSet<_> = messages
        .iter()
        .map(|message| {
            assert_eq!(message.key(), Some(key.as_bytes()));
            assert_eq!(message.payload(), Some(payload));
            assert_eq!(
                header(message, "kafka_dlt-original-topic"),
                topic.as_bytes()
            );
            ["partition", "offset", "timestamp"]
                .map(|part| header(message, &format!("kafka_dlt-original-{part}")).to_vec())
        })
        .collect();
    assert_eq!(places.len(), 1, "copies of {key} tell of different places");
}

fn header<'a>(message: &'a OwnedMessage, key: &str) -> &'a [u8] {
    let headers = message.headers().unwrap();
    let found = headers.iter().find(|header| header.key == key);
    found
        .and_then(|header| header.value)
        .unwrap_or_else(|| panic!("no {key}"))
}
