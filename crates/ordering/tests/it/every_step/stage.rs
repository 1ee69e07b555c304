//! The servers of some cases, one after another, and the processes beside the one whose steps fail: an engine, and recovery.

use super::scenario::Scenario;
use crate::shop::{LIMITS, Shop};
use coordinator::Pace;
use ordering::{
    engine::{OrderEngine, Recovery},
    foreign::Foreign,
};
use redis::aio::MultiplexedConnection;
use service_kit::settings::{ParticipantSales, ParticipantSettings, ParticipantStyle, Secret};
use std::{collections::HashMap, fs, net::SocketAddr, path::Path, time::Duration};
use testkit::{
    eventually,
    foreign_participant::ForeignParticipant,
    tap::{Steps, Tap},
};

/// How long recovery may take for all that is left.
const RECOVERS_WITHIN: Duration = Duration::from_mins(1);

pub struct Stage {
    pub shop: Shop,
    pub coupons: ForeignParticipant,
    /// What the test itself asks of Redis.
    pub redis: MultiplexedConnection,
    alone: OrderEngine,
    with_coupons: OrderEngine,
    recovery: Recovery,
    scripts: HashMap<String, String>,
}

/// How a process reaches its servers, over taps.
pub struct Ways {
    pub mysql: Tap,
    pub redis: Tap,
    pub coupons: Tap,
}

impl Stage {
    pub async fn open() -> Self {
        let shop = Shop::open().await;
        let coupons = ForeignParticipant::start().await;
        let foreign = foreign(Some(coupons.url()));
        let engine = |foreign| {
            let mysql = service_kit::mysql::options(&shop.schema.settings);
            OrderEngine::start(LIMITS, mysql, shop.stock.clone(), foreign)
        };
        let recovery = Recovery::new(
            shop.schema.pool.clone(),
            shop.stock.clone(),
            &foreign,
            Pace::default(),
        );
        Self {
            alone: engine(Foreign::default()),
            with_coupons: engine(foreign),
            redis: shop.redis.connection().await,
            shop,
            coupons,
            recovery,
            scripts: scripts(),
        }
    }

    /// That of another process, which is there all the time.
    pub const fn engine(&self, scenario: &Scenario) -> &OrderEngine {
        if scenario.is_outside {
            &self.with_coupons
        } else {
            &self.alone
        }
    }

    /// New ones for one process.
    pub async fn ways(&self, steps: &Steps) -> Ways {
        let scripts = self.scripts.clone();
        let redis: SocketAddr = ([127, 0, 0, 1], self.shop.redis.port()).into();
        Ways {
            mysql: Tap::mysql(self.shop.mysql_address(), steps).await,
            redis: Tap::redis(redis, steps, move |digest| scripts.get(digest).cloned()).await,
            coupons: Tap::http(self.coupons_address(), "coupons", steps).await,
        }
    }

    /// The participants of a process for which the coupon service is there.
    pub fn foreign_at(&self, scenario: &Scenario, address: SocketAddr) -> Foreign {
        let its_own = self.coupons_address().to_string();
        let url = self.coupons.url().replace(&its_own, &address.to_string());
        foreign(scenario.is_outside.then_some(url))
    }

    fn coupons_address(&self) -> SocketAddr {
        let url = self.coupons.url();
        let rest = url.strip_prefix("http://").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// What is unfinished is due now rather than in some seconds, and what is undecided overdue.
    pub async fn make_due(&self) {
        self.shop
            .execute(
                "update transactions set due_at = utc_timestamp(3) \
                 where state in ('begun', 'prepared', 'committing', 'rolling_back') and due_at > utc_timestamp(3)",
            )
            .await;
    }

    /// All that the product does about what was left behind: what is overdue is decided, what was decided is completed.
    pub async fn recover(&self) {
        eventually("every transaction is finished", RECOVERS_WITHIN, || async {
            if self.shop.unfinished().await == 0 {
                return Some(());
            }
            self.make_due().await;
            for order in self
                .recovery
                .overdue(Duration::from_secs(1), 100)
                .await
                .unwrap()
            {
                // If it cannot be decided, it is overdue again.
                let _ = self.with_coupons.submit(order).await;
            }
            self.recovery.run_batch().await.unwrap();
            self.recovery.told().await;
            (self.shop.unfinished().await == 0).then_some(())
        })
        .await;
    }
}

fn foreign(url: Option<String>) -> Foreign {
    let coupons = url.map(|url| ParticipantSettings {
        name: "coupon".to_owned(),
        style: ParticipantStyle::Tcc,
        url: Secret::new(url),
        sales: ParticipantSales::All,
        timeout_ms: 2_000,
        in_flight: 64,
        // One that is left alone for a while has tests of its own.
        breaker_failures: 1_000,
        allow_private: true,
    });
    Foreign::from_settings(&Vec::from_iter(coupons)).unwrap()
}

/// The names of all scripts by their digests, from their files: a new one is known at once.
fn scripts() -> HashMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lua");
    let prelude = fs::read_to_string(folder.join("prelude.lua")).unwrap();
    let mut scripts = HashMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let code = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for first in ["#!lua", "#!lua flags=allow-oom"] {
            let script = redis::Script::new(&format!("{first}\n{prelude}{code}"));
            scripts.insert(script.get_hash().to_owned(), name.clone());
        }
    }
    scripts
}
