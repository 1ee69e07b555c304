//! What was decided is completed: repeated with growing waits, given up with its evidence, and never because somebody is away.

use crate::theatre::{Mood, Theatre};
use coordinator::{Direction, Gid, Outcome, Recovered, ResumeError, SubmitError, backlog, resume};
use futures::future::join_all;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_failing_is_stuck_with_its_evidence_and_resumes_the_way_it_was_decided() {
    let theatre = Theatre::with_seats(1).await;
    theatre.cloakroom.is(Mood::Fails);
    let (seated, refused) = (theatre.decided(1).await, theatre.decided(2).await);
    let recovery = theatre.recovery();
    for (attempt, wait_ms) in [(1, 10_000), (2, 20_000)] {
        assert_eq!(theatre.recovered(2).await.waiting, 2);
        let logged = theatre.logged(seated).await;
        assert_eq!(
            (logged.state.as_str(), logged.attempts),
            ("committing", attempt)
        );
        let about = wait_ms * 3 / 4..=wait_ms * 5 / 4;
        assert!(about.contains(&logged.due_in_ms), "{logged:?}");
    }
    assert_eq!(theatre.recovered(2).await.stuck, 2);
    for (gid, state) in [
        (seated, "stuck_committing"),
        (refused, "stuck_rolling_back"),
    ] {
        let logged = theatre.logged(gid).await;
        let evidence = Some("cloakroom: no hooks left".to_owned());
        assert_eq!(
            (logged.state.as_str(), logged.attempts, logged.last_error),
            (state, 3, evidence)
        );
    }

    theatre.cloakroom.is(Mood::Works);
    assert_eq!(theatre.recovered(0).await, Recovered::default());
    for gid in [seated, refused] {
        recovery.resume(gid).await.unwrap();
    }
    assert_eq!(theatre.recovered(2).await.finished, 2);
    assert_eq!(theatre.cloakroom.told(seated), [Direction::Commit]);
    assert_eq!(theatre.cloakroom.told(refused), [Direction::RollBack]);
}

