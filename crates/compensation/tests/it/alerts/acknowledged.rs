//! Who acknowledges in the admin is called no more: a receiver that calls people is told, and no other.

use super::{
    alert,
    channels::kinds::{fake, in_settings, secret, url},
    quick,
};
use compensation::alerts::{
    Alert, Channels, Courier, Folder, Spool,
    incidents::{self, Act, Show, act},
    record,
};
use service_kit::settings::{
    ChannelKind::{self, Pagerduty, Webhook},
    Settings,
};
use tempfile::TempDir;
use testkit::{
    mysql::{Schema, schema},
    receivers::{Fake, Mood},
};

/// A channel that calls people, and one that does not.
struct Duty {
    schema: Schema,
    folder: TempDir,
    settings: Settings,
    calls: Fake,
    reads: Fake,
}

impl Duty {
    async fn open() -> Self {
        let (calls, reads) = (fake(Pagerduty).await, fake(Webhook).await);
        let of = |name: &str, kind: ChannelKind, fake: &Fake| {
            in_settings("en", name, kind, &url(kind, fake), secret(kind))
        };
        let mut settings = Settings::default();
        settings.alerts.channels =
            vec![of("calls", Pagerduty, &calls), of("reads", Webhook, &reads)];
        Self {
            schema: schema().await,
            folder: TempDir::new().unwrap(),
            settings,
            calls,
            reads,
        }
    }

    async fn raise(&self, alert: &Alert) {
        let mut tx = self.schema.pool.begin().await.unwrap();
        record(&mut tx, alert).await.unwrap();
        tx.commit().await.unwrap();
        self.fold().await;
    }

    async fn fold(&self) {
        let channels = Channels::from_settings(&self.settings).unwrap();
        let folder = Folder::new(self.schema.pool.clone(), &self.settings.alerts, &channels);
        folder.run_once().await.unwrap();
    }

    async fn send(&self) {
        let channels = Channels::from_settings(&self.settings).unwrap();
        let spool = Spool::new(self.folder.path().join("alerts"));
        let db = self.schema.pool.clone();
        let courier = Courier::with_policy(db, &channels, spool, "test", quick());
        courier.run_once().await.unwrap();
    }

    /// Somebody acknowledges the only incident there is.
    async fn acknowledge(&self) {
        let db = &self.schema.pool;
        let open = incidents::list(db, Show::Open, 10, None).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        act(&mut tx, open[0].id, &Act::Acknowledge, "anna")
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.fold().await;
    }

    /// What who calls people was sent, each with its key.
    fn called(&self) -> Vec<(String, String)> {
        let received = self.calls.received();
        received
            .iter()
            .flat_map(testkit::receivers::Received::each)
            .collect()
    }

    fn called_for(&self) -> Vec<String> {
        self.called()
            .into_iter()
            .map(|(_, status)| status)
            .collect()
    }
}

/// Breaks when an acknowledgement stays in the admin: whoever is on call is called until they acknowledge once more.
#[tokio::test]
async fn who_is_on_call_is_not_called_for_what_somebody_looks_after() {
    let duty = Duty::open().await;
    let trouble = alert("order-1").group("trouble");
    duty.raise(&trouble).await;
    duty.send().await;
    duty.acknowledge().await;
    duty.send().await;
    assert_eq!(duty.called_for(), ["trigger", "acknowledge"]);
    duty.fold().await;
    duty.send().await;
    assert_eq!(duty.called_for(), ["trigger", "acknowledge"], "once");
    duty.raise(&alert("order-1").group("trouble").resolves())
        .await;
    duty.send().await;
    assert_eq!(duty.called_for(), ["trigger", "acknowledge", "resolve"]);
    let keys: std::collections::BTreeSet<_> =
        duty.called().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 1, "all of one incident");
    assert_eq!(
        duty.reads.received().len(),
        2,
        "who calls nobody is told the rest"
    );
    for fake in [&duty.calls, &duty.reads] {
        assert_eq!(fake.refused(), [""; 0]);
    }
}

/// Breaks when the acknowledgement goes instead of a trigger that waits, or before it: the one who calls people drops what it does not know.
#[tokio::test]
async fn what_was_acknowledged_before_it_arrived_is_told_first_and_then_that() {
    let duty = Duty::open().await;
    duty.raise(&alert("order-1").group("trouble")).await;
    duty.calls.be(Mood::Busy);
    duty.send().await;
    duty.acknowledge().await;
    duty.calls.be(Mood::Well);
    let before = duty.calls.received().len();
    testkit::eventually("both have arrived", super::SOON, || async {
        duty.send().await;
        let told = duty.called_for()[before..].to_vec();
        (told == ["trigger", "acknowledge"]).then_some(())
    })
    .await;
}
