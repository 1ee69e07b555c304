//! What people ask for: made once, paused, cancelled, undone; of two at once one wins.

use super::*;

#[tokio::test]
async fn a_person_pauses_resumes_and_cancels_it_and_what_was_begun_goes_on() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 30).await;
    let operation = ask(&schema, Terms::new(1, false, 100, Duration::ZERO).unwrap()).await;
    until(&schema, operation, "one is begun", |counts| {
        counts.begun == 1
    })
    .await;
    assert_eq!(
        act(&schema, operation, Act::Pause, "ann").await.unwrap(),
        Done::Now(State::Paused)
    );
    assert_eq!(
        act(&schema, operation, Act::Pause, "ann").await.unwrap(),
        Done::Before(State::Paused)
    );
    let late = act(&schema, operation, Act::Pause, "bob").await;
    assert!(
        matches!(&late, Err(NotDone::NotNow { state: State::Paused, by: Some(by), .. }) if by == "ann"),
        "{late:?}"
    );
    schema
        .execute("update operations set paced_at = null, due_at = utc_timestamp(3)")
        .await;
    assert!(turn(&schema.pool).await);
    assert_eq!(bulk(&schema, operation).await.counts.begun, 1);
    assert_eq!(
        act(&schema, operation, Act::Resume, "bob").await.unwrap(),
        Done::Now(State::Running)
    );
    until(&schema, operation, "another is begun", |counts| {
        counts.begun == 2
    })
    .await;
    assert_eq!(
        act(&schema, operation, Act::Cancel, "bob").await.unwrap(),
        Done::Now(State::Cancelled)
    );
    assert_eq!(carry_out(&schema, 10, 0).await, 2);
    until(&schema, operation, "both are counted", |counts| {
        counts.ended() == 2
    })
    .await;
    let late = act(&schema, operation, Act::Resume, "ann").await;
    assert!(
        matches!(
            late,
            Err(NotDone::NotNow {
                state: State::Cancelled,
                ..
            })
        ),
        "{late:?}"
    );
    let untouched =
        "select count(*) from failed_order_archives where handled = 0 and operation_id is null";
    assert_eq!(number(&schema, untouched).await, 28);
    assert!(!turn(&schema.pool).await, "nothing is due");
}

/// Breaks when an item is begun before the time to undo is over.
#[tokio::test]
async fn within_its_grace_it_is_undone_and_nothing_happened() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 30).await;
    let operation = ask(
        &schema,
        Terms::new(500, false, 100, Duration::from_hours(1)).unwrap(),
    )
    .await;
    select_all(&schema, operation).await;
    schema
        .execute("update operations set due_at = utc_timestamp(3)")
        .await;
    assert!(turn(&schema.pool).await);
    assert_eq!(state(&schema, operation).await, State::Waiting);
    assert_eq!(bulk(&schema, operation).await.counts.begun, 0);
    assert!(matches!(
        act(&schema, operation, Act::Pause, "ann").await,
        Err(NotDone::NotNow {
            state: State::Waiting,
            by: None,
            ..
        })
    ));
    assert_eq!(
        act(&schema, operation, Act::Undo, "ann").await.unwrap(),
        Done::Now(State::Undone)
    );
    schema
        .execute("update operations set starts_at = utc_timestamp(3) - interval 1 hour")
        .await;
    assert!(!turn(&schema.pool).await);
    let untouched =
        "select count(*) from failed_order_archives where handled = 0 and operation_id is null";
    assert_eq!(number(&schema, untouched).await, 30);
    assert_eq!(
        number(
            &schema,
            "select count(*) from operation_items where state <> 'selected'"
        )
        .await,
        0
    );
}

