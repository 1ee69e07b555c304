//! The topics against the orders: every message was settled, what could not be has its dead letter, and every order came from a message.

use crate::{
    checks::Check,
    endpoints::Names,
    failures::Failures,
    kafka::Topics,
    orders::Orders,
    verdict::{Tally, TopicCounts},
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};
use uuid::Uuid;

/// What an order message must have to be one; other fields are its own affair.
#[derive(Deserialize)]
struct OrderOnTopic {
    #[serde(rename = "version")]
    _version: u32,
    order_id: Uuid,
    gid: Uuid,
    generation: u32,
    #[serde(rename = "sale_id")]
    _sale: Uuid,
    #[serde(rename = "user_id")]
    _user: Uuid,
    quantity: u32,
}

/// Where on the orders topic a dead letter says it was.
type Place = (i32, i64);

/// Dead letters of the orders topic: place → digest of their value.
type DeadLetters = HashMap<Place, u64>;

/// Reads the three topics to their ends and compares. Blocks.
///
/// # Errors
/// Kafka stops answering.
pub fn compare(
    topics: &Topics,
    names: &Names,
    orders: &mut Orders,
    failures: &mut Failures,
    tally: &mut Tally,
) -> anyhow::Result<TopicCounts> {
    let mut counts = TopicCounts::default();
    let mut dead = DeadLetters::new();
    let mut buried = HashSet::new();
    let letters = topics.read(&names.dead_letters, |message| {
        let order = parse(message);
        match original_place(message, &names.orders) {
            // A replay's letter still says where its order came from, and is another message.
            Some(place) if order.as_ref().is_none_or(|order| order.generation == 0) => {
                dead.insert(place, digest(message.payload()));
            }
            Some(_) => {}
            None => counts.foreign_dead_letters += 1,
        }
        if let Some(order) = order {
            was_taken_in(&order, &names.dead_letters, failures, tally);
            buried.insert(order.gid);
        } else {
            let archived = failures.has_strange(digest(message.payload()));
            tally.note(Check::DeadLetterArchived, archived, || {
                format!(
                    "dead letter at partition {}, offset {}: no order, and not in the archive",
                    message.partition(),
                    message.offset()
                )
            });
        }
    })?;
    counts.dead_letters = letters.messages;
    if letters.complete {
        for gid in failures.given_up() {
            tally.note(Check::GivenUpIsDeadLetter, buried.contains(&gid), || {
                format!("transaction {gid}: given up without a dead letter")
            });
        }
    }
    let read = topics.read(&names.orders, |message| {
        judge(message, &dead, orders, &mut counts, tally);
    })?;
    counts.orders = read.messages;
    if read.complete {
        orders.all_came_through_topic(tally);
    }
    counts.compensation = topics
        .read(&names.compensation, |message| {
            if let Some(order) = parse(message) {
                was_taken_in(&order, &names.compensation, failures, tally);
                // What is held has no decision, and no row.
                let settled = orders.seen_on_topic(order.order_id) || failures.holds(order.gid);
                tally.note(Check::MessageSettled, settled, || {
                    format!(
                        "order {}: waits on {} and has no row",
                        order.order_id, names.compensation
                    )
                });
            }
        })?
        .messages;
    Ok(counts)
}

fn judge(
    message: &BorrowedMessage<'_>,
    dead: &DeadLetters,
    orders: &mut Orders,
    counts: &mut TopicCounts,
    tally: &mut Tally,
) {
    let place = (message.partition(), message.offset());
    let letter = dead.get(&place);
    if let Some(&letter) = letter {
        tally.note(
            Check::DeadLetterTrue,
            letter == digest(message.payload()),
            || {
                format!(
                    "dead letter of partition {}, offset {}: not the message that is there",
                    place.0, place.1
                )
            },
        );
    }
    let Some(order) = parse(message) else {
        counts.poison += 1;
        tally.note(Check::PoisonHasDeadLetter, letter.is_some(), || {
            format!(
                "partition {}, offset {}: not an order message, and no dead letter",
                place.0, place.1
            )
        });
        return;
    };
    tally.note(
        Check::OneTransaction,
        order.generation != 0 || order.gid == order.order_id,
        || {
            format!(
                "order {}: its message of generation 0 names transaction {}",
                order.order_id, order.gid
            )
        },
    );
    let has_row = orders.seen_on_topic(order.order_id);
    tally.note(Check::MessageSettled, has_row || letter.is_some(), || {
        format!(
            "order {}: published (partition {}, offset {}), but has no row and no dead letter",
            order.order_id, place.0, place.1
        )
    });
}

/// Whoever hands an order on may forget it: from then on it must be known here.
fn was_taken_in(order: &OrderOnTopic, topic: &str, failures: &Failures, tally: &mut Tally) {
    tally.note(Check::HandedOnKept, failures.knows(order.gid), || {
        format!(
            "order {}, transaction {}: on {topic}, and nobody took it in",
            order.order_id, order.gid
        )
    });
}

fn parse(message: &BorrowedMessage<'_>) -> Option<OrderOnTopic> {
    let order: OrderOnTopic = serde_json::from_slice(message.payload()?).ok()?;
    (1..=100).contains(&order.quantity).then_some(order)
}

/// Where the dead letter's message was, if it was on `topic` (big-endian numbers, as Spring writes them).
fn original_place(letter: &BorrowedMessage<'_>, topic: &str) -> Option<Place> {
    let headers = letter.headers()?;
    let find = |name: &str| {
        headers
            .iter()
            .find(|header| header.key == name)
            .and_then(|header| header.value)
    };
    if find("kafka_dlt-original-topic")? != topic.as_bytes() {
        return None;
    }
    let partition = i32::from_be_bytes(find("kafka_dlt-original-partition")?.try_into().ok()?);
    let offset = i64::from_be_bytes(find("kafka_dlt-original-offset")?.try_into().ok()?);
    Some((partition, offset))
}

/// Tells one message from another.
pub fn digest(value: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}
