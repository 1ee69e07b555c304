//! Whatever lies on the topics is taken in once, and stops nobody else.

use crate::world::{SOON, World};
use compensation::archive::{self, Archived, Message};
use compensator::repair::Repair;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use testkit::eventually;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Headers = Vec<(&'static str, Option<Vec<u8>>)>;
/// Key, value and headers.
type Laid<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Headers);

impl World {
    /// Puts a message on the dead-letter topic as it is: also without a key, a value, or a header's value.
    async fn lay(&self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &Headers) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.topics.brokers)
            .set("message.max.bytes", "2000000")
            .create()
            .unwrap();
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: value.as_deref(),
                })
            });
        let mut record = FutureRecord::to(&self.topics.dead_letters).headers(headers);
        (record.key, record.payload) = (key, value);
        let sent = producer.send(record, SOON).await;
        sent.map_err(|(cause, _)| cause).unwrap();
    }

    /// Takes in until so many messages are archived that are no orders; what the archive has of them, in the order they came.
    async fn taken_in(&self, repair: Repair, messages: usize) -> Vec<(Archived, Message)> {
        let stop = CancellationToken::new();
        let intake = tokio::spawn(repair.intake.run(stop.clone()));
        let db = &self.schema.pool;
        let ids = eventually("all of it is taken in", SOON, || async {
            let ids: Vec<Uuid> = sqlx::query_scalar(
                "select id from failed_order_archives where order_id is null order by first_failed_at",
            )
            .fetch_all(db)
            .await
            .unwrap();
            (ids.len() >= messages).then_some(ids)
        })
        .await;
        stop.cancel();
        intake.await.unwrap();
        let mut taken = Vec::new();
        for id in ids {
            let row = archive::find(db, id).await.unwrap().unwrap();
            let message = archive::message(db, &row).await.unwrap();
            taken.push((row, message));
        }
        taken
    }
}

fn text(name: &'static str, value: &str) -> (&'static str, Option<Vec<u8>>) {
    (name, Some(value.as_bytes().to_vec()))
}

/// As Spring Kafka's `DeadLetterPublishingRecoverer` writes them for a record of `orders`, partition 3, in its first try.
fn of_spring(offset: i64) -> Headers {
    vec![
        text("kafka_dlt-original-topic", "orders"),
        (
            "kafka_dlt-original-partition",
            Some(3_i32.to_be_bytes().to_vec()),
        ),
        (
            "kafka_dlt-original-offset",
            Some(offset.to_be_bytes().to_vec()),
        ),
        (
            "kafka_dlt-original-timestamp",
            Some(1_780_000_000_123_i64.to_be_bytes().to_vec()),
        ),
        text("kafka_dlt-original-timestamp-type", "CreateTime"),
        text("kafka_dlt-original-consumer-group", "billing"),
        text(
            "kafka_dlt-exception-fqcn",
            "org.springframework.kafka.listener.ListenerExecutionFailedException",
        ),
        text(
            "kafka_dlt-exception-cause-fqcn",
            "java.lang.IllegalStateException",
        ),
        text("kafka_dlt-exception-message", "Listener failed; größe 17"),
        text(
            "kafka_dlt-exception-stacktrace",
            "java.lang.IllegalStateException\n\tat com.example.Billing.on(Billing.java:42)\n",
        ),
    ]
}

/// What its retry topics add when it fails there: the originals are there twice then, the exception's headers once.
fn retried(mut headers: Headers, offset: i64) -> Headers {
    headers.retain(|(name, _)| !name.contains("exception"));
    headers.extend([
        text("kafka_dlt-original-topic", "orders-retry-0"),
        (
            "kafka_dlt-original-partition",
            Some(0_i32.to_be_bytes().to_vec()),
        ),
        (
            "kafka_dlt-original-offset",
            Some(offset.to_be_bytes().to_vec()),
        ),
        (
            "kafka_dlt-original-timestamp",
            Some(1_780_000_009_999_i64.to_be_bytes().to_vec()),
        ),
        ("retry_topic-attempts", Some(2_i32.to_be_bytes().to_vec())),
        text(
            "kafka_dlt-exception-fqcn",
            "java.lang.IllegalStateException",
        ),
        text("kafka_dlt-exception-message", "Listener failed; größe 18"),
    ]);
    headers
}

