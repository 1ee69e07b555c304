//! The messages of what waits, which lie in a table of their own: with their work or not at all.

use super::{LEASE, claim, claim_turn, enqueue, settle, stored, work};
use compensation::{
    attempt::History,
    headers::Headers,
    queue::{self, NewWork, Outcome, Turn},
    state::State,
};
use sqlx::Executor as _;
use std::time::Duration;
use testkit::mysql::Schema;
use uuid::Uuid;

/// How much work there is, how many messages, and how much has one that is its own.
pub async fn rows(schema: &Schema) -> (i64, i64, i64) {
    sqlx::query_as(
        "select (select count(*) from compensations), (select count(*) from compensation_messages),
                (select count(distinct id) from compensations join compensation_messages on id = message_id)",
    )
    .fetch_one(&schema.pool)
    .await
    .unwrap()
}

/// As if the process died between the two tables, or before its commit: breaks when one of them is written outside the caller's
/// transaction.
#[tokio::test]
async fn work_and_its_message_are_there_together_or_not_at_all() {
    let schema = testkit::mysql::schema().await;
    let (one, many) = (work(Uuid::now_v7()), [(); 3].map(|()| work(Uuid::now_v7())));
    let mut tx = schema.pool.begin().await.unwrap();
    assert!(queue::enqueue(&mut tx, &one).await.unwrap());
    assert!(queue::enqueue_all(&mut tx, &many).await.unwrap());
    tx.rollback().await.unwrap();
    assert_eq!(rows(&schema).await, (0, 0, 0));
    schema
        .execute("alter table compensation_messages add constraint refused check (length(payload) < 100)")
        .await;
    let refused = NewWork {
        payload: vec![b'x'; 100],
        ..work(Uuid::now_v7())
    };
    let mut tx = schema.pool.begin().await.unwrap();
    assert!(queue::enqueue(&mut tx, &one).await.unwrap());
    assert!(queue::enqueue(&mut tx, &refused).await.is_err());
    drop(tx);
    assert_eq!(rows(&schema).await, (0, 0, 0));
}

/// Breaks when the message is written before it is told whether its work is known: it would stay behind.
#[tokio::test]
async fn what_comes_again_leaves_no_message_behind() {
    let schema = testkit::mysql::schema().await;
    let known = work(Uuid::now_v7());
    assert!(enqueue(&schema.pool, &known).await);
    let mut tx = schema.pool.begin().await.unwrap();
    let again = [work(Uuid::now_v7()), known.clone()];
    assert!(!queue::enqueue_all(&mut tx, &again).await.unwrap());
    for (work, is_new) in again.iter().zip([true, false]) {
        assert_eq!(queue::enqueue(&mut tx, work).await.unwrap(), is_new);
    }
    tx.commit().await.unwrap();
    assert_eq!(rows(&schema).await, (2, 2, 2));
}

/// Nobody should ever see it; breaks when one of a batch holds up the others.
#[tokio::test]
async fn work_that_lost_its_message_is_left_and_the_rest_goes_on() {
    let schema = testkit::mysql::schema().await;
    let (lost, other) = (work(Uuid::now_v7()), work(Uuid::now_v7()));
    for work in [&lost, &other] {
        enqueue(&schema.pool, work).await;
    }
    sqlx::query("delete from compensation_messages where id = (select message_id from compensations where gid = ?)")
        .bind(lost.gid)
        .execute(&schema.pool)
        .await
        .unwrap();
    let claimed = claim(&schema, LEASE).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].gid, other.gid);
    let open = queue::open_among(&schema.pool, &[lost.gid]).await.unwrap();
    assert!(open.contains(&lost.gid), "it is held, and not forgotten");
}

/// Breaks when only one of the two tables is cleared, or when those who do so at once remove or count something twice.
#[tokio::test]
async fn what_was_closed_long_ago_goes_with_its_message_and_nothing_else_does() {
    let schema = testkit::mysql::schema().await;
    for _ in 0..9 {
        enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    }
    let closed = Outcome::Settled("confirmed".to_owned());
    for work in claim_turn(&schema, Turn::Own, 7).await {
        assert!(settle(&schema, &work, &closed).await.unwrap());
    }
    let day = Duration::from_hours(24);
    let remove = async || queue::remove_closed(&schema.pool, day, 2).await.unwrap();
    assert_eq!(remove().await, 0, "nothing is old");
    schema
        .execute(
            "update compensations set due_at = due_at - interval 25 hour, closed_at = closed_at - interval 25 hour
             order by gid limit 8",
        )
        .await;
    let old: i64 = sqlx::query_scalar(
        "select count(*) from compensations where state = 'closed' and closed_at < utc_timestamp(3) - interval 24 hour",
    )
    .fetch_one(&schema.pool)
    .await
    .unwrap();
    assert!(old >= 6, "{old}");
    let at_once = futures::future::join_all((0..3).map(|_| remove())).await;
    let mut removed: u64 = at_once.into_iter().sum();
    loop {
        match remove().await {
            0 => break,
            some => removed += some,
        }
    }
    assert_eq!(removed, u64::try_from(old).unwrap());
    assert_eq!(rows(&schema).await, (9 - old, 9 - old, 9 - old));
}

