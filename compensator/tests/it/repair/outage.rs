//! MySQL is away while what failed keeps arriving: none of it is lost, nobody hoards it in memory, and it is drained soon after, beside
//! buyers who go on.
//!
//! Ten seconds of it by default. `REDRESS_OUTAGE=full` is the size that is promised: a minute at 1,000 a second (build with `--release`).

use crate::world::{SOON, World};
use compensator::schedule::Scan as _;
use futures::{StreamExt as _, future::join_all, stream};
use ordering::{OrderOutcome, SaleId, engine::OrderEngine, message::OrderMessage};
use rdkafka::message::{Header, OwnedHeaders};
use service_kit::kafka::Producer;
use std::time::{Duration, Instant};
use testkit::{eventually, process::Process, proxy::Proxy};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// So much more memory may be in use while MySQL is away, whatever is sent: 300 messages that the Kafka client reads ahead and as many in
/// hand, which is 14 MiB here, 4 MiB of one more answer, and a little that a process takes that just lost its sessions.
const MORE_MEMORY: u64 = 22 << 20;
/// The promise.
const DRAINED_WITHIN: Duration = Duration::from_mins(2);
/// How long buyers are alone before.
const AT_REST_S: usize = 6;
/// Reservations made at once.
const AT_ONCE: usize = 100;
const CLOSED: &str = "select count(*) from compensations where state = 'closed'";
/// Messages are sent so often.
const TICK: Duration = Duration::from_millis(20);

struct Size {
    away: Duration,
    a_second: u32,
    /// Of each message, beside its order: a stack trace.
    bytes: usize,
    /// Buyers' orders beside it.
    live_a_second: u32,
    /// A p99 below this is fine, whatever it was before: less says more about the machine than about the drain.
    fine: Duration,
}

impl Size {
    fn asked_for() -> Self {
        if std::env::var("REDRESS_OUTAGE").is_ok_and(|size| size == "full") {
            Self {
                away: Duration::from_mins(1),
                a_second: 1_000,
                bytes: 2 << 10,
                live_a_second: 200,
                fine: Duration::from_millis(100),
            }
        } else {
            Self {
                away: Duration::from_secs(10),
                a_second: 200,
                bytes: 24 << 10,
                live_a_second: 20,
                // A debug build, beside other tests.
                fine: Duration::from_secs(1),
            }
        }
    }

    fn messages(&self) -> usize {
        usize::try_from(self.away.as_secs()).unwrap() * self.a_second as usize
    }

    fn bytes_sent(&self) -> u64 {
        (self.messages() * self.bytes) as u64
    }
}

impl World {
    async fn reserve_many(&self, sale: SaleId, orders: usize) -> Vec<OrderMessage> {
        stream::iter(0..orders)
            .map(|_| self.reserve(sale))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// Hands all of them on, so many a second.
    async fn hand_on_steadily(&self, orders: &[OrderMessage], size: &Size) {
        let producer = Producer::new(&self.topics.brokers).unwrap();
        let stack = "x".repeat(size.bytes);
        let mut ticks = interval(TICK);
        let a_tick = (size.a_second as usize * TICK.as_millis() as usize).div_ceil(1_000);
        for orders in orders.chunks(a_tick) {
            ticks.tick().await;
            let sent = join_all(orders.iter().map(async |order| {
                let headers = OwnedHeaders::new().insert(Header {
                    key: "kafka_dlt-exception-stacktrace",
                    value: Some(&stack),
                });
                let key = order.order_id.to_string();
                producer
                    .send(
                        &self.topics.compensation,
                        key.as_bytes(),
                        &order.to_bytes(),
                        headers,
                    )
                    .await
            }));
            for sent in sent.await {
                sent.unwrap();
            }
        }
    }

    /// Each of so many is confirmed, and has both its tries in its history and in the log.
    async fn has_settled_all(&self, sale: SaleId, sold: usize) {
        let confirmed = sqlx::query_scalar::<_, i64>(
            "select count(*) from orders where status = 'confirmed' and sale_id = ?",
        )
        .bind(sale)
        .fetch_one(&self.schema.pool)
        .await
        .unwrap();
        assert_eq!(usize::try_from(confirmed).unwrap(), sold);
        for complete in [
            "select count(*) from compensations where outcome = 'confirmed' and attempts = 2 and json_length(history) = 2",
            "select count(*) from (select order_id from compensation_logs group by order_id having count(*) = 2) as tried",
        ] {
            assert_eq!(self.count(complete).await, sold, "{complete}");
        }
    }

    /// A look that costs the server nothing, unlike counting: buyers are being timed.
    async fn is_any_open(&self) -> bool {
        self.count(
            "select count(*) from (select 1 from compensations where state in ('scheduled', 'dead', 'archiving', 'held') limit 1) as open",
        )
        .await
            > 0
    }

    async fn count(&self, sql: &'static str) -> usize {
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap();
        usize::try_from(count).unwrap()
    }
}

/// Buyers' orders through an engine of their own until `stop`, so many a second come what may; how long each took from when it was to be
/// sent, sorted.
async fn buy(
    engine: OrderEngine,
    orders: Vec<OrderMessage>,
    a_second: u32,
    stop: CancellationToken,
) -> Vec<Duration> {
    let mut ticks = interval(Duration::from_secs(1) / a_second);
    let mut bought = Vec::new();
    for order in orders {
        if stop.is_cancelled() {
            break;
        }
        let intended = ticks.tick().await;
        let engine = engine.clone();
        bought.push(tokio::spawn(async move {
            assert_eq!(engine.submit(order).await, Ok(OrderOutcome::Confirmed));
            intended.elapsed()
        }));
    }
    let took: Vec<Duration> = join_all(bought)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let ten_seconds = a_second as usize * 10;
    let by_time: Vec<Duration> = took
        .chunks(ten_seconds)
        .map(|part| p99(&sorted(part.to_vec())))
        .collect();
    eprintln!("buyers' p99 of each ten seconds: {by_time:?}");
    sorted(took)
}

fn sorted(mut took: Vec<Duration>) -> Vec<Duration> {
    took.sort_unstable();
    took
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// Breaks when the intake goes on reading while MySQL takes nothing (without `queued.min.messages` the client reads all there is: it counts
/// values, not headers), or commits what MySQL does not have.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_mysql_is_away_is_not_hoarded_not_lost_and_soon_drained() {
    let size = Size::asked_for();
    assert!(
        size.bytes_sent() > MORE_MEMORY * 2,
        "hoarding would not be seen"
    );
    let world = World::closed().await;
    let (sale, bought_in) = (world.sale(1_000_000).await, world.sale(1_000_000).await);
    world.scans().await.fence_watch.run_once().await.unwrap();
    let proxy = Proxy::start(world.schema.address()).await;
    let direct = format!("port: {}", world.schema.settings.port);
    let behind = format!("port: {}", proxy.address().port());
    let yaml = world.yaml_with(&[(&direct, &behind)], "");
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &yaml);
    process.ready(SOON).await;

