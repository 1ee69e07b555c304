//! That no compensator runs is noticed and told by the admin, for nobody else would.

use admin::App;
use compensation::alerts::{Alert, Severity, Spool, raise};
use service_kit::{
    heartbeat::{self, Counted},
    settings::{ChannelKind, ChannelSettings, Secret, Settings},
};
use std::time::Duration;
use testkit::{eventually, mysql::Schema, webhooks::Receiver};
use tokio::time::timeout;

/// Breaks when the alert is written down and not delivered: none arrives. And when a look waits for the slowest receiver, or an admin that
/// begins does not look for what the one before it told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_compensator_that_fell_silent_is_told_of_once_and_that_one_runs_again() {
    let schema = testkit::mysql::schema().await;
    let (receiver, hung) = (Receiver::start().await, Receiver::start().await);
    hung.hang();
    let spool = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.database.mysql = schema.settings.clone();
    settings.alerts.spool = spool.path().to_owned();
    settings.alerts.allow_private = true;
    settings.alerts.channels = [("hung", &hung), ("ops", &receiver)]
        .map(|(name, receiver)| ChannelSettings {
            name: name.to_owned(),
            kind: ChannelKind::Webhook,
            url: Secret::new(receiver.url()),
            ..ChannelSettings::default()
        })
        .to_vec();
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
            let look = timeout(Duration::from_secs(10), admin.look());
            let runs = look.await.expect("it waits for no receiver").unwrap();
            assert!(!runs);
        }
    }
    let told = async |count| {
        eventually("people are told", Duration::from_secs(30), || async {
            (titles(&receiver).len() >= count).then_some(())
        })
        .await;
    };
    told(1).await;
    // While one receiver hangs the other one is told of the next thing.
    let other = Alert::new("system", Severity::Urgent, "other", "Another thing");
    raise(&schema.pool, &Spool::new(spool.path()), &other)
        .await
        .unwrap();
    told(2).await;
    assert_eq!(titles(&receiver), ["No compensator runs", "Another thing"]);
    hung.answer_with(200, &[], "");

    sign(&schema, "two").await;
    for admin in &mut admins {
        assert!(admin.look().await.unwrap());
    }
    let written: Vec<(String, String)> =
        sqlx::query_as("select severity, title from alerts order by created_at, severity desc")
            .fetch_all(&schema.pool)
            .await
            .unwrap();
    let mut expected = vec![
        ("urgent", "No compensator runs"),
        ("urgent", "Another thing"),
        ("info", "A compensator runs"),
    ];
    let shown = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        let own = |(severity, title): &(&str, &str)| ((*severity).to_owned(), (*title).to_owned());
        all.iter().map(own).collect()
    };
    assert_eq!(written, shown(&expected));

    // One tells of the next silence and dies; the next one tells that it is over.
    age(&schema).await;
    assert!(!admins[0].look().await.unwrap());
    drop(admins);
    sign(&schema, "three").await;
    let mut next = app.compensator_watch(&settings).unwrap();
    for _ in 0..2 {
        assert!(next.look().await.unwrap());
    }
    expected.extend([
        ("urgent", "No compensator runs"),
        ("info", "A compensator runs"),
    ]);
    let written: Vec<(String, String)> =
        sqlx::query_as("select severity, title from alerts order by created_at, severity desc")
            .fetch_all(&schema.pool)
            .await
            .unwrap();
    assert_eq!(written, shown(&expected));
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
