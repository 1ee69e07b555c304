//! Where a topic ends, and how far a group has come.

use anyhow::Context as _;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use std::{collections::BTreeMap, time::Duration};

/// How long the brokers may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The next offset of each partition; a partition that is missing has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<i32, i64>);

impl Offsets {
    /// Whether every partition has come at least as far as in `mark`.
    #[must_use]
    pub fn have_passed(&self, mark: &Self) -> bool {
        mark.0.iter().all(|(partition, end)| {
            *end == 0 || self.0.get(partition).is_some_and(|offset| offset >= end)
        })
    }

    /// How many messages lie between these and `end`, all partitions together.
    #[must_use]
    pub fn behind(&self, end: &Self) -> i64 {
        end.0
            .iter()
            .map(|(partition, end)| {
                (end - self.0.get(partition).copied().unwrap_or_default()).max(0)
            })
            .sum()
    }
}

impl FromIterator<(i32, i64)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (i32, i64)>>(offsets: I) -> Self {
        Self(offsets.into_iter().collect())
    }
}

/// Where each partition of the topic ends now.
///
/// # Errors
/// When the brokers do not answer within 5 s.
pub async fn end_offsets(brokers: &str, topic: &str) -> anyhow::Result<Offsets> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let client = client(&brokers, "offsets-only")?;
        partitions(&client, &topic)?
            .into_iter()
            .map(|partition| {
                Ok((
                    partition,
                    client.fetch_watermarks(&topic, partition, ANSWER_WITHIN)?.1,
                ))
            })
            .collect()
    })
    .await?
}

/// How far the group has committed in each partition of the topic; 0 where it never did.
///
/// # Errors
/// When the brokers do not answer within 5 s.
pub async fn committed_offsets(brokers: &str, group: &str, topic: &str) -> anyhow::Result<Offsets> {
    let (brokers, group, topic) = (brokers.to_owned(), group.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let client = client(&brokers, &group)?;
        let mut list = TopicPartitionList::new();
        for partition in partitions(&client, &topic)? {
            list.add_partition(&topic, partition);
        }
        let committed = client
            .committed_offsets(list, ANSWER_WITHIN)
            .context("Kafka does not tell committed offsets")?;
        Ok(committed
            .elements()
            .iter()
            .map(|element| match element.offset() {
                Offset::Offset(offset) => (element.partition(), offset),
                _ => (element.partition(), 0),
            })
            .collect())
    })
    .await?
}

fn client(brokers: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .context("Kafka settings make no client")
}

fn partitions(client: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = client
        .fetch_metadata(Some(topic), ANSWER_WITHIN)
        .context("Kafka does not answer")?;
    let topic = metadata
        .topics()
        .first()
        .context("Kafka does not know the topic")?;
    Ok(topic
        .partitions()
        .iter()
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_passed_only_by_every_partition() {
        let mark = Offsets::from_iter([(0, 5), (1, 0), (2, 7)]);
        assert!(Offsets::from_iter([(0, 5), (2, 8)]).have_passed(&mark));
        assert!(!Offsets::from_iter([(0, 5), (2, 6)]).have_passed(&mark));
        assert_eq!(Offsets::from_iter([(0, 3)]).behind(&mark), 9);
    }
}