/// Of an undo and the end of the grace, of a pause and a cancel, one comes first, many times over.
#[tokio::test]
async fn of_two_at_once_one_wins_and_the_other_is_told_who() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    for _ in 0..10 {
        let operation = ask(&schema, Terms::new(1, false, 100, Duration::ZERO).unwrap()).await;
        select_all(&schema, operation).await;
        let (undone, _) = tokio::join!(
            act(&schema, operation, Act::Undo, "ann"),
            turn(&schema.pool)
        );
        let counts = bulk(&schema, operation).await.counts;
        match undone {
            Ok(done) => assert_eq!((done, counts.begun), (Done::Now(State::Undone), 0)),
            Err(NotDone::NotNow { state, .. }) => {
                assert_eq!((state, counts.begun), (State::Running, 1));
                carry_out(&schema, 10, 10).await;
                let (ann, bob) = tokio::join!(
                    act(&schema, operation, Act::Cancel, "ann"),
                    act(&schema, operation, Act::Cancel, "bob")
                );
                let (won, lost, winner) = if ann.is_ok() {
                    (ann, bob, "ann")
                } else {
                    (bob, ann, "bob")
                };
                assert_eq!(won.unwrap(), Done::Now(State::Cancelled));
                assert!(
                    matches!(&lost, Err(NotDone::NotNow { by: Some(by), .. }) if by == winner),
                    "{lost:?}"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_single_replay_and_what_is_not_there_are_told_apart() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 1).await;
    let single = operations::claim_replay(&schema.pool, id(0), "ann", None)
        .await
        .unwrap();
    assert!(matches!(
        act(&schema, single, Act::Cancel, "ann").await,
        Err(NotDone::Single)
    ));
    assert!(matches!(
        act(&schema, id(9), Act::Cancel, "ann").await,
        Err(NotDone::NotFound)
    ));
}

#[tokio::test]
async fn asked_for_twice_it_is_one_operation_and_another_one_needs_another_id() {
    let schema = testkit::mysql::schema().await;
    let mut asking = asking(Terms::default());
    let (one, two) = tokio::join!(asking.ask(&schema.pool), asking.ask(&schema.pool));
    let mut made = [one.unwrap(), two.unwrap()];
    made.sort_by_key(|made| *made == Made::Before);
    assert_eq!(made, [Made::Now, Made::Before]);
    asking.by = "day";
    assert!(matches!(
        asking.ask(&schema.pool).await,
        Err(NotTaken::IdTaken)
    ));
    // Whoever went back and corrected the terms is not told that the old ones are what was asked for.
    let terms = std::mem::replace(
        &mut asking.terms,
        Terms::new(1, true, 0, Duration::from_mins(1)).unwrap(),
    );
    assert!(matches!(
        asking.ask(&schema.pool).await,
        Err(NotTaken::IdTaken)
    ));
    (asking.by, asking.kind, asking.terms) = ("night", Kind::Replay, terms);
    assert!(matches!(
        asking.ask(&schema.pool).await,
        Err(NotTaken::IdTaken)
    ));
    for _ in 1..OPEN_AT_MOST {
        ask(&schema, Terms::default()).await;
    }
    asking.id = Uuid::now_v7();
    assert!(matches!(
        asking.ask(&schema.pool).await,
        Err(NotTaken::TooMany)
    ));
}

/// Texts that would be read as SQL or as wildcards match themselves, and nothing else.
#[tokio::test]
async fn a_hostile_filter_and_reason_are_only_texts() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 20).await;
    let mut hostile = asking(terms(false, 100));
    hostile.reason = "'); drop table operations; -- <script>";
    for text in ["' or '1'='1", "%", "_", "\\", "\" or true -- "] {
        hostile.id = Uuid::now_v7();
        hostile.selected = Selected::of(&Filter {
            query: Some(text.to_owned()),
            state: Some(Stands::Open),
            ..Filter::default()
        });
        assert_eq!(hostile.ask(&schema.pool).await.unwrap(), Made::Now);
        until_state(&schema, hostile.id, State::Finished).await;
        let found = found(&schema, hostile.id).await;
        assert_eq!(found.reason.as_deref(), Some(hostile.reason));
        assert_eq!(found.bulk.unwrap().counts.selected, 0, "{text}");
    }
}

/// Who brought it where it is, and when; also where nobody did.
#[tokio::test]
async fn what_went_on_by_itself_is_said_to_have() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    let operation = ask(&schema, terms(false, 100)).await;
    until_state(&schema, operation, State::Running).await;
    act(&schema, operation, Act::Pause, "ann").await.unwrap();
    act(&schema, operation, Act::Resume, "ann").await.unwrap();
    until(&schema, operation, "all are begun", |counts| {
        counts.begun == 3
    })
    .await;
    carry_out(&schema, 3, 0).await;
    until_state(&schema, operation, State::Finished).await;
    let finished_at = found(&schema, operation).await.finished_at.unwrap();
    let late = act(&schema, operation, Act::Cancel, "bob").await;
    assert!(
        matches!(&late, Err(NotDone::NotNow { by: None, since, .. }) if *since == finished_at),
        "{late:?}"
    );
}

/// Breaks without a `wait_timeout` in a pool's sessions: the operation's row stays locked for as long as the process sleeps.
#[tokio::test]
async fn who_sleeps_in_a_tick_keeps_nobody_from_pausing() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    let operation = ask(&schema, terms(false, 100)).await;
    until_state(&schema, operation, State::Running).await;
    schema
        .execute("update operations set due_at = utc_timestamp(3)")
        .await;
    let mut asleep = schema.pool.begin().await.unwrap();
    tick::due(&mut asleep).await.unwrap().unwrap();
    eventually("the server ends the session that sleeps", SOON, || async {
        act(&schema, operation, Act::Pause, "ann").await.ok()
    })
    .await;
}
