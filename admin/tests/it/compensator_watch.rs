//! That no compensator runs is noticed and told by the admin, for nobody else would.

use admin::App;
use service_kit::{
    heartbeat::{self, Counted},
    settings::{ChannelKind, ChannelSettings, Secret, Settings},
};
use testkit::{mysql::Schema, webhooks::Receiver};

/// Breaks when the alert is written down and not delivered: none arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_compensator_that_fell_silent_is_told_of_once_and_that_one_runs_again() {
    let schema = testkit::mysql::schema().await;
    let receiver = Receiver::start().await;
    let spool = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.database.mysql = schema.settings.clone();
    settings.alerts.spool = spool.path().to_owned();
    settings.alerts.allow_private = true;
    settings.alerts.channels = vec![ChannelSettings {
        name: "ops".to_owned(),
        kind: ChannelKind::Webhook,
        url: Secret::new(receiver.url()),
        ..ChannelSettings::default()
    }];
    let app = App::new(&settings);
    let mut admins = [
        app.compensator_watch(&settings).unwrap(),
        app.compensator_watch(&settings).unwrap(),
    ];

    for admin in &mut admins {
        assert!(admin.look().await.unwrap(), "they have only just started");
    }
    sign(&schema, "one").await;
    assert!(admins[0].look().await.unwrap());
    age(&schema).await;
    for _ in 0..2 {
        for admin in &mut admins {
            assert!(!admin.look().await.unwrap());
        }
    }
    assert_eq!(titles(&receiver), ["No compensator runs"]);

    sign(&schema, "two").await;
    for admin in &mut admins {
        assert!(admin.look().await.unwrap());
    }
    let written: Vec<(String, String)> =
        sqlx::query_as("select severity, title from alert_outbox order by created_at, severity")
            .fetch_all(&schema.pool)
            .await
            .unwrap();
    let expected = [
        ("urgent", "No compensator runs"),
        ("info", "A compensator runs"),
    ];
    assert_eq!(
        written,
        expected.map(|(severity, title)| (severity.to_owned(), title.to_owned()))
    );
}

async fn sign(schema: &Schema, instance: &str) {
    let mut db = schema.pool.acquire().await.unwrap();
    heartbeat::give(&mut db, "compensator", instance, &Counted::new())
        .await
        .unwrap();
}

/// As if the last sign were half a minute old, and a little.
async fn age(schema: &Schema) {
    schema
        .execute("update processes set seen_at = seen_at - interval 31 second")
        .await;
}

fn titles(receiver: &Receiver) -> Vec<String> {
    let body = |text: String| -> serde_json::Value { serde_json::from_str(&text).unwrap() };
    receiver
        .requests()
        .iter()
        .map(|request| {
            let body = body(request.text());
            body["data"]["title"]
                .as_str()
                .unwrap_or(&body.to_string())
                .to_owned()
        })
        .collect()
}