/// Breaks when a missing value is kept as an empty one, of the message or of a header, and when the key is not kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_spring_writes_is_kept_byte_for_byte_with_key_value_and_repeated_headers() {
    let (world, _) = World::open(10).await;
    let repair = world.repair_with("").await;
    let twice = retried(of_spring(17), 4);
    let odd: Headers = vec![
        ("none", None),
        ("empty", Some(Vec::new())),
        ("bytes", Some(vec![0, 0xff, 0x80])),
        ("kafka_dlt-original-offset", Some(vec![1])),
    ];
    let laid: [Laid<'_>; 4] = [
        (Some(b"\xfe\0k"), Some(b"\xff{"), of_spring(16)),
        (Some(b"17"), None, twice),
        (None, Some(b""), odd),
        (None, None, Vec::new()),
    ];
    for (key, value, headers) in &laid {
        world.lay(*key, *value, headers).await;
    }
    let taken = world.taken_in(repair, laid.len()).await;
    assert_eq!(taken.len(), laid.len());
    for ((key, value, headers), (row, message)) in laid.iter().zip(&taken) {
        assert_eq!(message.key.as_deref(), *key);
        assert_eq!(message.payload, value.unwrap_or_default());
        assert_eq!(message.is_tombstone, value.is_none());
        let expected: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        assert_eq!(message.headers.0, expected);
        assert_eq!(row.step, "parse");
    }
    let [first, second, ..] = taken.as_slice() else {
        unreachable!()
    };
    assert_eq!(first.0.error, "Listener failed; größe 17");
    // The cause's kind, for the outer one wraps everything.
    assert_eq!(
        first.0.error_class.as_deref(),
        Some("java.lang.IllegalStateException")
    );
    assert_eq!(
        second.0.error, "Listener failed; größe 18",
        "the last failure"
    );
    assert_eq!(first.0.fingerprint, second.0.fingerprint, "the same cause");
}

/// Breaks when a message is known by where it lay last, and when headers alone make two messages one.
#[tokio::test(flavor = "multi_thread")]
async fn copies_are_one_wherever_they_lay_since_and_no_headers_hide_another_message() {
    let (world, _) = World::open(10).await;
    let repair = world.repair_with("").await;
    let value = Some(&b"no order"[..]);
    world.lay(None, value, &of_spring(1)).await;
    world.lay(None, value, &of_spring(1)).await;
    // The same one, published again by whoever failed at it again.
    world.lay(None, value, &retried(of_spring(1), 5)).await;
    world.lay(None, value, &retried(of_spring(1), 6)).await;
    // Others: another content, another key, another group that failed at it, no headers at all (twice).
    world.lay(None, Some(b"another"), &of_spring(1)).await;
    world.lay(Some(b"k"), value, &of_spring(1)).await;
    let mut by_another = of_spring(1);
    by_another[5] = text("kafka_dlt-original-consumer-group", "shipping");
    world.lay(None, value, &by_another).await;
    world.lay(None, value, &Vec::new()).await;
    world.lay(None, value, &Vec::new()).await;
    let taken = world.taken_in(repair, 6).await;
    assert_eq!(taken.len(), 6);
}

