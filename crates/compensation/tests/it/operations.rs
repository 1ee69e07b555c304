//! Operations on all that a filter matches, on a real server: selected piece by piece, begun at a rate and by a ladder, stopped by
//! themselves and by people. What carries an item out is played by the tests: each item ends as they say.

use compensation::{
    archive::{
        self,
        listing::{Filter, State as Stands},
    },
    operations::{
        self, Act, Counts, Done, Kind, Made, NewBulk, NotDone, NotTaken, OPEN_AT_MOST, Operation,
        State,
        terms::{Reason, Selected, Terms},
        tick,
    },
};
use sqlx::{AssertSqlSafe, MySqlPool};
use std::time::{Duration, Instant};
use testkit::{eventually, mysql::Schema};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_mins(1);

/// So many rows of the archive, open, a millisecond from one to the next, the last a second ago.
async fn rows(schema: &Schema, from: u32, count: u32) {
    let digits = "(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 \
                  union all select 6 union all select 7 union all select 8 union all select 9)";
    let until = from + count;
    schema
        .execute(&format!(
            "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, attempts, history, \
             storage, payload, headers, held, handled, times_archived, first_failed_at, archived_at)
             select unhex(lpad(hex(n), 32, '0')), unhex(lpad(hex(n), 32, '0')), unhex(lpad(hex(n), 32, 'a')), 0, x'00', x'00', 1, 'decide',
                    'Lock wait timeout', 6, '[]', 'mysql', 'x', '[]', 0, 0, 1, utc_timestamp(3), utc_timestamp(3) - interval 1000000 - n * 10 microsecond
             from (select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + f.d * 10000 + g.d * 100000 as n
                   from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f, {digits} g) numbers
             where n >= {from} and n < {until}"
        ))
        .await;
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

struct Asking {
    id: Uuid,
    kind: Kind,
    selected: Selected,
    reason: &'static str,
    terms: Terms,
    by: &'static str,
}

fn asking(terms: Terms) -> Asking {
    Asking {
        id: Uuid::now_v7(),
        kind: Kind::Discard,
        selected: Selected::default(),
        reason: "the cause is gone",
        terms,
        by: "night",
    }
}

/// As fast as it may be, without time to undo it.
fn terms(canary: bool, stop_percent: u32) -> Terms {
    Terms::new(500, canary, stop_percent, Duration::ZERO).unwrap()
}

impl Asking {
    async fn ask(&self, db: &MySqlPool) -> Result<Made, NotTaken> {
        let reason = Reason::parse(self.reason).unwrap();
        let new = NewBulk {
            id: self.id,
            kind: self.kind,
            selected: &self.selected,
            reason: &reason,
            terms: self.terms,
            asked_by: self.by,
        };
        operations::create(&mut db.acquire().await.unwrap(), &new).await
    }
}

async fn ask(schema: &Schema, terms: Terms) -> Uuid {
    let asking = asking(terms);
    assert_eq!(asking.ask(&schema.pool).await.unwrap(), Made::Now);
    asking.id
}

/// One turn, as a compensator takes it; `false`: nothing is due.
async fn turn(db: &MySqlPool) -> bool {
    let mut tx = db.begin().await.unwrap();
    let Some(mut due) = tick::due(&mut tx).await.unwrap() else {
        // What cannot be read was put off.
        tx.commit().await.unwrap();
        return false;
    };
    if due.state == State::Waiting && !due.selected_all {
        tick::select_some(&mut tx, &mut due).await.unwrap();
    } else {
        tick::add_up(&mut tx, &mut due).await.unwrap();
        tick::judge(&mut due).unwrap();
        tick::begin_some(&mut tx, &mut due).await.unwrap();
    }
    tick::save(&mut tx, &due).await.unwrap();
    tx.commit().await.unwrap();
    true
}

/// Turns until all are selected.
async fn select_all(schema: &Schema, operation: Uuid) {
    while !bulk(schema, operation).await.selected_all {
        assert!(turn(&schema.pool).await);
    }
}

/// Ends up to `limit` items that were begun: the first `failing` of them are refused, the others discarded.
async fn carry_out(schema: &Schema, limit: u32, failing: usize) -> usize {
    let items = operations::claim_requested(&schema.pool, LEASE, limit)
        .await
        .unwrap();
    for (number, item) in items.iter().enumerate() {
        let mut tx = schema.pool.begin().await.unwrap();
        if number < failing {
            operations::refuse(&mut tx, item, "sold_out").await.unwrap();
        } else {
            assert!(operations::discarded(&mut tx, item).await.unwrap());
        }
        tx.commit().await.unwrap();
    }
    items.len()
}

async fn found(schema: &Schema, operation: Uuid) -> Operation {
    operations::find(&schema.pool, operation)
        .await
        .unwrap()
        .unwrap()
}

async fn bulk(schema: &Schema, operation: Uuid) -> operations::Bulk {
    found(schema, operation).await.bulk.unwrap()
}

async fn state(schema: &Schema, operation: Uuid) -> State {
    found(schema, operation).await.state
}

/// Takes turns until its counts are so.
async fn until(
    schema: &Schema,
    operation: Uuid,
    what: &str,
    are: impl Fn(&Counts) -> bool,
) -> Counts {
    eventually(what, SOON, || async {
        turn(&schema.pool).await;
        let counts = bulk(schema, operation).await.counts;
        are(&counts).then_some(counts)
    })
    .await
}

async fn until_state(schema: &Schema, operation: Uuid, wanted: State) {
    eventually(&format!("it is {wanted}"), SOON, || async {
        turn(&schema.pool).await;
        (state(schema, operation).await == wanted).then_some(())
    })
    .await;
}

async fn act(schema: &Schema, operation: Uuid, what: Act, by: &str) -> Result<Done, NotDone> {
    let mut tx = schema.pool.begin().await.unwrap();
    let done = operations::act(&mut tx, operation, what, by).await;
    tx.commit().await.unwrap();
    done
}

async fn number(schema: &Schema, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(&schema.pool)
        .await
        .unwrap()
}

/// Breaks when a rung is as large as the rate lets it be, or begins while items of the last are under way.
#[tokio::test]
async fn one_then_ten_then_a_hundred_then_all() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 150).await;
    let operation = ask(&schema, terms(true, 10)).await;
    for (begun, rung) in [(1, 1), (11, 10), (111, 100)] {
        let what = format!("{begun} are begun");
        let counts = until(&schema, operation, &what, |counts| counts.begun >= begun).await;
        assert_eq!(counts.begun, begun);
        // All but one have ended: the next rung waits.
        let mut ended = 0;
        while ended < rung - 1 {
            ended += carry_out(&schema, u32::try_from(rung - 1 - ended).unwrap(), 0).await;
        }
        let what = format!("{} of {begun} have ended", begun - 1);
        let counts = until(&schema, operation, &what, |counts| {
            counts.ended() == begun - 1
        })
        .await;
        assert_eq!(
            counts.begun, begun,
            "the next rung waits for the last of this one"
        );
        for _ in 0..5 {
            schema
                .execute("update operations set due_at = utc_timestamp(3)")
                .await;
            assert!(turn(&schema.pool).await);
        }
        assert_eq!(bulk(&schema, operation).await.counts.begun, begun);
        assert_eq!(carry_out(&schema, 1, 0).await, 1);
    }
    until(&schema, operation, "the rest is begun", |counts| {
        counts.begun == 150
    })
    .await;
    carry_out(&schema, 100, 0).await;
    until_state(&schema, operation, State::Finished).await;
    let bulk = bulk(&schema, operation).await;
    assert_eq!((bulk.counts.discarded, bulk.counts.ended()), (150, 150));
    let discarded = "select count(*) from failed_order_archives where handled = 1 and resolution = 'discarded' and operation_id is null";
    assert_eq!(number(&schema, discarded).await, 150);
}

