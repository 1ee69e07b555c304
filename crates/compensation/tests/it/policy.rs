//! The retry policy in its table: seeded once, changed one after another, followed by every process.

use compensation::policy::{
    Live, Policy, Terms,
    stored::{self, Changed, ReadError, SETTINGS_FILE},
};
use service_kit::settings::Settings;
use sqlx::MySqlPool;
use testkit::{mysql::Schema, proxy::Proxy};

/// The default policy with this jitter.
fn with_jitter(jitter: f64) -> Policy {
    let mut terms = Terms::of_settings(&Settings::default());
    terms.jitter = jitter;
    Policy::try_from(terms).unwrap()
}

async fn change(db: &MySqlPool, from: u32, jitter: f64) -> Changed {
    let mut db = db.acquire().await.unwrap();
    stored::change(&mut db, from, &with_jitter(jitter), "ann", "why not")
        .await
        .unwrap()
}

fn jitter(live: &Live) -> f64 {
    live.now().terms().jitter
}

/// Breaks when each start writes the settings file over what operators changed.
#[tokio::test]
async fn the_settings_file_rules_at_the_first_start_alone() {
    let schema = testkit::mysql::schema().await;
    assert!(matches!(
        stored::current(&schema.pool).await,
        Err(ReadError::Missing)
    ));
    let lives: Vec<Live> = (0..8)
        .map(|at| Live::new(schema.pool.clone(), with_jitter(f64::from(at) / 10.0)))
        .collect();
    let seeded = futures::future::join_all(lives.iter().map(Live::follow)).await;
    assert!(seeded.iter().all(|it| matches!(it, Ok(1))), "{seeded:?}");
    let first = stored::current(&schema.pool).await.unwrap();
    assert_eq!(first.changed_by, SETTINGS_FILE);
    assert!(lives.iter().all(|live| *live.now() == first.policy));
    assert_eq!(change(&schema.pool, 1, 0.9).await, Changed::Now(2));
    let restarted = Live::new(schema.pool.clone(), with_jitter(0.0));
    assert_eq!(restarted.follow().await.unwrap(), 2);
    assert!((jitter(&restarted) - 0.9).abs() < f64::EPSILON);
}

/// Breaks when a process reads the table at its start alone.
#[tokio::test]
async fn every_process_follows_a_change_and_what_is_rolled_back_never_rules() {
    let schema = testkit::mysql::schema().await;
    let lives = [0.1, 0.2].map(|it| Live::new(schema.pool.clone(), with_jitter(it)));
    for live in &lives {
        live.follow().await.unwrap();
    }
    let mut tx = schema.pool.begin().await.unwrap();
    let done = stored::change(&mut tx, 1, &with_jitter(0.5), "ann", "x").await;
    assert_eq!(done.unwrap(), Changed::Now(2));
    tx.rollback().await.unwrap();
    assert_eq!(change(&schema.pool, 1, 0.7).await, Changed::Now(2));
    for live in &lives {
        assert_eq!(live.follow().await.unwrap(), 2);
        assert!((jitter(live) - 0.7).abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn of_many_changes_made_from_one_version_one_is_made() {
    let schema = testkit::mysql::schema().await;
    stored::seed(&schema.pool, &with_jitter(0.0)).await.unwrap();
    let asked = (1..=8).map(|at| change(&schema.pool, 1, f64::from(at) / 10.0));
    let ended = futures::future::join_all(asked).await;
    let made = ended.iter().filter(|it| **it == Changed::Now(2)).count();
    assert_eq!(made, 1, "{ended:?}");
    assert_eq!(change(&schema.pool, 9, 0.1).await, Changed::Meanwhile);
}

async fn store(schema: &Schema, version: u32, value: &str) {
    sqlx::query(
        "insert into settings values ('retry_policy', ?, ?, 'a newer build', '', utc_timestamp(3))",
    )
    .bind(version)
    .bind(value)
    .execute(&schema.pool)
    .await
    .unwrap();
}

/// Breaks when what cannot be read, or MySQL's silence, takes the policy away.
#[tokio::test]
async fn the_last_good_one_rules_while_mysql_is_away_or_tells_what_cannot_be_read() {
    let schema = testkit::mysql::schema().await;
    let proxy = Proxy::start(schema.address()).await;
    let mut behind = schema.settings.clone();
    behind.port = proxy.address().port();
    let pool = service_kit::mysql::connect(&behind).await.unwrap();
    let live = Live::new(pool, with_jitter(0.1));
    live.follow().await.unwrap();
    assert_eq!(change(&schema.pool, 1, 0.2).await, Changed::Now(2));
    live.follow().await.unwrap();
    proxy.cut();
    assert!(matches!(live.follow().await, Err(ReadError::Database(_))));
    assert!((jitter(&live) - 0.2).abs() < f64::EPSILON);
    proxy.open();
    store(&schema, 3, "{\"from\": \"the future\"}").await;
    assert!(matches!(
        live.follow().await,
        Err(ReadError::Unreadable(3, _))
    ));
    let mut terms = serde_json::to_value(with_jitter(0.2).terms()).unwrap();
    terms["jitter"] = 5.into();
    store(&schema, 4, &terms.to_string()).await;
    assert!(matches!(live.follow().await, Err(ReadError::Bad(4, _))));
    assert!((jitter(&live) - 0.2).abs() < f64::EPSILON);
    assert_eq!(live.version(), 2);
    // A person puts it right.
    assert_eq!(change(&schema.pool, 4, 0.3).await, Changed::Now(5));
    assert_eq!(live.follow().await.unwrap(), 5);
    assert!((jitter(&live) - 0.3).abs() < f64::EPSILON);
}
