//! Making the topics a process needs.

use anyhow::{Context as _, bail};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};
use std::time::Duration;

/// A topic as it is made when it is missing.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions.
    pub partitions: i32,
}

/// Makes the topics that are missing, with the brokers' default replication. Those that are there are left as they are.
///
/// # Errors
/// When the brokers do not answer within 10 s, or refuse.
pub async fn ensure_topics(brokers: &str, topics: &[Topic<'_>]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .context("Kafka settings make no client")?;
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(Duration::from_secs(10)))
        .request_timeout(Some(Duration::from_secs(10)));
    for made in admin
        .create_topics(&wanted, &options)
        .await
        .with_context(|| format!("Kafka at {brokers} does not answer"))?
    {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("Kafka refused to make the topic {topic}: {code}"),
        }
    }
    Ok(())
}
