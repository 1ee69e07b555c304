//! Reading topics raw, from their beginning, without joining any group.

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use std::{collections::BTreeSet, time::Duration};

/// How long a broker may take for one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that reads, and commits nothing.
pub struct Topics {
    consumer: BaseConsumer,
}

/// How one partition stands with a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The partition.
    pub partition: i32,
    /// Where its next message will be.
    pub end: i64,
    /// Up to where the group has committed; 0 if it never has.
    pub committed: i64,
}

/// What reading a topic to its present end gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicRead {
    /// Messages seen.
    pub messages: u64,
    /// Nothing was deleted from its beginning: these are all there ever were.
    pub complete: bool,
}

impl Topics {
    /// Prepares to read as (but not in) `group`.
    ///
    /// # Errors
    /// The client cannot be made; the broker is not asked yet.
    pub fn new(brokers: &str, group: &str) -> anyhow::Result<Self> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // The end of a partition is told after this long without a message.
            .set("fetch.wait.max.ms", "20")
            .set("auto.offset.reset", "earliest")
            .create()
            .context("cannot make a Kafka client")?;
        Ok(Self { consumer })
    }

    /// How the group stands on each partition of `topic`; nothing when there is no such topic. Blocks.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn progress(&self, topic: &str) -> anyhow::Result<Option<Vec<Progress>>> {
        let Some(partitions) = self.partitions(topic)? else {
            return Ok(None);
        };
        let mut asked = TopicPartitionList::new();
        for &partition in &partitions {
            asked.add_partition(topic, partition);
        }
        let committed = self
            .consumer
            .committed_offsets(asked, PATIENCE)
            .context("cannot read the group's offsets")?;
        committed
            .elements()
            .iter()
            .map(|element| {
                let (_, end) =
                    self.consumer
                        .fetch_watermarks(topic, element.partition(), PATIENCE)?;
                let committed = if let Offset::Offset(offset) = element.offset() {
                    offset
                } else {
                    0
                };
                Ok(Progress {
                    partition: element.partition(),
                    end,
                    committed,
                })
            })
            .collect::<anyhow::Result<_>>()
            .map(Some)
    }

    /// Hands every message of `topic` to `visit`. A topic that does not exist has none. Blocks.
    ///
    /// # Errors
    /// The broker stops answering half-way.
    pub fn read(
        &self,
        topic: &str,
        mut visit: impl FnMut(&BorrowedMessage<'_>),
    ) -> anyhow::Result<TopicRead> {
        let Some(partitions) = self.partitions(topic)? else {
            return Ok(TopicRead {
                messages: 0,
                complete: true,
            });
        };
        let mut read = TopicRead {
            messages: 0,
            complete: true,
        };
        let mut from = TopicPartitionList::new();
        let mut unfinished = BTreeSet::new();
        for partition in partitions {
            let (low, high) = self.consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            read.complete &= low == 0;
            if low < high {
                unfinished.insert(partition);
                from.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        self.consumer.assign(&from)?;
        while !unfinished.is_empty() {
            match self.consumer.poll(PATIENCE) {
                Some(Ok(message)) => {
                    read.messages += 1;
                    visit(&message);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unfinished.remove(&partition);
                }
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BrokerTransportFailure,
                ))) => {} // it reconnects
                Some(Err(cause)) => {
                    return Err(cause).context(format!("cannot read topic {topic}"));
                }
                None => bail!(
                    "topic {topic}: no message for {} s before its end",
                    PATIENCE.as_secs()
                ),
            }
        }
        self.consumer.unassign()?;
        Ok(read)
    }

    /// The topic's partitions, if it exists.
    fn partitions(&self, topic: &str) -> anyhow::Result<Option<Vec<i32>>> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .context("cannot reach Kafka")?;
        let found = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic && found.error().is_none());
        Ok(found
            .map(|found| {
                found
                    .partitions()
                    .iter()
                    .map(rdkafka::metadata::MetadataPartition::id)
                    .collect::<Vec<_>>()
            })
            .filter(|partitions| !partitions.is_empty()))
    }
}
