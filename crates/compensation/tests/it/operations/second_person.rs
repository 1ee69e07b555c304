//! A discard of many waits for somebody else than who asked, however many processes look at it, and ends by itself.

use super::{Asking, act, asking, bulk, number, rows, select_all, state, terms, turn, until_state};
use compensation::operations::{self, Act, CONFIRM_WITHIN, Done, Made, NotDone, State, tick};
use testkit::mysql::Schema;
use uuid::Uuid;

/// One that needs a second person above so many.
async fn ask_above(schema: &Schema, above: u32) -> Asking {
    let asking = Asking {
        confirm_above: Some(above),
        ..asking(terms(false, 100))
    };
    assert_eq!(asking.ask(&schema.pool).await.unwrap(), Made::Now);
    asking
}

async fn confirm(schema: &Schema, operation: Uuid, by: &str) -> Result<Done, NotDone> {
    let mut tx = schema.pool.begin().await.unwrap();
    let done = operations::confirm(&mut tx, operation, by).await;
    tx.commit().await.unwrap();
    done
}

const BEGUN: &str = "select count(*) from operation_items where state <> 'selected'";

/// Breaks when items are begun before it is confirmed, who asked may confirm it, or a second click is a second act.
#[tokio::test]
async fn above_its_number_it_waits_for_somebody_else() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 30).await;
    let asked = ask_above(&schema, 29).await;
    select_all(&schema, asked.id).await;
    let early = confirm(&schema, asked.id, "day").await;
    assert!(
        matches!(
            early,
            Err(NotDone::NotNow {
                state: State::Waiting,
                ..
            })
        ),
        "{early:?}"
    );
    assert!(turn(&schema.pool).await, "it is due at once");
    assert_eq!(state(&schema, asked.id).await, State::Unconfirmed);
    for _ in 0..3 {
        schema
            .execute("update operations set due_at = utc_timestamp(3)")
            .await;
        assert!(turn(&schema.pool).await);
    }
    assert_eq!(state(&schema, asked.id).await, State::Unconfirmed);
    assert_eq!(number(&schema, BEGUN).await, 0);

    let own = confirm(&schema, asked.id, "night").await;
    assert!(matches!(own, Err(NotDone::SamePerson)), "{own:?}");
    let (one, two) = tokio::join!(
        confirm(&schema, asked.id, "day"),
        confirm(&schema, asked.id, "eve")
    );
    let won: Vec<Done> = [one, two].into_iter().flatten().collect();
    assert_eq!(won, [Done::Now(State::Waiting)]);
    let second = bulk(&schema, asked.id).await.second_person.unwrap();
    let by = second.confirmed_by.unwrap();
    assert_eq!(
        confirm(&schema, asked.id, &by).await.unwrap(),
        Done::Before(State::Waiting)
    );
    // The click that asked for it, sent again, is the same operation still.
    assert_eq!(asked.ask(&schema.pool).await.unwrap(), Made::Before);
    until_state(&schema, asked.id, State::Running).await;
}

#[tokio::test]
async fn up_to_its_number_nobody_is_asked() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 30).await;
    let asked = ask_above(&schema, 30).await;
    until_state(&schema, asked.id, State::Running).await;
}

/// Breaks when what waits can be begun without being confirmed by taking it back, or cannot be taken back.
#[tokio::test]
async fn who_asked_takes_it_back() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    let asked = ask_above(&schema, 0).await;
    until_state(&schema, asked.id, State::Unconfirmed).await;
    for no in [Act::Pause, Act::Resume, Act::Cancel] {
        let refused = act(&schema, asked.id, no, "night").await;
        assert!(
            matches!(refused, Err(NotDone::NotNow { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        act(&schema, asked.id, Act::Undo, "night").await.unwrap(),
        Done::Now(State::Undone)
    );
    let late = confirm(&schema, asked.id, "day").await;
    assert!(
        matches!(&late, Err(NotDone::NotNow { state: State::Undone, by: Some(by), .. }) if by == "night"),
        "{late:?}"
    );
    assert!(!turn(&schema.pool).await);
    assert_eq!(number(&schema, BEGUN).await, 0);
}

/// Breaks when the time it waits is not looked at, or what ended is confirmed all the same.
#[tokio::test]
async fn what_nobody_confirms_ends_by_itself() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    let asked = ask_above(&schema, 2).await;
    until_state(&schema, asked.id, State::Unconfirmed).await;
    assert!(!turn(&schema.pool).await, "nobody need look before");
    let hours = CONFIRM_WITHIN.num_hours();
    schema
        .execute(&format!(
            "update operations set created_at = created_at - interval {hours} hour, due_at = due_at - interval {hours} hour"
        ))
        .await;
    until_state(&schema, asked.id, State::Expired).await;
    assert!(
        operations::find(&schema.pool, asked.id)
            .await
            .unwrap()
            .unwrap()
            .finished_at
            .is_some()
    );
    let late = confirm(&schema, asked.id, "day").await;
    assert!(
        matches!(
            &late,
            Err(NotDone::NotNow {
                state: State::Expired,
                by: None,
                ..
            })
        ),
        "{late:?}"
    );
    let mut tx = schema.pool.begin().await.unwrap();
    assert!(tick::due(&mut tx).await.unwrap().is_none());
    assert_eq!(number(&schema, BEGUN).await, 0);
}
