//! This process as a member of its Kafka group: what is assigned and revoked, and the commits that go with it.
//!
//! Eager rebalancing: whenever a member joins or leaves, all partitions are given up and assigned anew. Cooperative rebalancing
//! would stop only those that move, but with librdkafka 2.12 a member that kept its partitions sometimes fetched nothing from
//! them any more after another had slept and come back (`crashes.rs` has the test). A revoked partition is committed up to its
//! lowest unfinished offset before it is let go; what is still being decided then is decided again by its next holder, to the
//! same outcome.
//!
//! One commit at a time, and none before the last one's answer: the client keeps a commit whose connection broke and sends it once it
//! has found the coordinator again, after those that came later. It would take them back.

use crate::{
    metrics::CONSUMER_LAG,
    offsets::{Offsets, Ticket},
};
use anyhow::ensure;
use metrics::gauge;
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, KafkaResult},
};
use service_kit::{kafka::consumer_config, settings::Settings};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tracing::{debug, info, warn};

/// A consumer that keeps [`Membership`] up to date whenever it is polled.
pub type Member = StreamConsumer<Membership>;

/// What the group gave this process. Cloning shares it.
#[derive(Clone)]
pub struct Membership {
    topic: Arc<str>,
    offsets: Arc<Mutex<Offsets>>,
    /// Held while a commit is under way.
    committing: Arc<Mutex<()>>,
    paused: Arc<AtomicBool>,
    joined: Arc<AtomicBool>,
    reachable: Arc<AtomicBool>,
}

impl Membership {
    /// Joins the group of the settings; nothing happens before the consumer is polled.
    ///
    /// # Errors
    /// When the settings make no consumer.
    pub fn join(settings: &Settings) -> KafkaResult<(Self, Arc<Member>)> {
        let membership = Self {
            topic: settings.kafka.orders_topic.as_str().into(),
            offsets: Arc::default(),
            committing: Arc::default(),
            paused: Arc::default(),
            joined: Arc::default(),
            reachable: Arc::default(),
        };
        let group = &settings.order_consumer;
        let member: Member = consumer_config(
            &settings.kafka.brokers,
            &group.group,
            Some(&group.instance_id),
        )
        .set("partition.assignment.strategy", "roundrobin")
        .set("statistics.interval.ms", "1000")
        .create_with_context(membership.clone())?;
        member.subscribe(&[&settings.kafka.orders_topic])?;
        Ok((membership, Arc::new(member)))
    }

    /// Whether a broker answers and the group has given this process its share. A member for whom no partition is left is
    /// healthy too: its share is empty, and it is ready to take over.
    ///
    /// # Errors
    /// What is missing, in a few words.
    pub fn health(&self) -> anyhow::Result<()> {
        ensure!(
            self.joined.load(Ordering::Relaxed),
            "the group has assigned nothing yet"
        );
        ensure!(self.reachable.load(Ordering::Relaxed), "no broker answers");
        Ok(())
    }

    pub(crate) fn take(&self, partition: i32, offset: i64) -> Option<Ticket> {
        self.offsets().take(partition, offset)
    }

    pub(crate) fn finish(&self, ticket: Ticket) {
        self.offsets().finish(ticket);
    }

    pub(crate) fn is_valid(&self, ticket: Ticket) -> bool {
        self.offsets().is_valid(ticket)
    }

    /// Commits what is due, without waiting; nothing while the last commit is under way. What fails stays due.
    pub(crate) fn commit(&self, member: &Arc<Member>) {
        let is_under_way = self.committing.try_lock().is_err();
        if is_under_way || self.offsets().due().is_empty() {
            return;
        }
        let (membership, member) = (self.clone(), Arc::clone(member));
        tokio::task::spawn_blocking(move || membership.commit_now(&member));
    }

