//! The retry queue on a real server: one row a piece of work, one holder at a time, due by the database's clock.

mod messages;

use compensation::{
    attempt::History,
    headers::Headers,
    queue::{self, Claimed, Ended, NewWork, Outcome, Turn},
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
        headers: Headers(vec![("a".to_owned(), Some(vec![0, 255]))]),
        history: History::default(),
        error: Some("x".repeat(5_000)),
    }
}

async fn enqueue(db: &MySqlPool, work: &NewWork) -> bool {
    let mut tx = db.begin().await.unwrap();
    let is_new = queue::enqueue(&mut tx, work).await.unwrap();
    tx.commit().await.unwrap();
    is_new
}

async fn claim(schema: &Schema, lease: Duration) -> Vec<Claimed> {
    queue::claim_due(&schema.pool, State::Scheduled, lease, 10)
        .await
        .unwrap()
}

async fn settle(schema: &Schema, work: &Claimed, outcome: &Outcome) -> sqlx::Result<bool> {
    let mut db = schema.pool.acquire().await?;
    queue::settle(&mut db, ended(work, outcome)).await
}

fn ended<'a>(work: &'a Claimed, outcome: &'a Outcome) -> Ended<'a> {
    Ended {
        work,
        attempts: 2,
        history: &work.history,
        error: None,
        outcome,
    }
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

async fn claim_turn(schema: &Schema, turn: Turn, limit: u32) -> Vec<Claimed> {
    queue::claim_turn(&schema.pool, State::Scheduled, turn, LEASE, limit)
        .await
        .unwrap()
}

/// Breaks when a claim does not look at the order's other work.
#[tokio::test]
async fn of_one_order_one_piece_is_in_hand_at_a_time_and_the_oldest_generation_first() {
    let schema = testkit::mysql::schema().await;
    let order_id = Uuid::now_v7();
    let of_generation = |generation| NewWork {
        order_id,
        generation,
        ..work(Uuid::now_v7())
    };
    let (first, second, third) = (of_generation(0), of_generation(1), of_generation(2));
    for work in [&third, &second] {
        enqueue(&schema.pool, work).await;
    }
    let second_in_hand = claim(&schema, LEASE).await;
    assert_eq!(second_in_hand.len(), 1);
    assert_eq!(second_in_hand[0].gid, second.gid);
    // Comes late, and waits for what is in hand.
    enqueue(&schema.pool, &first).await;
    assert!(claim(&schema, LEASE).await.is_empty());
    assert!(claim_turn(&schema, Turn::Own, 10).await.is_empty());
    let settled = Outcome::Settled("confirmed".to_owned());
    assert!(settle(&schema, &second_in_hand[0], &settled).await.unwrap());
    assert!(claim_turn(&schema, Turn::Replay, 10).await.is_empty());
    let first_in_hand = claim_turn(&schema, Turn::Own, 10).await;
    assert_eq!(first_in_hand[0].gid, first.gid);
    assert!(claim_turn(&schema, Turn::Replay, 10).await.is_empty());
    assert!(settle(&schema, &first_in_hand[0], &settled).await.unwrap());
    let claimed = claim_turn(&schema, Turn::Replay, 10).await;
    assert_eq!(claimed[0].gid, third.gid);
}

/// Two claims that do not see one another yet: breaks when nobody looks again after the commit.
#[tokio::test]
async fn two_who_claim_two_pieces_of_one_order_at_once_do_not_both_have_one() {
    let schema = testkit::mysql::schema().await;
    let mut both_tried = 0;
    for _ in 0..60 {
        let order_id = Uuid::now_v7();
        let of_generation = |generation| NewWork {
            order_id,
            generation,
            ..work(Uuid::now_v7())
        };
        let (old, new) = (of_generation(0), of_generation(1));
        enqueue(&schema.pool, &new).await;
        let claim_new = claim_turn(&schema, Turn::Replay, 10);
        let claim_old = async {
            enqueue(&schema.pool, &old).await;
            claim_turn(&schema, Turn::Own, 10).await
        };
        let (new_in_hand, old_in_hand) = tokio::join!(claim_new, claim_old);
        both_tried += usize::from(!new_in_hand.is_empty()) + usize::from(!old_in_hand.is_empty());
        assert!(
            new_in_hand.is_empty() || old_in_hand.is_empty(),
            "two pieces of one order are in hand"
        );
        schema.execute("delete from compensations").await;
    }
    assert!(both_tried > 0, "nobody ever had one");
}

/// Breaks when replays are claimed with what came by itself.
#[tokio::test]
async fn each_has_its_turn() {
    let schema = testkit::mysql::schema().await;
    for _ in 0..5 {
        let replay = NewWork {
            generation: 1,
            ..work(Uuid::now_v7())
        };
        enqueue(&schema.pool, &replay).await;
        enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    }
    let own = claim_turn(&schema, Turn::Own, 3).await;
    assert_eq!(own.len(), 3);
    let replays = claim_turn(&schema, Turn::Replay, 10).await;
    assert_eq!(replays.len(), 5);
    assert!(own.iter().all(|work| work.generation == 0));
    assert!(replays.iter().all(|work| work.generation == 1));
}

#[tokio::test]
async fn what_is_put_off_is_due_later_as_it_was() {
    let schema = testkit::mysql::schema().await;
    for _ in 0..3 {
        enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    }
    let claimed = claim(&schema, LEASE).await;
    queue::put_all_off(&schema.pool, &claimed[..2], Duration::from_secs(100))
        .await
        .unwrap();
    let put_off: (i64, i64) = sqlx::query_as(
        "select cast(sum(not is_claimed and attempts = 1) as int), cast(sum(not is_claimed and due_at > utc_timestamp(3) + interval 90 second
                and due_at < utc_timestamp(3) + interval 201 second) as int) from compensations",
    )
    .fetch_one(&schema.pool)
    .await
    .unwrap();
    assert_eq!(put_off, (2, 2));
    // Whoever lost its claim puts nothing off.
    queue::put_all_off(&schema.pool, &claimed[..2], Duration::from_hours(1))
        .await
        .unwrap();
    let far: i64 = sqlx::query_scalar(
        "select count(*) from compensations where due_at > utc_timestamp(3) + interval 30 minute",
    )
    .fetch_one(&schema.pool)
    .await
    .unwrap();
    assert_eq!(far, 0);
}

