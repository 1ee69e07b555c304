//! The retry queue on a real server: one row a piece of work, one holder at a time, due by the database's clock.

use compensation::{
    attempt::History,
    headers::Headers,
    queue::{self, Claimed, NewWork, Outcome},
    state::{Event, State},
};
use sqlx::MySqlPool;
use std::{collections::HashSet, time::Duration};
use testkit::{eventually, mysql::Schema};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_mins(1);

fn work(gid: Uuid) -> NewWork {
    NewWork {
        gid,
        kind: "order",
        order_id: gid,
        generation: 0,
        sale_id: Uuid::nil(),
        user_id: Uuid::nil(),
        state: State::Scheduled,
        attempts: 1,
        due_after: Duration::ZERO,
        payload: b"first".to_vec(),
        headers: Headers(vec![("a".to_owned(), vec![0, 255])]),
        history: History::default(),
        error: Some("x".repeat(5_000)),
    }
}

async fn enqueue(db: &MySqlPool, work: &NewWork) -> bool {
    queue::enqueue(&mut db.acquire().await.unwrap(), work)
        .await
        .unwrap()
}

async fn claim(schema: &Schema, lease: Duration) -> Vec<Claimed> {
    queue::claim_due(&schema.pool, State::Scheduled, lease, 10)
        .await
        .unwrap()
}

async fn settle(schema: &Schema, work: &Claimed, outcome: &Outcome) -> sqlx::Result<bool> {
    let mut db = schema.pool.acquire().await?;
    queue::settle(&mut db, work, 2, &work.history, None, outcome).await
}

#[tokio::test]
async fn work_is_taken_in_once_however_often_it_comes() {
    let schema = testkit::mysql::schema().await;
    let gid = Uuid::now_v7();
    enqueue(&schema.pool, &work(gid)).await;
    let again = NewWork {
        payload: b"again".to_vec(),
        ..work(gid)
    };
    let same_generation = NewWork {
        order_id: gid,
        ..work(Uuid::now_v7())
    };
    assert!(!enqueue(&schema.pool, &again).await);
    assert!(!enqueue(&schema.pool, &same_generation).await);
    let claimed = claim(&schema, LEASE).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        (claimed[0].gid, &claimed[0].payload[..]),
        (gid, &b"first"[..])
    );
    assert_eq!(claimed[0].headers.get("a"), Some(&[0, 255][..]));
}

/// Told by the insertion itself. Asked for before it, all of them were told that they took it in.
#[tokio::test]
async fn of_many_who_take_the_same_work_in_at_once_one_is_told_that_it_did() {
    let schema = testkit::mysql::schema().await;
    let work = work(Uuid::now_v7());
    let taken = futures::future::join_all((0..8).map(|_| enqueue(&schema.pool, &work))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
}

/// A worker's claim left on it, its try wrote what became of it over the operator's wish.
#[tokio::test]
async fn what_an_operator_gives_up_is_taken_from_whoever_tries_it() {
    let schema = testkit::mysql::schema().await;
    let gid = Uuid::now_v7();
    let give_up = async || {
        let mut db = schema.pool.acquire().await.unwrap();
        queue::give_up(&mut db, gid).await.unwrap()
    };
    assert_eq!(give_up().await, None);
    enqueue(&schema.pool, &work(gid)).await;
    let tried = claim(&schema, LEASE).await.remove(0);
    assert_eq!(give_up().await, Some(State::Scheduled));
    assert_eq!(give_up().await, Some(State::Archiving), "twice is once");
    let again = Outcome::Again {
        event: Event::FailedToRetry,
        after: Duration::ZERO,
    };
    assert!(!settle(&schema, &tried, &again).await.unwrap());
    let archiving = queue::claim_due(&schema.pool, State::Archiving, LEASE, 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((archiving.gid, archiving.attempts), (gid, 1));
    assert!(
        settle(&schema, &archiving, &Outcome::Archived)
            .await
            .unwrap()
    );
    assert_eq!(give_up().await, Some(State::Archived));
    assert!(claim(&schema, LEASE).await.is_empty());
}

#[tokio::test]
async fn many_who_claim_at_once_get_each_piece_of_work_once() {
    let schema = testkit::mysql::schema().await;
    for _ in 0..60 {
        enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    }
    let claims = futures::future::join_all((0..8).map(|_| claim(&schema, LEASE))).await;
    let gids: Vec<Uuid> = claims.iter().flatten().map(|work| work.gid).collect();
    assert_eq!(gids.iter().collect::<HashSet<_>>().len(), gids.len());
    assert_eq!(gids.len(), 60);
    assert!(claim(&schema, LEASE).await.is_empty());
}

#[tokio::test]
async fn a_worker_that_slept_past_its_claim_changes_nothing() {
    let schema = testkit::mysql::schema().await;
    let gid = Uuid::now_v7();
    enqueue(&schema.pool, &work(gid)).await;
    let sleeper = claim(&schema, Duration::from_millis(1)).await.remove(0);
    let next = eventually("the claim ends by itself", SOON, || async {
        claim(&schema, LEASE).await.pop()
    })
    .await;
    let late = settle(&schema, &sleeper, &Outcome::GiveUp).await.unwrap();
    queue::put_back(&schema.pool, &sleeper, Duration::ZERO)
        .await
        .unwrap();
    assert!(!late);
    assert!(
        claim(&schema, LEASE).await.is_empty(),
        "it is the other one's still"
    );
    let settled = Outcome::Settled("confirmed".to_owned());
    assert!(settle(&schema, &next, &settled).await.unwrap());
    assert!(!settle(&schema, &next, &settled).await.unwrap());
}

#[tokio::test]
async fn what_is_tried_again_is_due_later_and_what_is_settled_never() {
    let schema = testkit::mysql::schema().await;
    for _ in 0..2 {
        enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    }
    let claimed = claim(&schema, LEASE).await;
    let again = Outcome::Again {
        event: Event::FailedToRetry,
        after: Duration::from_millis(300),
    };
    assert!(settle(&schema, &claimed[0], &again).await.unwrap());
    let settled = Outcome::Settled("rejected".to_owned());
    assert!(settle(&schema, &claimed[1], &settled).await.unwrap());
    assert!(claim(&schema, LEASE).await.is_empty());
    let due = eventually("it is due", SOON, || async {
        claim(&schema, LEASE).await.pop()
    })
    .await;
    assert_eq!((due.gid, due.attempts), (claimed[0].gid, 2));
    let open = queue::open_among(&schema.pool, &[claimed[0].gid, claimed[1].gid])
        .await
        .unwrap();
    assert_eq!(open, HashSet::from([claimed[0].gid]));
}

#[tokio::test]
async fn a_move_that_is_not_listed_is_refused() {
    let schema = testkit::mysql::schema().await;
    enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    let claimed = claim(&schema, LEASE).await.remove(0);
    assert!(settle(&schema, &claimed, &Outcome::Archived).await.is_err());
}
