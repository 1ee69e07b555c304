//! Incidents, on the real server: alerts counted once, whoever dies, and people told what stands.

mod acts;
mod counting;
mod life;
mod over;

use compensation::alerts::{
    Alert, Channels, Folder, Severity,
    incidents::{self, Listed, Sent, Show},
    record,
};
use service_kit::settings::{AlertRoute, ChannelKind, ChannelSettings, Secret, Settings};
use sqlx::MySqlPool;
use std::time::Duration;
use testkit::mysql::{Schema, schema};

struct Desk {
    schema: Schema,
    settings: Settings,
}

impl Desk {
    /// Every incident to the channels `ops` and `chat`.
    async fn new() -> Self {
        Self::with(serde_json::json!([])).await
    }

    async fn with(routes: serde_json::Value) -> Self {
        let mut settings = Settings::default();
        settings.alerts.channels = ["ops", "chat"]
            .map(|name| ChannelSettings {
                name: name.to_owned(),
                kind: ChannelKind::Webhook,
                url: Secret::new("http://127.0.0.1:9/"),
                ..ChannelSettings::default()
            })
            .to_vec();
        settings.alerts.routes = serde_json::from_value::<Vec<AlertRoute>>(routes).unwrap();
        Self {
            schema: schema().await,
            settings,
        }
    }

    fn db(&self) -> &MySqlPool {
        &self.schema.pool
    }

    fn folder(&self) -> Folder {
        let channels = Channels::from_settings(&self.settings).unwrap();
        Folder::new(self.db().clone(), &self.settings.alerts, &channels)
    }

    /// Folds and looks at a time so many minutes from now.
    async fn in_minutes(&self, minutes: u64) {
        let folder = self.folder().ahead(Duration::from_mins(minutes));
        folder.run_once().await.unwrap();
    }

    async fn raise(&self, alert: &Alert) {
        let mut tx = self.db().begin().await.unwrap();
        record(&mut tx, alert).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn incidents(&self, show: Show) -> Vec<Listed> {
        incidents::list(self.db(), show, 100, None).await.unwrap()
    }

    /// The only one there is.
    async fn incident(&self) -> Listed {
        let mut all = self.incidents(Show::Open).await;
        all.extend(self.incidents(Show::Resolved).await);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// What a channel was told of the only incident, in order.
    async fn told(&self, channel: &str) -> Vec<String> {
        let sent = self.sent(&self.incident().await).await;
        let of_it = sent.into_iter().filter(|it| it.channel == channel);
        of_it.map(|it| it.status).rev().collect()
    }

    async fn sent(&self, incident: &Listed) -> Vec<Sent> {
        incidents::deliveries_of(self.db(), incident.id)
            .await
            .unwrap()
    }

    async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(self.db())
            .await
            .unwrap()
    }

    /// The bodies of all notices on a channel, in order.
    async fn bodies(&self, channel: &str) -> Vec<serde_json::Value> {
        let bodies: Vec<String> = sqlx::query_scalar(
            "select body from alert_outbox where channel = ? order by created_at, sequence",
        )
        .bind(channel)
        .fetch_all(self.db())
        .await
        .unwrap();
        let read = |body: &String| serde_json::from_str(body).unwrap();
        bodies.iter().map(read).collect()
    }
}

fn trouble() -> Alert {
    Alert::new(
        "system",
        Severity::Urgent,
        "archive",
        "The archive does not answer",
    )
}

fn well_again() -> Alert {
    Alert::new("system", Severity::Info, "archive", "The archive is back").resolves()
}

/// What a test draws from: the same from the same seed, which `REDRESS_SEED` sets.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn seeded() -> Self {
        let given = std::env::var("REDRESS_SEED");
        let seed = given.map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        Self {
            seed,
            state: seed | 1,
        }
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % bound
    }
}
