//! A robot's secret is changed for a new one while alerts go out: whenever the robot changes, none is lost.

use super::{Desk, alert, channels::kinds::in_settings, quick, states};
use chrono::{DateTime, Utc};
use compensation::alerts::Channels;
use service_kit::settings::{ChannelKind, Settings};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tempfile::TempDir;
use testkit::{
    mysql::schema,
    receivers::{DingTalk, Fake, Feishu, Limits, Received, Refusal, Said, Vendor},
    webhooks::Request,
};

const OLD: &str = "SECold-hush";
const NEW: &str = "SECnew-hush";

/// A robot that knows one secret, and later another one.
struct Turned<V> {
    robots: [V; 2],
    known: Arc<AtomicUsize>,
}

impl<V> Turned<V> {
    fn now(&self) -> &V {
        &self.robots[self.known.load(Ordering::Relaxed)]
    }
}

impl<V: Vendor> Vendor for Turned<V> {
    fn target(&self) -> String {
        self.now().target()
    }

    fn read(&self, request: &Request, now: DateTime<Utc>) -> Result<Received, Refusal> {
        self.now().read(request, now)
    }

    fn limits(&self) -> Limits {
        Limits::NONE
    }

    fn taken(&self, received: &Received) -> Said {
        self.now().taken(received)
    }

    fn wordless(&self) -> Said {
        self.now().wordless()
    }

    fn refusal(&self, why: &Refusal) -> Said {
        self.now().refusal(why)
    }
}

async fn fake(kind: ChannelKind, known: &Arc<AtomicUsize>) -> Fake {
    let known = Arc::clone(known);
    if kind == ChannelKind::Dingtalk {
        let robots = [OLD, NEW].map(|secret| DingTalk::new("hush", secret));
        return Fake::start(Turned { robots, known }).await;
    }
    let robots = [OLD, NEW].map(|secret| Feishu::new("hush", secret));
    Fake::start(Turned { robots, known }).await
}

/// Breaks when what is refused for its signature is not sent with the other secret: the channel is broken until the robot has changed, too.
#[tokio::test]
async fn whenever_the_robot_changes_its_secret_nothing_waits() {
    for kind in [ChannelKind::Dingtalk, ChannelKind::Feishu] {
        let known = Arc::new(AtomicUsize::new(0));
        let fake = fake(kind, &known).await;
        let mut settings = Settings::default();
        let both = format!("{NEW} {OLD}");
        settings.alerts.channels = vec![in_settings("en", "ops", kind, &fake.url(), &both)];
        let desk = Desk {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            channels: Channels::from_settings(&settings).unwrap(),
        };
        let courier = desk.courier(quick());
        for (number, secret) in [0, 0, 1, 1].into_iter().enumerate() {
            known.store(secret, Ordering::Relaxed);
            desk.write(&alert(&format!("order-{number}"))).await;
            courier.run_once().await.unwrap();
            let arrived = i64::try_from(number).unwrap() + 1;
            assert_eq!(states(&desk).await, [("delivered", arrived)], "{kind:?}");
        }
        assert_eq!(fake.received().len(), 4, "{kind:?}: each once");
        assert_eq!(fake.refused().len(), 2, "{kind:?}: {:?}", fake.refused());
        let tries: i64 = sqlx::query_scalar("select count(*) from alert_attempts")
            .fetch_one(desk.db())
            .await
            .unwrap();
        assert_eq!(tries, 4, "{kind:?}: one try each");
    }
}