/// What is stored of all work, oldest order first: state, tries, whether it is claimed.
async fn stored(schema: &Schema) -> Vec<(String, i32, bool)> {
    sqlx::query_as("select state, attempts, is_claimed from compensations order by order_id")
        .fetch_all(&schema.pool)
        .await
        .unwrap()
}

/// Breaks when the batch is written without its claims' tokens: what the other worker holds would be closed under its hands.
#[tokio::test]
async fn of_a_batch_nothing_is_written_where_one_claim_went_to_another_worker() {
    let schema = testkit::mysql::schema().await;
    for _ in 0..3 {
        enqueue(&schema.pool, &work(Uuid::now_v7())).await;
    }
    let mut works = claim(&schema, LEASE).await;
    works.sort_unstable_by_key(|work| work.order_id);
    sqlx::query("update compensations set claim = ? where gid = ?")
        .bind(Uuid::new_v4())
        .bind(works[1].gid)
        .execute(&schema.pool)
        .await
        .unwrap();
    let closed = Outcome::Settled("confirmed".to_owned());
    let all: Vec<Ended<'_>> = works.iter().map(|work| ended(work, &closed)).collect();
    let mut tx = schema.pool.begin().await.unwrap();
    assert!(!queue::settle_all(&mut tx, &all).await.unwrap());
    tx.rollback().await.unwrap();
    let mut tx = schema.pool.begin().await.unwrap();
    let ours = [all[0].clone(), all[2].clone()];
    assert!(queue::settle_all(&mut tx, &ours).await.unwrap());
    tx.commit().await.unwrap();
    let done = ("closed".to_owned(), 2, false);
    let others = ("scheduled".to_owned(), 1, true);
    assert_eq!(stored(&schema).await, [done.clone(), others, done]);
}

#[tokio::test]
async fn many_are_taken_in_together_and_come_back_as_they_were_whatever_is_in_their_texts() {
    let schema = testkit::mysql::schema().await;
    let odd =
        "\"quoted\" \\ back\\\\slash \n\r\t \u{1} \u{0} \u{7f} 🦀 ü \u{2028} </script> %s ${x} '";
    let new: Vec<NewWork> = (0..300_u32)
        .map(|at| NewWork {
            payload: (0..=255).collect(),
            headers: Headers(vec![(odd.to_owned(), Some(vec![0, 255]))]),
            error: Some(format!("{at} {odd}")),
            ..work(Uuid::now_v7())
        })
        .collect();
    let mut tx = schema.pool.begin().await.unwrap();
    assert!(queue::enqueue_all(&mut tx, &new).await.unwrap());
    // One that is known keeps all others out, and is told apart one by one.
    let again = [work(Uuid::now_v7()), new[7].clone()];
    assert!(!queue::enqueue_all(&mut tx, &again).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(messages::rows(&schema).await, (300, 300, 300));
    let claimed = queue::claim_turn(&schema.pool, State::Scheduled, Turn::Own, LEASE, 500)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 300);
    for (at, new) in new.iter().enumerate() {
        let came = claimed.iter().find(|work| work.gid == new.gid).unwrap();
        assert_eq!(
            (&came.payload, &came.headers, &came.error),
            (&new.payload, &new.headers, &new.error),
            "{at}"
        );
    }
    let mut history = History::default();
    history.push(compensation::attempt::Attempt {
        generation: 0,
        attempt: 2,
        lane: compensation::attempt::Lane::Retry,
        started_at: chrono::Utc::now(),
        duration_ms: 1,
        worker: odd.to_owned(),
        outcome: "failed".to_owned(),
        error: Some(odd.to_owned()),
        next_after_ms: None,
    });
    let again = Outcome::Again {
        event: Event::FailedToRetry,
        after: Duration::ZERO,
    };
    let failed: Vec<Ended<'_>> = claimed
        .iter()
        .map(|work| Ended {
            history: &history,
            error: Some(odd),
            ..ended(work, &again)
        })
        .collect();
    let mut db = schema.pool.acquire().await.unwrap();
    assert!(queue::settle_all(&mut db, &failed).await.unwrap());
    let claimed = queue::claim_turn(&schema.pool, State::Scheduled, Turn::Own, LEASE, 500)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 300);
    for work in claimed {
        assert_eq!(
            (&work.history, work.error.as_deref()),
            (&history, Some(odd))
        );
    }
}