/// Breaks when the window is not judged, or a stop begins at the top of the ladder again.
#[tokio::test]
async fn it_stops_itself_when_too_many_fail_and_feels_its_way_when_it_goes_on() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 50).await;
    let operation = ask(&schema, terms(true, 20)).await;
    until(&schema, operation, "the first is begun", |counts| {
        counts.begun == 1
    })
    .await;
    carry_out(&schema, 1, 0).await;
    until(&schema, operation, "ten more are begun", |counts| {
        counts.begun == 11
    })
    .await;
    // Three of ten are too many, whatever becomes of the other seven.
    carry_out(&schema, 3, 3).await;
    until_state(&schema, operation, State::Paused).await;
    let stopped = bulk(&schema, operation).await;
    assert_eq!(stopped.counts.begun, 11);
    let last = stopped.last_act.unwrap();
    assert_eq!((last.act.as_str(), last.by), ("stop", None));
    assert_eq!(
        last.reason.as_deref(),
        Some("3 of 3 that ended had failed, and it stops above 20 %")
    );
    // What was begun goes on, and is counted.
    assert_eq!(carry_out(&schema, 100, 0).await, 7);
    until(&schema, operation, "they have ended", |counts| {
        counts.ended() == 11
    })
    .await;
    assert_eq!(
        number(
            &schema,
            "select count(*) from operations where due_at is not null"
        )
        .await,
        0
    );

    assert_eq!(
        act(&schema, operation, Act::Resume, "day").await.unwrap(),
        Done::Now(State::Running)
    );
    let counts = until(&schema, operation, "one is begun", |counts| {
        counts.begun > 11
    })
    .await;
    assert_eq!(counts.begun, 12, "the lowest rung");
    carry_out(&schema, 1, 1).await;
    until_state(&schema, operation, State::Paused).await;
}