    /// Commits what is due and waits for the answer, and for that of a commit under way. Blocks.
    pub(crate) fn commit_now(&self, member: &Member) {
        let _alone = self.alone();
        let due = self.offsets().due();
        if due.is_empty() {
            return;
        }
        match member.commit(&self.list(due.iter().copied()), CommitMode::Sync) {
            Ok(()) => {
                let mut offsets = self.offsets();
                for (partition, offset) in due {
                    offsets.committed(partition, offset);
                }
            }
            Err(cause) => debug!("Offsets were not committed, they will be again: {cause}"),
        }
    }

    /// Waits until no commit is under way, and keeps others from it.
    fn alone(&self) -> MutexGuard<'_, ()> {
        self.committing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches nothing from now on, from partitions assigned later neither. Polling goes on.
    pub(crate) fn pause(&self, member: &Member) {
        self.paused.store(true, Ordering::SeqCst);
        if let Err(cause) = member.pause(&self.held()) {
            warn!("Intake could not be paused: {cause}");
        }
    }

    /// Fetches again.
    pub(crate) fn resume(&self, member: &Member) {
        self.paused.store(false, Ordering::SeqCst);
        if let Err(cause) = member.resume(&self.held()) {
            warn!("Intake could not be resumed: {cause}");
        }
    }

    fn held(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in self.offsets().partitions() {
            list.add_partition(&self.topic, partition);
        }
        list
    }

    fn list(&self, offsets: impl Iterator<Item = (i32, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            if let Err(cause) =
                list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
            {
                warn!("Offset {offset} of partition {partition} cannot be committed: {cause}");
            }
        }
        list
    }

    fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let _alone = self.alone();
        let due: Vec<(i32, i64)> = {
            let mut offsets = self.offsets();
            let due = partitions
                .iter()
                .filter_map(|partition| Some((*partition, offsets.due_of(*partition)?)))
                .collect();
            for partition in partitions {
                offsets.revoke(*partition);
            }
            due
        };
        // After a lost membership nobody takes the commit; the next holder begins at the last one.
        if !due.is_empty()
            && !consumer.assignment_lost()
            && let Err(cause) = consumer.commit(&self.list(due.into_iter()), CommitMode::Sync)
        {
            warn!(
                "Partitions were let go without a last commit, their next holder repeats a little: {cause}"
            );
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements()
        .iter()
        .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
        .collect()
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let mut offsets = self.offsets();
                for partition in numbers(list) {
                    offsets.assign(partition);
                }
            }
            Rebalance::Revoke(list) => {
                // A partition stays paused in the client when it leaves: back again, it would never be read.
                if self.paused.load(Ordering::SeqCst)
                    && let Err(cause) = consumer.resume(list)
                {
                    warn!("Partitions were let go paused: {cause}");
                }
                self.let_go(consumer, &numbers(list));
            }
            Rebalance::Error(cause) => warn!("Rebalancing failed: {cause}"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if self.paused.load(Ordering::SeqCst)
                    && let Err(cause) = consumer.pause(list)
                {
                    warn!("Newly assigned partitions could not be paused: {cause}");
                }
                self.joined.store(true, Ordering::Relaxed);
                self.reachable.store(true, Ordering::Relaxed);
                info!("Assigned partitions {:?}", numbers(list));
            }
            Rebalance::Revoke(list) => info!("Gave up partitions {:?}", numbers(list)),
            Rebalance::Error(_) => {}
        }
    }
}

impl ClientContext for Membership {
    fn stats(&self, statistics: Statistics) {
        let reachable = statistics
            .brokers
            .values()
            .any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        self.reachable.store(reachable, Ordering::Relaxed);
        let partitions = statistics
            .topics
            .get(&*self.topic)
            .map(|topic| &topic.partitions);
        let offsets = self.offsets();
        let lag: i64 = offsets
            .partitions()
            .filter_map(|held| partitions?.get(&held))
            .map(|partition| match partition.consumer_lag {
                ..0 => (partition.hi_offset - partition.lo_offset).max(0),
                lag => lag,
            })
            .sum();
        gauge!(CONSUMER_LAG).set(lag as f64);
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!("Kafka client, {facility}: {message}");
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        debug!("Kafka client: {cause}: {reason}");
    }
}