/// Breaks when what is held for a sale is listed without its message, or with another's.
#[tokio::test]
async fn open_work_of_a_sale_comes_with_its_messages_page_by_page() {
    let schema = testkit::mysql::schema().await;
    let sale_id = Uuid::now_v7();
    let mut new: Vec<NewWork> = (0..7_u8)
        .map(|at| NewWork {
            sale_id,
            payload: vec![at],
            ..work(Uuid::now_v7())
        })
        .collect();
    // Messages come in another order than their transactions'.
    new.reverse();
    let mut tx = schema.pool.begin().await.unwrap();
    assert!(queue::enqueue_all(&mut tx, &new).await.unwrap());
    tx.commit().await.unwrap();
    enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    schema
        .execute(
            "update compensations as open join compensation_messages as came on came.id = open.message_id \
             set open.state = elt(1 + mod(ascii(came.payload), 4), 'scheduled', 'dead', 'archiving', 'held') \
             where length(came.payload) = 1",
        )
        .await;
    let mut db = schema.pool.acquire().await.unwrap();
    let (mut found, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let page = queue::open_of_sale(&mut db, sale_id, after, 3)
            .await
            .unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        found.extend(page);
    }
    new.reverse();
    let expected: Vec<(Uuid, Vec<u8>)> = new
        .into_iter()
        .map(|work| (work.gid, work.payload))
        .collect();
    assert_eq!(found, expected);
}

/// The schema as it was, with work in every state, brought up to date by the step itself. Breaks when a message is left behind, comes to
/// another row, or is changed on its way.
#[tokio::test]
async fn work_from_before_keeps_its_message() {
    let schema = testkit::mysql::schema().await;
    schema
        .execute(
            "drop table compensation_messages;
             alter table compensations drop column message_id, drop column is_claimed, modify column claim binary(16) null,
             add column payload mediumblob not null, add column headers mediumtext not null",
        )
        .await;
    let odd = r#"[["\"quoted\" \\ ü 🦀","AP8="],["none",null]]"#;
    for (at, state) in State::ALL.into_iter().enumerate() {
        let gid = Uuid::now_v7();
        sqlx::query(
            "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, claim, payload, \
             headers, history, created_at)
             values (?, 'order', ?, 0, ?, ?, ?, 1, utc_timestamp(3), if(? < 3, null, repeat('c', 16)), ?, ?, '[]', utc_timestamp(3))",
        )
        .bind(gid)
        .bind(gid)
        .bind(gid)
        .bind(gid)
        .bind(state.as_str())
        .bind(u32::try_from(at).unwrap())
        .bind(vec![u8::try_from(at).unwrap(), 0, 255])
        .bind(odd)
        .execute(&schema.pool)
        .await
        .unwrap();
    }
    let step = include_str!("../../../../../migrations/sql/0024_messages_apart.sql");
    schema.pool.execute(step).await.unwrap();
    assert_eq!(rows(&schema).await, (6, 6, 6));
    let is_claimed = stored(&schema).await.into_iter().map(|row| row.2);
    assert_eq!(is_claimed.collect::<Vec<_>>(), [false; 6]);
    for (at, state) in State::ALL.into_iter().enumerate() {
        if !matches!(state, State::Scheduled | State::Dead | State::Archiving) {
            continue;
        }
        let claimed = queue::claim_due(&schema.pool, state, LEASE, 10)
            .await
            .unwrap();
        assert_eq!(claimed.len(), 1, "{state}");
        assert_eq!(claimed[0].payload, [u8::try_from(at).unwrap(), 0, 255]);
        assert_eq!(claimed[0].headers, Headers::from_json(odd).unwrap());
        assert_eq!(claimed[0].history, History::default());
    }
    assert!(enqueue(&schema.pool, &work(Uuid::now_v7())).await);
    let forgetful = schema
        .pool
        .execute(
            "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, history, created_at)
             values ('g', 'order', 'o', 0, '', '', 'dead', 1, now(3), '[]', now(3))",
        )
        .await;
    assert!(forgetful.is_err(), "no work without a message");
}