/// Breaks when a buyer's answer counts as a failure.
#[tokio::test]
async fn rejected_with_a_reason_is_the_buyers_answer_and_no_failure() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 5).await;
    let mut asking = asking(terms(true, 0));
    asking.kind = Kind::Replay;
    asking.ask(&schema.pool).await.unwrap();
    let operation = asking.id;
    let settle = async |how: &str| {
        let items = operations::claim_requested(&schema.pool, LEASE, 10)
            .await
            .unwrap();
        for item in items {
            let mut tx = schema.pool.begin().await.unwrap();
            assert!(operations::processing(&mut tx, &item).await.unwrap());
            let history = compensation::attempt::History::default();
            operations::settled(
                &mut tx,
                item.gid,
                item.archive_id,
                how,
                Some("sold_out"),
                &history,
            )
            .await
            .unwrap();
            tx.commit().await.unwrap();
        }
    };
    until(&schema, operation, "the first is begun", |counts| {
        counts.begun == 1
    })
    .await;
    settle("rejected").await;
    until(&schema, operation, "the others are begun", |counts| {
        counts.begun == 5
    })
    .await;
    settle("archived").await;
    until(&schema, operation, "all have ended", |counts| {
        counts.ended() == 5
    })
    .await;
    let counts = bulk(&schema, operation).await.counts;
    assert_eq!((counts.rejected, counts.archived), (1, 4));
}

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

/// Breaks when a row's claim is not looked at before it is begun.
#[tokio::test]
async fn a_row_in_other_hands_is_refused_with_whose_and_left_to_them() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    let operation = ask(&schema, terms(false, 100)).await;
    select_all(&schema, operation).await;
    let single = operations::claim_replay(&schema.pool, id(1), "ann", None)
        .await
        .unwrap();
    schema
        .execute(
            "update failed_order_archives set handled = 1 where id = unhex(lpad('2', 32, '0'))",
        )
        .await;
    until(&schema, operation, "all are begun", |counts| {
        counts.begun == 3
    })
    .await;
    let items = operations::items(&schema.pool, operation, None, None, 10)
        .await
        .unwrap();
    assert_eq!(items[0].state, "requested");
    assert_eq!(items[1].state, "refused");
    let reason = items[1].reason.as_deref().unwrap();
    assert!(reason.starts_with("replaying by ann since 20"), "{reason}");
    assert_eq!(items[2].reason.as_deref(), Some("already_resolved"));
    let row = archive::find(&schema.pool, id(1)).await.unwrap().unwrap();
    assert_eq!(row.operation_id, Some(single));
    // And the other way round.
    let late = operations::claim_replay(&schema.pool, id(0), "ann", None).await;
    assert!(
        matches!(late, Err(operations::ReplayRefused::Replaying { operation_id, .. }) if operation_id == operation),
        "{late:?}"
    );
}

/// Two operations on the same rows, begun by two processes at once: each row is one's item and refused to the other.
#[tokio::test]
async fn of_two_operations_on_the_same_rows_each_row_is_done_once() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 200).await;
    let (one, two) = (
        ask(&schema, terms(false, 100)).await,
        ask(&schema, terms(false, 100)).await,
    );
    select_all(&schema, one).await;
    select_all(&schema, two).await;
    eventually("both have ended", SOON, || async {
        tokio::join!(turn(&schema.pool), turn(&schema.pool));
        carry_out(&schema, 20, 0).await;
        let ended = async |id| state(&schema, id).await == State::Finished;
        (ended(one).await && ended(two).await).then_some(())
    })
    .await;
    let (one, two) = (
        bulk(&schema, one).await.counts,
        bulk(&schema, two).await.counts,
    );
    assert_eq!(one.discarded + two.discarded, 200, "{one:?} {two:?}");
    assert_eq!(one.refused + two.refused, 200, "{one:?} {two:?}");
}

/// Breaks without the watermark, and without the look at it before an item is begun.
#[tokio::test]
async fn what_is_archived_later_or_again_is_not_swept_in() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 2).await;
    let operation = ask(&schema, terms(false, 100)).await;
    rows(&schema, 2, 1).await;
    schema
        .execute("update failed_order_archives set archived_at = utc_timestamp(3) + interval 1 second where id = unhex(lpad('2', 32, '0'))")
        .await;
    select_all(&schema, operation).await;
    assert_eq!(bulk(&schema, operation).await.counts.selected, 2);
    schema
        .execute("update failed_order_archives set archived_at = utc_timestamp(3) + interval 1 second, generation = 1 where id = unhex(lpad('1', 32, '0'))")
        .await;
    until(&schema, operation, "both are begun", |counts| {
        counts.begun == 2
    })
    .await;
    let items = operations::items(&schema.pool, operation, Some("refused"), None, 10)
        .await
        .unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(
        (items[0].archive_id, items[0].reason.as_deref()),
        (id(1), Some("archived_again"))
    );
}

