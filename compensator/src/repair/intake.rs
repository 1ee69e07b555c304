//! Takes in what others handed on: orders that failed alone, from the compensation topic, and whatever lies on the dead-letter
//! topic. An offset is committed once MySQL has what lies below it.
//!
//! An order goes into the retry queue, or is found there; one that only the dead-letter topic knows begins as a dead letter. What
//! is no order is archived as it came. Taken in again it changes nothing.

use super::{Step, Tools, standstill::Standstill, telling, trouble, work_in::FirstTry};
use anyhow::Context as _;
use chrono::{DateTime, Datelike as _, Utc};
use compensation::{
    archive::{self, Envelope, Subject, ToArchive},
    attempt::History,
    headers::Headers,
    queue,
};
use futures::StreamExt as _;
use ordering::message::{BadMessage, OrderMessage};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::BorrowedMessage,
};
use service_kit::{kafka::consumer_config, settings::Settings};
use sha2::{Digest as _, Sha256};
use sqlx::MySqlConnection;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use uuid::Uuid;

/// Messages taken in by one transaction.
const BATCH: usize = 300;
/// What the client reads ahead, in messages: while MySQL is away these, one batch, and what one more answer brings are in memory, and
/// no more. The client's own bound in bytes counts values alone, and what failed has its stack in its headers: a few hundred
/// bytes of value may come with twenty thousand of those.
const READ_AHEAD: &str = "300";
const READ_AHEAD_KB: &str = "4096";
/// One answer of the broker, headers and all.
const ANSWER_AT_MOST_BYTES: &str = "4194304";
/// How soon the client looks again whether there is room: by default a second, in which nothing would be read.
const ROOM_AGAIN_MS: &str = "10";
/// The pause before a batch that MySQL did not take is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Reads both topics until it is stopped.
pub struct Intake {
    consumer: Arc<StreamConsumer>,
    compensation_topic: String,
    dead_letter_topic: String,
    tools: Tools,
}

/// A message of a build newer than this one: whoever wrote it knows better what it means.
#[derive(Debug, thiserror::Error)]
#[error("a message of version {0} waits for a newer build of this process")]
struct Newer(u32);

impl Intake {
    /// It joins the group once it runs.
    ///
    /// # Errors
    /// When the settings make no consumer.
    pub fn new(settings: &Settings, tools: Tools) -> anyhow::Result<Self> {
        let group = &settings.compensator.group;
        let consumer: StreamConsumer = consumer_config(&settings.kafka.brokers, group, None)
            .set("queued.min.messages", READ_AHEAD)
            .set("queued.max.messages.kbytes", READ_AHEAD_KB)
            .set("fetch.max.bytes", ANSWER_AT_MOST_BYTES)
            .set("fetch.queue.backoff.ms", ROOM_AGAIN_MS)
            .create()
            .context("kafka.brokers make no consumer")?;
        let compensation = &settings.compensation;
        Ok(Self {
            consumer: Arc::new(consumer),
            compensation_topic: compensation.topic.clone(),
            dead_letter_topic: compensation.dlq_topic.clone(),
            tools,
        })
    }

    /// Takes messages in until `stop`; the batch in hand is finished first, unless MySQL does not take it.
    pub async fn run(self, stop: CancellationToken) {
        let topics = [&self.compensation_topic[..], &self.dead_letter_topic];
        if let Err(cause) = self.consumer.subscribe(&topics) {
            error!("Nothing that failed is taken in, the topics' names are refused: {cause}");
            return;
        }
        let mut standstill = Standstill::default();
        let mut batches = self.consumer.stream().ready_chunks(BATCH);
        while let Some(Some(batch)) = stop.run_until_cancelled(batches.next()).await {
            let mut messages = Vec::with_capacity(batch.len());
            for message in batch {
                match message {
                    Ok(message) => messages.push(message),
                    Err(cause) => debug!("Kafka client: {cause}"),
                }
            }
            while let Err(cause) = self.take_all(&messages).await {
                standstill.note(&self.tools, &cause).await;
                if stop.run_until_cancelled(sleep(AGAIN_AFTER)).await.is_none() {
                    return;
                }
            }
            standstill.over(&self.tools).await;
            self.tools.passed(Step::TakenIn).await;
            self.commit(&messages).await;
        }
    }

