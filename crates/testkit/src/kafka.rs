//! Topics of a test's own on the shared Kafka.

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::OwnedMessage,
};
use service_kit::kafka::{Topic, end_offsets, ensure_topics};
use std::time::Duration;
use uuid::Uuid;

/// Names nobody else uses.
#[derive(Debug, Clone)]
pub struct Topics {
    /// `host:port`.
    pub brokers: String,
    /// Admitted orders, 8 partitions.
    pub orders: String,
    /// Orders that failed alone, 8 partitions.
    pub compensation: String,
    /// Dead letters, 1 partition.
    pub dead_letters: String,
    /// A consumer group.
    pub group: String,
}

/// Makes fresh topics.
pub async fn topics() -> Topics {
    let brokers = super::shared_server("REDRESS_TEST_KAFKA");
    let id = Uuid::new_v4().simple().to_string();
    let topics = Topics {
        orders: format!("orders-{id}"),
        compensation: format!("compensation-{id}"),
        dead_letters: format!("dead-letters-{id}"),
        group: format!("order-consumer-{id}"),
        brokers,
    };
    ensure_topics(
        &topics.brokers,
        &[
            Topic {
                name: &topics.orders,
                partitions: 8,
            },
            Topic {
                name: &topics.compensation,
                partitions: 8,
            },
            Topic {
                name: &topics.dead_letters,
                partitions: 1,
            },
        ],
    )
    .await
    .expect("the test Kafka makes topics");
    topics
}

/// Everything on a topic at this moment, partition by partition.
pub async fn read_all(brokers: &str, topic: &str) -> Vec<OwnedMessage> {
    let ends = end_offsets(brokers, topic)
        .await
        .expect("the test Kafka answers");
    let total = service_kit::kafka::Offsets::default().behind(&ends);
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("group.id", "test-reader")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let metadata = consumer
            .fetch_metadata(Some(&topic), Duration::from_secs(10))
            .expect("metadata");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let mut messages = Vec::new();
        while i64::try_from(messages.len()).expect("a count") < total {
            let message = consumer
                .poll(Duration::from_secs(10))
                .expect("the rest of the topic arrives")
                .expect("a message");
            messages.push(message.detach());
        }
        messages.sort_by_key(|message| (message.partition(), message.offset()));
        messages
    })
    .await
    .expect("the reader ends")
}
