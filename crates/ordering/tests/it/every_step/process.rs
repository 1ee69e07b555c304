//! The process whose steps fail: on a thread and a runtime of its own, which end with it, whatever was under way.
//!
//! One thread, so that what is asked at once is one batch in every run.

use super::{
    scenario::{Ask, Scenario},
    stage::{Stage, Ways},
};
use crate::shop::LIMITS;
use coordinator::Pace;
use futures::future::join_all;
use ordering::{
    OrderOutcome,
    engine::{OrderEngine, Recovery},
    foreign::Foreign,
    stock::Stock,
};
use sqlx::mysql::MySqlConnectOptions;
use std::{future::Future, net::SocketAddr, thread::JoinHandle, time::Duration};
use testkit::tap::{Fault, Step, Steps};
use tokio::{runtime::Builder, sync::mpsc, time::sleep};

/// The pause before an ask without an answer is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Asks without an answer before that is a failure: one fault makes a few.
const ASKS_AT_MOST: usize = 50;
/// Connections of the pool beside the engine.
const POOL: u32 = 4;

/// An answer somebody got, by the number of the ask.
pub type Told = (usize, OrderOutcome);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It had done all it was asked for.
    Drained,
    /// It was cut off.
    Died,
}

/// Where its servers are.
struct Servers {
    mysql: MySqlConnectOptions,
    redis: SocketAddr,
    foreign: Foreign,
}

/// An engine and those who ask it: gives their answers as they come. Steps count once it is ready, and these go wrong.
pub async fn of_an_engine(
    stage: &Stage,
    scenario: &Scenario,
    steps: &Steps,
    faults: Vec<(Step, Fault)>,
    asks: Vec<Ask>,
) -> (Ended, Vec<Told>) {
    let (told, mut answers) = mpsc::unbounded_channel();
    let ended = lives(stage, scenario, steps, |servers, steps| async move {
        let stock = servers.stock().await;
        let engine = OrderEngine::start(LIMITS, servers.mysql.clone(), stock, servers.foreign);
        let db = service_kit::mysql::pool(servers.mysql, POOL).lazy();
        steps.count(faults);
        join_all(asks.iter().enumerate().map(async |(number, ask)| {
            let outcome = until_told(ask, &engine, &db).await;
            told.send((number, outcome)).unwrap();
        }))
        .await;
        engine.drain().await;
    })
    .await;
    let mut all = Vec::new();
    while let Ok(one) = answers.try_recv() {
        all.push(one);
    }
    (ended, all)
}

/// Recovery: what is left is due, and completed.
pub async fn of_recovery(
    stage: &Stage,
    scenario: &Scenario,
    steps: &Steps,
    faults: Vec<(Step, Fault)>,
) -> Ended {
    stage.make_due().await;
    lives(stage, scenario, steps, |servers, steps| async move {
        let stock = servers.stock().await;
        let db = service_kit::mysql::pool(servers.mysql, POOL).lazy();
        steps.count(faults);
        let recovery = Recovery::new(db, stock, &servers.foreign, Pace::default());
        // What fails is left to the next process: it would have to wait for a lease.
        if let Err(cause) = recovery.run_batch().await {
            eprintln!("Recovery: {cause}");
        }
        recovery.told().await;
    })
    .await
}

impl Servers {
    async fn stock(&self) -> Stock {
        let url = format!("redis://{}", self.redis);
        Stock::new(service_kit::redis::connect(&url).await.unwrap())
    }
}

/// From its start to its end, by itself or by a fault.
async fn lives<F: Future<Output = ()>>(
    stage: &Stage,
    scenario: &Scenario,
    steps: &Steps,
    life: impl FnOnce(Servers, Steps) -> F + Send + 'static,
) -> Ended {
    let Ways {
        mysql,
        redis,
        coupons,
    } = &stage.ways(steps).await;
    let servers = Servers {
        mysql: service_kit::mysql::options(&stage.shop.schema.settings)
            .host(&mysql.address().ip().to_string())
            .port(mysql.address().port()),
        redis: redis.address(),
        foreign: stage.foreign_at(scenario, coupons.address()),
    };
    let steps = steps.clone();
    let thread = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async {
            tokio::select! {
                biased;
                () = steps.dead() => Ended::Died,
                () = life(servers, steps.clone()) => Ended::Drained,
            }
        });
        runtime.shutdown_background();
        ended
    });
    joined(thread).await
}

async fn joined(thread: JoinHandle<Ended>) -> Ended {
    let joined = tokio::task::spawn_blocking(|| thread.join()).await.unwrap();
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Asks as order-consumer and its successors do.
pub async fn until_told(ask: &Ask, engine: &OrderEngine, db: &sqlx::MySqlPool) -> OrderOutcome {
    let mut why = String::new();
    for _ in 0..ASKS_AT_MOST {
        match ask.once(engine, db).await {
            Ok(outcome) => return outcome,
            Err(cause) => why = cause,
        }
        sleep(AGAIN_AFTER).await;
    }
    panic!("no answer to {ask:?}: {why}");
}
