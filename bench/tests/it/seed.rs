//! Failed work that was made up: consistent while it is there, and gone without a trace.

use bench::seed::{self, Wanted};
use chrono::Utc;
use compensation::{
    archive::{
        self, Counting, Envelope, Kept, Subject, ToArchive,
        groups::{self, Paging, Shown, Sort},
    },
    attempt::History,
    headers::Headers,
    queue,
    state::State,
};
use ordering::message::OrderMessage;
use service_kit::settings::{Environment, Settings};
use sqlx::MySqlPool;
use std::time::Duration;
use uuid::Uuid;

const WANTED: Wanted = Wanted {
    archived: 7_000,
    waiting: 6_000,
    due: 40,
    groups: 60,
    seed: 7,
};

fn quiet(_: &str) {}

async fn really_archived(db: &MySqlPool) -> Uuid {
    let what = ToArchive {
        id: Uuid::now_v7(),
        subject: Subject::Message,
        step: "parse",
        error: "no order".to_owned(),
        history: History::default(),
        payload: b"x".to_vec(),
        headers: Headers::default(),
        envelope: Envelope::default(),
        held: false,
        first_failed_at: Utc::now(),
    };
    let kept = Kept::in_row(&what);
    let mut db = db.acquire().await.unwrap();
    archive::put(&mut db, &what, &kept).await.unwrap();
    what.id
}

async fn number(db: &MySqlPool, text: &'static str) -> i64 {
    sqlx::query_scalar(text).fetch_one(db).await.unwrap()
}

/// What is there, without its times.
async fn rows(db: &MySqlPool) -> Vec<(Uuid, String, bool, Option<Vec<u8>>)> {
    sqlx::query_as("select id, error, handled, message_key from failed_order_archives order by id")
        .fetch_all(db)
        .await
        .unwrap()
}

const WRONG_GROUPS: &str = "select count(*) from failure_groups g left join (select fingerprint, sum(handled = 0) as open_rows, \
    count(*) as all_rows, min(first_failed_at) as first, max(archived_at) as last from failed_order_archives group by fingerprint) r \
    on r.fingerprint = g.fingerprint where not (g.open_rows <=> r.open_rows and g.all_rows <=> r.all_rows \
    and g.first_seen_at <=> r.first and g.last_seen_at <=> r.last)";

/// Breaks when rows are written without their groups' counts, or removed without them.
#[tokio::test]
async fn what_was_made_up_is_counted_can_be_read_and_goes_without_a_trace() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let real = really_archived(db).await;
    let counting = Counting::new(db.clone());
    while counting.run_batch().await.unwrap() > 0 {}
    seed::fill(db, WANTED, quiet).await.unwrap();
    assert_eq!(
        number(db, "select count(*) from failed_order_archives").await,
        7_001
    );
    assert_eq!(counting.run_batch().await.unwrap(), 0, "all are counted");
    assert_eq!(number(db, WRONG_GROUPS).await, 0);
    let paging = Paging {
        after: None,
        limit: 1_000,
    };
    let groups = groups::page(db, Shown::All, Sort::Open, paging)
        .await
        .unwrap();
    assert!(groups.len() > 50, "{} groups", groups.len());
    for (id, ..) in rows(db).await.into_iter().step_by(97) {
        let row = archive::find(db, id).await.unwrap().unwrap();
        assert_eq!(row.fingerprint, Some(row.cause().fingerprint()), "{row:?}");
        let message = archive::message(db, &row).await.unwrap();
        if row.order_id.is_some() {
            let order = OrderMessage::parse(&message.payload).unwrap();
            assert_eq!(Some(order.gid.as_uuid()), row.gid);
        }
    }
    let due = queue::claim_due(db, State::Scheduled, Duration::from_mins(1), 1_000)
        .await
        .unwrap();
    assert_eq!(due.len(), 40);
    for work in &due {
        let order = OrderMessage::parse(&work.payload).unwrap();
        assert_eq!(
            (order.gid.as_uuid(), order.order_id.as_uuid()),
            (work.gid, work.order_id)
        );
    }
    let again = seed::fill(db, WANTED, quiet).await.unwrap_err();
    assert!(again.to_string().contains("--remove"), "{again}");

    let removed = seed::remove(db, quiet).await.unwrap();
    assert_eq!(removed, (7_000, 6_000));
    let left: Vec<Uuid> = rows(db).await.into_iter().map(|row| row.0).collect();
    assert_eq!(left, [real]);
    for nothing in [
        "select count(*) from compensations",
        "select count(*) from compensation_messages",
    ] {
        assert_eq!(number(db, nothing).await, 0, "{nothing}");
    }
    assert_eq!(number(db, "select count(*) from failure_groups").await, 1);
    assert_eq!(number(db, WRONG_GROUPS).await, 0);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_rows() {
    let (one, other) = (
        testkit::mysql::schema().await,
        testkit::mysql::schema().await,
    );
    let few = Wanted {
        archived: 700,
        waiting: 10,
        due: 0,
        ..WANTED
    };
    for schema in [&one, &other] {
        seed::fill(&schema.pool, few, quiet).await.unwrap();
    }
    let (one, other) = (rows(&one.pool).await, rows(&other.pool).await);
    assert_eq!(one, other);
}

#[tokio::test]
async fn production_is_refused_and_so_is_too_much() {
    let production = Settings {
        environment: Environment::Production,
        ..Settings::default()
    };
    let refused = seed::database(&production).await.unwrap_err();
    assert!(refused.to_string().contains("production"), "{refused}");
    let schema = testkit::mysql::schema().await;
    let too_many = Wanted {
        groups: seed::GROUPS_AT_MOST + 1,
        ..WANTED
    };
    let refused = seed::fill(&schema.pool, too_many, quiet).await.unwrap_err();
    assert!(refused.to_string().contains("--groups"), "{refused}");
}
