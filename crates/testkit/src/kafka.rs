//! Topics of a test's own on the shared Kafka, and what a test asks of it: patiently, for how long a busy broker takes says nothing of
//! the product.

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    message::{OwnedHeaders, OwnedMessage},
    metadata::MetadataPartition,
    producer::{FutureProducer, FutureRecord},
};
use service_kit::kafka::{Offsets, Topic, committed_offsets, end_offsets, ensure_topics};
use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::spawn_blocking, time::sleep};
use uuid::Uuid;

/// How long the brokers may take in all.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// How long one question may take: then it is asked again.
const ONE_ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The pause before it is.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The longest a reader waits for one message before it looks at the clock.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

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
    let wanted = [
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
    ];
    answered("making topics", || ensure_topics(&topics.brokers, &wanted)).await;
    topics
}

/// Asks until the brokers answer.
async fn answered<T, E, F, Fut>(what: &str, mut ask: F) -> T
where
    E: Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + ANSWERS_WITHIN;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(cause) => assert!(Instant::now() < until, "{what}: {cause:?}"),
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// The same of a question that blocks.
async fn answered_blocking<T: Send + 'static>(
    what: &str,
    ask: impl Fn() -> KafkaResult<T> + Clone + Send + 'static,
) -> T {
    answered(what, || {
        let asked = spawn_blocking(ask.clone());
        async { asked.await.expect("it does not panic") }
    })
    .await
}

/// Where each partition of the topic ends now.
pub async fn ends(brokers: &str, topic: &str) -> Offsets {
    answered("the ends of a topic", || end_offsets(brokers, topic)).await
}

/// How far the group has committed in each partition of the topic.
pub async fn committed(brokers: &str, group: &str, topic: &str) -> Offsets {
    answered("a group's offsets", || {
        committed_offsets(brokers, group, topic)
    })
    .await
}

/// Publishes what a test publishes: each message once, and acknowledged. Cloning shares it.
#[derive(Clone)]
pub struct Publisher(FutureProducer);

impl Publisher {
    /// To these brokers.
    #[must_use]
    pub fn of(brokers: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "120000")
            .create();
        Self(producer.expect("a producer"))
    }

    /// Publishes one message and waits for its acknowledgement. Many at once share requests.
    pub async fn send(&self, topic: &str, key: &[u8], payload: &[u8], headers: OwnedHeaders) {
        let record = FutureRecord::to(topic)
            .key(key)
            .payload(payload)
            .headers(headers);
        let sent = self.0.send(record, ANSWERS_WITHIN).await;
        sent.expect("the test Kafka takes the message");
    }
}

fn client(brokers: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer")
}

fn partitions(client: &BaseConsumer, topic: &str) -> KafkaResult<Vec<i32>> {
    let metadata = client.fetch_metadata(Some(topic), ONE_ANSWER_WITHIN)?;
    let partitions = metadata.topics()[0].partitions();
    Ok(partitions.iter().map(MetadataPartition::id).collect())
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
        Self {
            client: Arc::new(client(brokers, group)),
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        }
    }

    /// How many messages the group has not committed.
    pub async fn behind(&self) -> i64 {
        let Self { client, topics } = self.clone();
        answered_blocking("a group's progress", move || {
            topics.iter().map(|topic| behind(&client, topic)).sum()
        })
        .await
    }
}

fn behind(client: &BaseConsumer, topic: &str) -> KafkaResult<i64> {
    let mut list = TopicPartitionList::new();
    for partition in partitions(client, topic)? {
        list.add_partition(topic, partition);
    }
    let committed = client.committed_offsets(list, ONE_ANSWER_WITHIN)?;
    let mut behind = 0;
    for element in committed.elements() {
        let (_, end) = client.fetch_watermarks(topic, element.partition(), ONE_ANSWER_WITHIN)?;
        behind += end - element.offset().to_raw().unwrap_or_default().max(0);
    }
    Ok(behind)
}

/// Everything on a topic at this moment, partition by partition.
pub async fn read_all(brokers: &str, topic: &str) -> Vec<OwnedMessage> {
    let total = Offsets::default().behind(&ends(brokers, topic).await);
    let client = Arc::new(client(brokers, "test-reader"));
    let (asked, name) = (Arc::clone(&client), topic.to_owned());
    let partitions =
        answered_blocking("a topic's partitions", move || partitions(&asked, &name)).await;
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .expect("an offset");
    }
    spawn_blocking(move || {
        client.assign(&list).expect("an assignment");
        let mut messages = Vec::new();
        let mut until = Instant::now() + ANSWERS_WITHIN;
        while i64::try_from(messages.len()).expect("a count") < total {
            // What the client says of a broker that does not answer is no end: it goes on by itself.
            match client.poll(LOOKS_EVERY) {
                Some(Ok(message)) => {
                    messages.push(message.detach());
                    until = Instant::now() + ANSWERS_WITHIN;
                }
                other => assert!(
                    Instant::now() < until,
                    "{} of {total} messages arrive: {:?}",
                    messages.len(),
                    other.and_then(Result::err)
                ),
            }
        }
        messages.sort_by_key(|message| (message.partition(), message.offset()));
        messages
    })
    .await
    .expect("the reader ends")
}