/// Breaks when a piece and the place where it ended are not one transaction: a row twice, or left out.
#[tokio::test]
async fn a_selection_that_died_in_the_middle_goes_on_where_it_was() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 1_700).await;
    let operation = ask(&schema, terms(false, 100)).await;
    for _ in 0..6 {
        let mut tx = schema.pool.begin().await.unwrap();
        let mut due = tick::due(&mut tx).await.unwrap().unwrap();
        tick::select_some(&mut tx, &mut due).await.unwrap();
        tick::save(&mut tx, &due).await.unwrap();
        // It dies before the commit.
        tx.rollback().await.unwrap();
        if !bulk(&schema, operation).await.selected_all {
            turn(&schema.pool).await;
        }
    }
    select_all(&schema, operation).await;
    assert_eq!(bulk(&schema, operation).await.counts.selected, 1_700);
    assert_eq!(
        number(
            &schema,
            "select count(distinct archive_id) from operation_items"
        )
        .await,
        1_700
    );
}

/// Each takes what nobody else has in hand, and all keep one rate. The bound is the rate alone; how far below it they stay is the
/// machine's.
#[tokio::test]
async fn however_many_take_turns_the_rate_is_one_rate() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 500).await;
    let operation = ask(&schema, Terms::new(40, false, 100, Duration::ZERO).unwrap()).await;
    select_all(&schema, operation).await;
    let from = Instant::now();
    let many = async {
        while from.elapsed() < Duration::from_secs(3) {
            schema
                .execute("update operations set due_at = utc_timestamp(3)")
                .await;
            turn(&schema.pool).await;
            let elapsed = from.elapsed().as_secs_f64();
            let begun = f64::from(bulk(&schema, operation).await.counts.begun);
            assert!(
                begun <= 40.0f64.mul_add(elapsed + 0.3, 1.0),
                "{begun} in {elapsed} s"
            );
        }
    };
    tokio::join!(many, async {
        while from.elapsed() < Duration::from_secs(3) {
            turn(&schema.pool).await;
        }
    });
    let begun = bulk(&schema, operation).await.counts.begun;
    #[expect(clippy::print_stdout, reason = "a figure of the report")]
    {
        println!("{begun} begun in 3 s at 40 a second");
    }
    assert!(begun >= 60, "{begun}");
}

/// The figure the report names: how long a hundred thousand take to be selected, and what a page and a turn cost then.
#[tokio::test]
async fn a_hundred_thousand_are_selected_in_pieces() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 100_000).await;
    let operation = ask(&schema, terms(false, 100)).await;
    let (from, mut longest) = (Instant::now(), Duration::ZERO);
    while !bulk(&schema, operation).await.selected_all {
        let piece = Instant::now();
        assert!(turn(&schema.pool).await);
        longest = longest.max(piece.elapsed());
    }
    let took = from.elapsed();
    assert_eq!(bulk(&schema, operation).await.counts.selected, 100_000);
    let page = Instant::now();
    found(&schema, operation).await;
    let items = operations::items(
        &schema.pool,
        operation,
        Some("selected"),
        Some(id(50_000)),
        100,
    )
    .await
    .unwrap();
    assert_eq!((items.len(), items[0].archive_id), (100, id(50_001)));
    let page = page.elapsed();
    let begin = Instant::now();
    assert!(turn(&schema.pool).await);
    let begin = begin.elapsed();
    #[expect(clippy::print_stdout, reason = "a figure of the report")]
    {
        println!(
            "100,000 selected in {took:?}, the longest piece {longest:?}; a page {page:?}, a turn {begin:?}"
        );
    }
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert!(page < Duration::from_millis(200), "{page:?}");
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
    (asking.by, asking.kind) = ("night", Kind::Replay);
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

/// A row that this build cannot read does not keep the others from their turns.
#[tokio::test]
async fn what_cannot_be_read_is_put_off() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 1).await;
    let strange = ask(&schema, terms(false, 100)).await;
    schema
        .execute("update operations set filter = '{\"buyer\":\"x\"}'")
        .await;
    let fine = ask(&schema, terms(false, 100)).await;
    until(&schema, fine, "it is begun", |counts| counts.begun == 1).await;
    assert!(operations::find(&schema.pool, strange).await.is_err());
}
