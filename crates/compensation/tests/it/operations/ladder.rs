//! How fast: by its ladder, its rate, and not at all where too many fail.

use super::*;

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
            assert!(operations::processing(&mut tx, &item, None).await.unwrap());
            let history = compensation::attempt::History::default();
            let _ = operations::settled(
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