    let failed = world.reserve_many(sale, size.messages()).await;
    let at_rest = size.live_a_second as usize * AT_REST_S;
    let seconds = usize::try_from(DRAINED_WITHIN.as_secs()).unwrap();
    let (before, meanwhile) = (
        world.reserve_many(bought_in, at_rest).await,
        world
            .reserve_many(bought_in, size.live_a_second as usize * seconds)
            .await,
    );
    let engine = world.engine();
    // One order's batch before: sessions are opened with it.
    let first = world.reserve(bought_in).await;
    assert_eq!(engine.submit(first).await, Ok(OrderOutcome::Confirmed));
    let stop = CancellationToken::new();
    let calm = buy(engine.clone(), before, size.live_a_second, stop.clone()).await;

    let memory_before = process.memory();
    proxy.cut();
    let sending = world.hand_on_steadily(&failed, &size);
    let watching = async {
        let mut most = 0;
        let mut ticks = interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            most = process.memory().max(most);
            if stop.is_cancelled() {
                return most;
            }
        }
    };
    let (most, ()) = futures::join!(watching, async {
        sending.await;
        // As long again as the client takes to read ahead.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
    });
    let more = most.saturating_sub(memory_before);
    eprintln!(
        "{} MiB more memory while MySQL was away and {} MiB were sent",
        more >> 20,
        size.bytes_sent() >> 20
    );
    assert!(more <= MORE_MEMORY, "{more} bytes more in use");
    assert_eq!(
        world.count("select count(*) from compensations").await,
        0,
        "MySQL is away"
    );

    let back = Instant::now();
    proxy.open();
    let stop = CancellationToken::new();
    let buying = tokio::spawn(buy(engine, meanwhile, size.live_a_second, stop.clone()));
    eventually("all of it is drained", DRAINED_WITHIN, || async {
        let settled = !world.is_any_open().await && world.count(CLOSED).await == failed.len();
        settled.then_some(())
    })
    .await;
    let drained = back.elapsed();
    stop.cancel();
    let beside = buying.await.unwrap();
    eprintln!(
        "{} messages in {:?}; drained within {drained:?}; buyers' p99 {:?} before, {:?} meanwhile (p50 {:?}, {:?})",
        failed.len(),
        size.away,
        p99(&calm),
        p99(&beside),
        calm[calm.len() / 2],
        beside[beside.len() / 2],
    );
    world.has_settled_all(sale, failed.len()).await;
    assert!(
        p99(&beside) <= size.fine.max(p99(&calm) * 2),
        "buyers wait for the drain"
    );
    process.end(SOON).await;
}