/// PROTOCOL 2. Breaks when `Recovery::complete` counts `NotYet` as an attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_is_away_makes_nothing_stuck() {
    let theatre = Theatre::with_seats(1).await;
    theatre.bar.is(Mood::IsAway);
    let gid = theatre.decided(1).await;
    for _ in 0..10 {
        assert_eq!(theatre.recovered(1).await.waiting, 1);
    }
    let logged = theatre.logged(gid).await;
    assert_eq!((logged.state.as_str(), logged.attempts), ("committing", 0));
    assert_eq!(logged.last_error.as_deref(), Some("bar: closed"));
    theatre.bar.is(Mood::Works);
    assert_eq!(theatre.recovered(1).await.finished, 1);
    assert_eq!(theatre.logged(gid).await.last_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_stuck_is_resumed() {
    let theatre = Theatre::with_seats(1).await;
    let gid = theatre.decided(1).await;
    let mut db = theatre.schema.pool.acquire().await.unwrap();
    assert!(matches!(
        resume(&mut db, gid).await,
        Err(ResumeError::NotStuck(_))
    ));
    let nobody = Gid::from_uuid(Uuid::nil());
    assert!(
        matches!(resume(&mut db, nobody).await, Err(ResumeError::NotFound(it)) if it == nobody)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_nobody_can_read_is_kept_and_stuck_alone() {
    let theatre = Theatre::with_seats(2).await;
    theatre.bar.is(Mood::IsAway);
    let (torn, whole) = (theatre.decided(1).await, theatre.decided(2).await);
    theatre.bar.is(Mood::Works);
    let torn_hex = torn.as_uuid().simple();
    let tear = format!("update transactions set payload = '{{' where hex(gid) = '{torn_hex}'");
    theatre.schema.execute(&tear).await;
    theatre.recovered(2).await;
    for _ in 0..2 {
        theatre.recovered(1).await;
    }
    assert_eq!(theatre.logged(whole).await.state, "committed");
    let logged = theatre.logged(torn).await;
    assert_eq!(logged.state, "stuck_committing");
    assert!(logged.last_error.unwrap().starts_with("unreadable payload"));
}

/// Breaks when a panic is not caught: the label of the batch is never free again, and nobody is answered.
#[tokio::test(flavor = "multi_thread")]
async fn who_panics_fails_alone() {
    let theatre = Theatre::with_seats(100).await;
    theatre.bar.is(Mood::Panics);
    let visits = (10..20).map(|visitor| theatre.engine().submit(Theatre::visit(visitor)));
    for (visitor, outcome) in (10..20).zip(join_all(visits).await) {
        if visitor == 13 {
            assert!(
                matches!(outcome, Err(SubmitError::CannotDecide(_))),
                "{outcome:?}"
            );
        } else {
            assert_eq!(outcome, Ok(Outcome::Committed));
        }
    }
    assert_eq!(theatre.recovered(9).await.waiting, 9);
    theatre.bar.is(Mood::Works);
    assert_eq!(theatre.recovered(9).await.finished, 9);
}

/// Promise 6. Breaks when rows are claimed without `skip locked` or without a lease: some are told twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_completed_once_by_many_at_once() {
    let theatre = Theatre::with_seats(0).await;
    theatre.left_behind(5_000, "committing").await;
    let (one, other) = (theatre.recovery(), theatre.recovery());
    let all = |recovery: coordinator::Recovery<_>| async move {
        while recovery.run_batch().await.unwrap().finished > 0 {}
    };
    tokio::join!(all(one), all(other));
    assert_eq!(theatre.count("committed").await, 5_000);
    assert_eq!(theatre.cloakroom.calls(), 5_000);
    let left = backlog(&theatre.schema.pool).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// The cost of recovery does not grow with what is finished.
#[tokio::test(flavor = "multi_thread")]
async fn recovery_and_retention_go_by_the_index_alone() {
    let theatre = Theatre::with_seats(0).await;
    theatre.left_behind(5_000, "committing").await;
    for (query, extra) in [
        (
            "select gid from transactions where state = 'committing' and due_at <= utc_timestamp(3) order by due_at limit 500
             for update skip locked",
            "Using where",
        ),
        (
            "select count(*), min(created_at) from transactions where state in ('begun', 'committing') group by state",
            "Using index",
        ),
        (
            "select gid from transactions where state = 'committed' and due_at < utc_timestamp(3) - interval 336 hour
             and finished_at < utc_timestamp(3) - interval 336 hour order by due_at limit 500",
            "Using where",
        ),
        (
            "select gid, label, work from transactions where state = 'begun' and due_at <= utc_timestamp(3)
             order by due_at limit 100 for update skip locked",
            "Using",
        ),
        (
            "select gid from transactions where state = 'stuck_committing' and due_at < timestamp('9000-01-01 00:00:00')
             and handed_over = 0 order by due_at limit 50 for update skip locked",
            "Using",
        ),
    ] {
        let plan: Vec<(String, String)> = explain(&theatre, query).await;
        for (key, how) in plan {
            assert_eq!(key, "transactions_by_due", "{query}");
            assert!(how.contains(extra) && !how.contains("filesort"), "{query}: {how}");
        }
    }
}

/// The keys a query goes by, and how.
pub async fn explain(theatre: &Theatre, query: &str) -> Vec<(String, String)> {
    use sqlx::Row as _;
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("explain {query}")))
        .fetch_all(&theatre.schema.pool)
        .await
        .unwrap();
    let column = |row: &sqlx::mysql::MySqlRow, name| {
        row.try_get::<Option<String>, _>(name)
            .unwrap()
            .unwrap_or_default()
    };
    rows.iter()
        .map(|row| (column(row, "key"), column(row, "Extra")))
        .collect()
}
