//! A hundred thousand transactions that wait for one participant are nobody else's trouble, and its own only as fast as it can.

use crate::theatre::Theatre;
use coordinator::{ForeignParticipants, HttpParticipant, HttpSettings, Recovered, Style};
use std::time::{Duration, Instant};
use testkit::{eventually, foreign_participant::ForeignParticipant};

const CROWD: u32 = 100_000;
/// Calls it bears at once.
const AT_ONCE: usize = 16;

/// PROTOCOL 5: paced, fair between participants. Breaks when `wake` wakes all at once, and when what is parked comes due.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_waits_for_one_participant_holds_nobody_up() {
    let coupons = ForeignParticipant::start().await;
    let participant = HttpParticipant::new(HttpSettings {
        name: "coupon".to_owned(),
        style: Style::Saga,
        url: coupons.url(),
        timeout: Duration::from_secs(2),
        in_flight: AT_ONCE,
        breaker_failures: 3,
    });
    let foreign = ForeignParticipants::new([participant.unwrap()]).unwrap();
    let theatre = Theatre::with(0, foreign).await;
    coupons.stop().await;
    theatre.left_behind(CROWD, "rolling_back").await;
    theatre
        .schema
        .execute(
            "update transactions set branches = 1, due_at = utc_timestamp(3) + interval 1 hour",
        )
        .await;
    theatre
        .schema
        .execute(
            "insert into transaction_branches (gid, participant, is_foreign, state, attempts, history, waits, created_at, changed_at)
             select gid, 'coupon', 1, 'owed', 1, '', 1, created_at, created_at from transactions",
        )
        .await;
    for query in [
        "select gid from transaction_branches where participant = 'coupon' and waits = 1 order by gid limit 1000",
        "select gid from transaction_branches where participant = 'coupon' and waits = 2 order by gid limit 1000",
    ] {
        let plan = crate::recovery::explain(&theatre, query).await;
        assert!(
            plan[0].0 == "branches_by_waiting" && !plan[0].1.contains("filesort"),
            "{query}: {plan:?}"
        );
    }
    let others = 300;
    theatre
        .schema
        .execute(&format!(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at)
             select unhex(concat('ff', lpad(hex(seq), 30, '0'))), 'visit', unhex(repeat('0', 32)), 'committing', unhex(repeat('0', 32)), 1,
                    '{{\"visitor\":1}}', 0, utc_timestamp(3), utc_timestamp(3)
             from seq_1_to_{others}"
        ))
        .await;

    let recovery = theatre.recovery();
    let begun = Instant::now();
    let mut all = Recovered::default();
    while all.finished < others {
        all = all + recovery.run_batch().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20), "{all:?}");
    }
    // Two thousand tries of a participant that is not there: its breaker, and those that try it.
    for _ in 0..20 {
        recovery.run_batch().await.unwrap();
        recovery.told().await;
    }
    let left_alone: i64 = sqlx::query_scalar(
        "select count(*) from transaction_branches where waits = 1 and history = ''",
    )
    .fetch_one(&theatre.schema.pool)
    .await
    .unwrap();
    assert!(
        left_alone > i64::from(CROWD) - 2_000,
        "only {left_alone} were left alone"
    );

    coupons.start_again().await;
    eventually("it is told again", Duration::from_mins(5), || async {
        recovery.run_batch().await.unwrap();
        recovery.told().await;
        (coupons.calls().len() > 2_000).then_some(())
    })
    .await;
    assert!(coupons.most_at_once() <= AT_ONCE);
    assert_eq!(coupons.broken_rules(), [""; 0]);
}
