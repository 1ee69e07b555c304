//! Kafka as this system uses it: a producer that knows "surely not sent" from "unknown", consumers that commit by hand, topics,
//! offsets, and the headers of dead letters.

mod breaker;
mod dead_letter;
mod offsets;
mod producer;
mod topics;

pub use breaker::Breaker;
pub use dead_letter::{DeadLetter, Failure, Origin, Original, header_at};
pub use offsets::{Offsets, committed_offsets, end_offsets};
pub use producer::{Producer, SendError};
pub use topics::{Topic, ensure_topics};

use rdkafka::ClientConfig;

/// The header of an order that is handed on: milliseconds for which whoever it failed at asks to be left alone.
pub const RETRY_AFTER_HEADER: &str = "retry-after-ms";

/// A consumer of a group that commits only what it is told to.
///
/// A killed member is missed after 6 s; one that comes back under its `instance_id` takes its partitions back at once. `None`
/// makes a member that is new at every start.
#[must_use]
pub fn consumer_config(brokers: &str, group: &str, instance_id: Option<&str>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.wait.max.ms", "20")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("queued.max.messages.kbytes", "16384");
    if let Some(instance_id) = instance_id.filter(|id| !id.is_empty()) {
        config.set("group.instance.id", instance_id);
    }
    config
}