/// As large as the topic takes: kept whole, while its error is cut to what the row takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_end_is_kept_and_shown_cut() {
    let (world, _) = World::open(10).await;
    let repair = world.repair_with("").await;
    let mut headers = of_spring(1);
    let stack = "\tat com.example.Örders\u{202e}.on\n".repeat(25_000);
    let message = format!("{}{}", "\0\u{202e}", "n".repeat(100_000));
    headers[8] = text("kafka_dlt-exception-message", &message);
    headers[9] = text("kafka_dlt-exception-stacktrace", &stack);
    world.lay(None, Some(b"no order"), &headers).await;
    let taken = world.taken_in(repair, 1).await;
    let (row, message) = &taken[0];
    assert_eq!(row.error.chars().count(), 1_000);
    assert_eq!(
        message.headers.get("kafka_dlt-exception-stacktrace"),
        Some(stack.as_bytes())
    );
    let shown = message.headers.show();
    let (_, shown) = shown.last().unwrap();
    assert!(
        shown.len() < 17_000 && shown.ends_with(&format!("[cut: {} bytes in all]", stack.len()))
    );
    assert!(row.cause().pattern.chars().count() <= 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_order_is_archived_once_as_it_came() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let topic = world.topics.dead_letters.clone();
    let headers = |offset: i64| {
        OwnedHeaders::new()
            .insert(Header {
                key: "kafka_dlt-original-topic",
                value: Some("orders"),
            })
            .insert(Header {
                key: "kafka_dlt-original-partition",
                value: Some(&3_i32.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-original-offset",
                value: Some(&offset.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-original-timestamp",
                value: Some(&7_i64.to_be_bytes()[..]),
            })
            .insert(Header {
                key: "kafka_dlt-exception-message",
                value: Some("no order"),
            })
    };
    for offset in [1, 1, 2] {
        world
            .send(&topic, "k", b"\xff\0 no order", headers(offset))
            .await;
    }
    world
        .send(
            &topic,
            "k",
            br#"{"version": 9, "of": "another system"}"#,
            OwnedHeaders::new(),
        )
        .await;
    let foreign = world.reserve(sale).await;
    world
        .send(&topic, "k", &foreign.to_bytes(), OwnedHeaders::new())
        .await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("all of it is taken in", SOON, || async {
        (world.compensations(&foreign).await.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
    intake.await.unwrap();
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "select error, payload from failed_order_archives where order_id is null order by error, archived_at",
    )
    .fetch_all(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 3, "the copy is not kept twice");
    assert!(
        rows.iter()
            .filter(|(error, payload)| error == "no order" && payload == b"\xff\0 no order")
            .count()
            == 2
    );
    let told: i64 = sqlx::query_scalar(
        "select count(*) from alerts where kind = 'archived' and severity = 'urgent'",
    )
    .fetch_one(&world.schema.pool)
    .await
    .unwrap();
    assert_eq!(told, 3);
    assert_eq!(
        world.compensations(&foreign).await,
        [("dead".to_owned(), 4)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_column_takes_stops_nobody_else() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let order = world.reserve(sale).await;
    let mut odd = serde_json::to_value(&order).unwrap();
    odd["generation"] = 3_000_000_000_u32.into();
    let topic = world.topics.compensation.clone();
    world
        .send(&topic, "k", odd.to_string().as_bytes(), OwnedHeaders::new())
        .await;
    let long = "g".repeat(300);
    let headers = OwnedHeaders::new().insert(Header {
        key: "kafka_dlt-original-consumer-group",
        value: Some(&long),
    });
    world.send(&topic, "k", &order.to_bytes(), headers).await;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(repair.intake.run(stop.clone()));
    eventually("both are taken in", SOON, || async {
        let raw: i64 = sqlx::query_scalar("select count(*) from failed_order_archives")
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();
        (raw == 1 && world.compensations(&order).await.len() == 1).then_some(())
    })
    .await;
    stop.cancel();
    intake.await.unwrap();
}

/// Breaks when whoever adds our header to a message can have it dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_message_is_left_out_only_where_its_work_is_known() {
    let (world, sale) = World::open(10).await;
    let repair = world.repair_with("").await;
    let order = world.reserve(sale).await;
    world.enqueue(&order).await;
    let newer = |gid: Uuid| serde_json::json!({"version": 9, "gid": gid}).to_string();
    let generation = vec![text("generation", "1")];
    let (known, unknown) = (newer(order.gid.as_uuid()), newer(Uuid::now_v7()));
    world.lay(None, Some(known.as_bytes()), &generation).await;
    world.lay(None, Some(unknown.as_bytes()), &generation).await;
    let taken = world.taken_in(repair, 1).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].1.payload, unknown.as_bytes());
}

/// The client library panics at such a name, and the intake died with it. Breaks when a header is read without catching that.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_whose_name_is_not_utf_8_stops_nobody() {
    let (world, _) = World::open(10).await;
    let repair = world.repair_with("").await;
    by_hand::lay(
        &world.topics.brokers,
        &world.topics.dead_letters,
        b"no order",
        &[(b"before", b"1"), (b"\xff\xfe", b"lost"), (b"after", b"2")],
    )
    .await;
    world.lay(None, Some(b"the next"), &Vec::new()).await;
    let taken = world.taken_in(repair, 2).await;
    let odd = taken
        .iter()
        .find(|(_, message)| message.payload == b"no order");
    let (_, message) = odd.unwrap();
    let names: Vec<_> = message
        .headers
        .0
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        ["before", compensation::headers::UNREADABLE, "after"]
    );
    assert_eq!(message.headers.get("after"), Some(&b"2"[..]));
}

/// Kafka's protocol as far as one message needs it: no client lets a header have such a name.
mod by_hand {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    /// Puts a message on partition 0.
    pub async fn lay(broker: &str, topic: &str, value: &[u8], headers: &[(&[u8], &[u8])]) {
        let batch = batch(value, headers);
        let mut request = Vec::new();
        // Produce, version 3; correlation 7; no name, no transaction; all replicas, 10 s; one topic, one partition.
        request.extend([0, 0, 0, 3, 0, 0, 0, 7]);
        request.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        request.extend(10_000_i32.to_be_bytes());
        request.extend(1_i32.to_be_bytes());
        request.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        request.extend(topic.as_bytes());
        request.extend(1_i32.to_be_bytes());
        request.extend(0_i32.to_be_bytes());
        request.extend(size(&batch));
        request.extend(&batch);
        let mut stream = TcpStream::connect(broker).await.unwrap();
        stream.write_all(&size(&request)).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let length = stream.read_i32().await.unwrap();
        let mut answer = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut answer).await.unwrap();
        // Correlation, one topic with its name, one partition with its number; then the error.
        let at = 4 + 4 + 2 + topic.len() + 4 + 4;
        assert_eq!(answer[at..at + 2], [0, 0], "{answer:?}");
    }

    fn batch(value: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut record = vec![0, 0, 0];
        varint(&mut record, -1);
        bytes(&mut record, value);
        varint(&mut record, i64::try_from(headers.len()).unwrap());
        for (name, value) in headers {
            bytes(&mut record, name);
            bytes(&mut record, value);
        }
        let now = chrono::Utc::now().timestamp_millis().to_be_bytes();
        let mut summed = vec![0; 6];
        summed.extend(now);
        summed.extend(now);
        // No producer's id, epoch and sequence; one record.
        summed.extend([0xff; 14]);
        summed.extend(1_i32.to_be_bytes());
        varint(&mut summed, i64::try_from(record.len()).unwrap());
        summed.extend(record);
        let mut after_length = vec![0xff, 0xff, 0xff, 0xff, 2];
        after_length.extend(crc32c(&summed).to_be_bytes());
        after_length.extend(summed);
        let mut batch = vec![0; 8];
        batch.extend(size(&after_length));
        batch.extend(after_length);
        batch
    }

    fn size(of: &[u8]) -> [u8; 4] {
        i32::try_from(of.len()).unwrap().to_be_bytes()
    }

    fn bytes(to: &mut Vec<u8>, value: &[u8]) {
        varint(to, i64::try_from(value.len()).unwrap());
        to.extend(value);
    }

    fn varint(to: &mut Vec<u8>, number: i64) {
        let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while left > 0x7f {
            to.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        to.push(u8::try_from(left).unwrap());
    }

    fn crc32c(of: &[u8]) -> u32 {
        let mut sum = !0_u32;
        for byte in of {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = if sum & 1 == 1 {
                    (sum >> 1) ^ 0x82f6_3b78
                } else {
                    sum >> 1
                };
            }
        }
        !sum
    }
}
