//! Topics of a test's own on the shared Kafka.

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    message::OwnedMessage,
};
use service_kit::kafka::{Topic, end_offsets, ensure_topics};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// How long the brokers may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Names nobody else uses.
#[derive(Debug, Clone)]
pub struct Topics {
    /// `host:port`.
    pub brokers: String,
    /// Admitted orders, 8 partitions unless fewer were asked for.
    pub orders: String,
    /// Orders that failed alone, as many.
    pub compensation: String,
    /// Dead letters, 1 partition.
    pub dead_letters: String,
    /// A consumer group.
    pub group: String,
}

/// Makes fresh topics.
pub async fn topics() -> Topics {
    topics_of(8).await
}

/// Makes fresh topics, those of orders with so many partitions: fewer where many topics are made.
pub async fn topics_of(partitions: i32) -> Topics {
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
                partitions,
            },
            Topic {
                name: &topics.compensation,
                partitions,
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

/// How far a group has come on some topics, looked at as often as one likes.
#[derive(Clone)]
pub struct Progress {
    client: Arc<BaseConsumer>,
    topics: Arc<[String]>,
}

impl Progress {
    /// Of this group; it is not joined.
    #[must_use]
    pub fn of(brokers: &str, group: &str, topics: &[&str]) -> Self {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        Self {
            client: Arc::new(client),
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        }
    }

    /// How many messages the group has not committed.
    pub async fn behind(&self) -> i64 {
        let Self { client, topics } = self.clone();
        tokio::task::spawn_blocking(move || {
            let behind = topics.iter().map(|topic| behind(&client, topic));
            behind.sum::<KafkaResult<i64>>().expect("Kafka answers")
        })
        .await
        .expect("it does not panic")
    }
}

fn behind(client: &BaseConsumer, topic: &str) -> KafkaResult<i64> {
    let metadata = client.fetch_metadata(Some(topic), ANSWERS_WITHIN)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition(topic, partition.id());
    }
    let committed = client.committed_offsets(list, ANSWERS_WITHIN)?;
    let mut behind = 0;
    for element in committed.elements() {
        let (_, end) = client.fetch_watermarks(topic, element.partition(), ANSWERS_WITHIN)?;
        behind += end - element.offset().to_raw().unwrap_or_default().max(0);
    }
    Ok(behind)
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
