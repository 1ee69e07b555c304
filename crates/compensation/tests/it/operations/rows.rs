//! Which rows: those that matched when it was asked for, each in one hand.

use super::*;
use compensation::attempt::History;

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
        matches!(late, Err(operations::ReplayRefused::InHand { operation_id, .. }) if operation_id == operation),
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
    // Bounds for any machine, however busy; the figures themselves are printed.
    assert!(took < Duration::from_mins(5), "{took:?}");
    assert!(page < Duration::from_secs(2), "{page:?}");
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

/// Breaks when an item's end asks for the operation's row under a lock: it waits for the tick, and two operations may wait for each other.
#[tokio::test]
async fn an_item_ends_while_a_tick_is_under_way() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 3).await;
    let operation = ask(&schema, terms(false, 100)).await;
    until(&schema, operation, "all are begun", |counts| {
        counts.begun == 3
    })
    .await;
    schema
        .execute("update operations set due_at = utc_timestamp(3)")
        .await;
    let mut tick = schema.pool.begin().await.unwrap();
    tick::due(&mut tick).await.unwrap().unwrap();
    let begun = Instant::now();
    assert_eq!(carry_out(&schema, 3, 3).await, 3);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "it waited for the tick's lock"
    );
    tick.rollback().await.unwrap();
}

/// Breaks when only what is archived again frees the row: it would be replayed for ever.
#[tokio::test]
async fn a_row_whose_item_came_back_is_nobodys() {
    let schema = testkit::mysql::schema().await;
    rows(&schema, 0, 1).await;
    operations::claim_replay(&schema.pool, id(0), "ann", None)
        .await
        .unwrap();
    let item = operations::claim_requested(&schema.pool, LEASE, 1)
        .await
        .unwrap()
        .remove(0);
    let mut tx = schema.pool.begin().await.unwrap();
    let _ = operations::settled(
        &mut tx,
        item.gid,
        item.archive_id,
        operations::ARCHIVED,
        None,
        &History::default(),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    operations::claim_replay(&schema.pool, id(0), "bob", None)
        .await
        .unwrap();
}