    /// One transaction for all; where a message is in the way of the others, one for each.
    async fn take_all(&self, messages: &[BorrowedMessage<'_>]) -> anyhow::Result<()> {
        let Err(cause) = self.take(messages).await else {
            return Ok(());
        };
        if !is_about_data(&cause) {
            return Err(cause);
        }
        for message in messages {
            match self.take(std::slice::from_ref(message)).await {
                Err(cause) if is_about_data(&cause) => {
                    let mut tx = self.tools.db.begin().await?;
                    let why = format!("it cannot be stored: {cause:#}");
                    self.tools
                        .archive_as_it_came(&mut tx, Came::of(message), &why)
                        .await?;
                    tx.commit().await?;
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    async fn take(&self, messages: &[BorrowedMessage<'_>]) -> anyhow::Result<()> {
        let mut tx = self.tools.db.begin().await?;
        let (failed, dead): (Vec<_>, Vec<_>) = messages
            .iter()
            .partition(|message| message.topic() == self.compensation_topic);
        let mut gathered = Vec::with_capacity(failed.len());
        for message in failed {
            self.take_failed(&mut tx, message, &mut gathered).await?;
        }
        self.tools.take_all_failed(&mut tx, gathered).await?;
        // A dead letter of an order that is taken in beside it is known by now.
        for message in dead {
            self.take_dead_letter(&mut tx, Came::of(message)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Most messages are orders that failed once: they are gathered, and taken in together.
    async fn take_failed(
        &self,
        db: &mut MySqlConnection,
        message: &BorrowedMessage<'_>,
        gathered: &mut Vec<(FirstTry, OrderMessage)>,
    ) -> anyhow::Result<()> {
        let came = Came::of(message);
        match OrderMessage::parse(came.value.as_deref().unwrap_or_default()) {
            Ok(order) => gathered.push((came.first_try(), order)),
            Err(BadMessage::NewerVersion(version)) => return Err(Newer(version).into()),
            Err(cause) => {
                let cause = format!("{:#}", anyhow::Error::new(cause));
                self.tools.archive_as_it_came(db, came, &cause).await?;
            }
        }
        Ok(())
    }

    async fn take_dead_letter(&self, db: &mut MySqlConnection, came: Came) -> anyhow::Result<()> {
        match OrderMessage::parse(came.value.as_deref().unwrap_or_default()) {
            Ok(order) => {
                // Most of what lies there is ours.
                if !queue::is_known(&mut *db, order.gid.as_uuid()).await? {
                    self.tools.take_dead(db, came.first_try(), &order).await?;
                }
                Ok(())
            }
            Err(cause) => {
                // A newer compensator published it, and has it in MySQL.
                let newer = matches!(cause, BadMessage::NewerVersion(_));
                if newer && came.names_known_work(&mut *db).await? {
                    return Ok(());
                }
                let cause = format!("{:#}", anyhow::Error::new(cause));
                self.tools.archive_as_it_came(db, came, &cause).await
            }
        }
    }

    /// Waits for the answer: the client keeps a commit whose connection broke and would send it after the next, which it would take
    /// back. Errors are harmless: what is not committed is taken in again.
    async fn commit(&self, messages: &[BorrowedMessage<'_>]) {
        let mut next = TopicPartitionList::new();
        for message in messages {
            let (topic, partition) = (message.topic(), message.partition());
            let after = Offset::Offset(message.offset() + 1);
            let set = match next.find_partition(topic, partition) {
                Some(mut known) => known.set_offset(after),
                None => next.add_partition_offset(topic, partition, after),
            };
            if let Err(cause) = set {
                error!("Kafka client: {cause}");
            }
        }
        if next.count() == 0 {
            return;
        }
        let consumer = Arc::clone(&self.consumer);
        let committing = move || consumer.commit(&next, CommitMode::Sync);
        match tokio::task::spawn_blocking(committing).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => {
                debug!("Offsets are not committed, their messages are taken in again: {cause}");
            }
            Err(cause) => error!("The commit of offsets did not end: {cause}"),
        }
    }
}

fn is_about_data(cause: &anyhow::Error) -> bool {
    cause.downcast_ref().is_some_and(trouble::is_about_data)
}

/// A message with where and when it lay.
struct Came {
    key: Option<Vec<u8>>,
    /// Nothing is not the same as an empty one.
    value: Option<Vec<u8>>,
    headers: Headers,
    place: String,
    /// As the broker says, whatever it means.
    stamp: Option<i64>,
    at: DateTime<Utc>,
}

impl Came {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let at = message.timestamp().to_millis();
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: Headers::of(message.headers()),
            place: format!(
                "{}/{}/{}",
                message.topic(),
                message.partition(),
                message.offset()
            ),
            stamp: at,
            at: at
                .and_then(DateTime::from_timestamp_millis)
                .filter(|at| (1971..2038).contains(&at.year()))
                .unwrap_or_else(Utc::now),
        }
    }

    /// What went wrong last, as its headers tell; where the value was readable and the key was not, that.
    fn error(&self) -> Option<String> {
        self.told("exception-message")
            .or_else(|| self.told("key-exception-message"))
    }

    /// The kind of error: of its cause, for whoever published it may wrap every error in the same one.
    fn error_class(&self) -> Option<String> {
        [
            "exception-cause-fqcn",
            "exception-fqcn",
            "key-exception-fqcn",
        ]
        .iter()
        .find_map(|name| self.told(name))
    }

    fn told(&self, name: &str) -> Option<String> {
        let told = self.headers.text(&format!("kafka_dlt-{name}"));
        told.filter(|text| !text.is_empty())
    }

    /// The try it tells of, which was another's.
    fn first_try(self) -> FirstTry {
        FirstTry {
            at: self.at,
            worker: self
                .headers
                .text("kafka_dlt-original-consumer-group")
                .unwrap_or_default(),
            error: self.error(),
            payload: self.value.unwrap_or_default(),
            headers: self.headers,
        }
    }

    /// Whether it names a transaction that is worked on, in the one field that every version has.
    async fn names_known_work(&self, db: &mut MySqlConnection) -> sqlx::Result<bool> {
        let value = self.value.as_deref().unwrap_or_default();
        let fields: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
        match fields["gid"].as_str().map(str::parse) {
            Some(Ok(gid)) => queue::is_known(db, gid).await,
            Some(Err(_)) | None => Ok(false),
        }
    }

    /// The same for every copy: where the message lay first, if its headers tell, who failed at it, and what is in it. Who publishes a
    /// message again adds where it lay meanwhile, so the first values count. Without its content anyone's headers could hide another
    /// message.
    fn id(&self) -> Uuid {
        let mut hash = Sha256::new();
        let mut part = |part: Option<&[u8]>| {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        };
        let origin = |name: &str| self.headers.first(&format!("kafka_dlt-original-{name}"));
        let first = ["topic", "partition", "offset", "timestamp"].map(origin);
        if first.iter().all(Option::is_some) {
            first.into_iter().for_each(&mut part);
            part(origin("consumer-group"));
            part(self.key.as_deref());
            part(self.value.as_deref());
        } else {
            let lies = format!("{} {:?}", self.place, self.stamp);
            part(Some(lies.as_bytes()));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        uuid::Builder::from_custom_bytes(id).into_uuid()
    }
}

impl Tools {
    async fn archive_as_it_came(
        &self,
        db: &mut MySqlConnection,
        came: Came,
        cause: &str,
    ) -> anyhow::Result<()> {
        let id = came.id();
        if archive::exists(&mut *db, id).await? {
            return Ok(());
        }
        let error = came.error().unwrap_or_else(|| cause.to_owned());
        let envelope = Envelope {
            is_tombstone: came.value.is_none(),
            error_class: came.error_class(),
            key: came.key,
        };
        let what = ToArchive {
            id,
            subject: Subject::Message,
            step: "parse",
            error: error.clone(),
            history: History::default(),
            first_failed_at: came.at,
            payload: came.value.unwrap_or_default(),
            headers: came.headers,
            envelope,
            held: false,
        };
        let kept = self.store.keep_now(&what).await?;
        archive::put(&mut *db, &what, &kept).await?;
        let alert = telling::no_order(id, what.fingerprint(), &came.place);
        self.tell(db, &alert).await?;
        error!(archive.id = %id, "The message at {} is no order, it was archived: {}", came.place, telling::shown(&error));
        Ok(())
    }
}
