//! What finished long ago is forgotten, and nothing else, while others decide.

use crate::theatre::Theatre;
use coordinator::Retention;
use futures::future::join_all;
use std::time::Duration;

const TWO_WEEKS: Duration = Duration::from_hours(336);

/// Breaks when either statement leaves `finished_at` or the state out: something unfinished, or young, is gone.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_finished_long_ago_is_forgotten() {
    let theatre = Theatre::with_seats(100).await;
    theatre.left_behind(2_000, "committing").await;
    for (state, finished, range) in [
        ("committed", "337 hour", "1 and 1200"),
        ("rolled_back", "400 hour", "1201 and 1500"),
        // Decided long ago, and completed only now.
        ("committed", "335 hour", "1501 and 1600"),
    ] {
        theatre
            .schema
            .execute(&format!(
                "update transactions set state = '{state}', finished_at = utc_timestamp(3) - interval {finished},
                        due_at = utc_timestamp(3) - interval 500 hour
                 where conv(hex(gid), 16, 10) between {range}"
            ))
            .await;
    }
    // Unfinished for a month.
    theatre
        .schema
        .execute(
            "update transactions set due_at = utc_timestamp(3) - interval 700 hour,
                    state = if(conv(hex(gid), 16, 10) > 1800, 'stuck_committing', state)
             where conv(hex(gid), 16, 10) > 1600",
        )
        .await;
    theatre
        .schema
        .execute(
            "insert into transaction_branches (gid, participant, is_foreign, state, attempts, history, created_at, changed_at)
             select gid, 'coupon', 1, 'done', 1, '', created_at, created_at from transactions",
        )
        .await;
    let (one, other) = (
        Retention::new(theatre.schema.pool.clone(), TWO_WEEKS),
        Retention::new(theatre.schema.pool.clone(), TWO_WEEKS),
    );
    let all = async |retention: &Retention| {
        let mut removed = 0;
        loop {
            match retention.run_batch().await.unwrap() {
                0 => return removed,
                some => removed += some,
            }
        }
    };
    let visits = (20..60).map(|visitor| theatre.engine().submit(Theatre::visit(visitor)));
    let (first, second, decided) = tokio::join!(all(&one), all(&other), join_all(visits));
    assert_eq!(first + second, 1_500, "each is removed once");
    assert!(decided.iter().all(Result::is_ok), "{decided:?}");
    assert_eq!(theatre.count("rolled_back").await, 0);
    assert_eq!(theatre.count("stuck_committing").await, 200);
    let young = "select count(*) from transactions where state = 'committed' and conv(hex(gid), 16, 10) between 1501 and 1600";
    let kept: i64 = sqlx::query_scalar(young)
        .fetch_one(&theatre.schema.pool)
        .await
        .unwrap();
    assert_eq!(kept, 100);
    let strays =
        "select count(*) from transaction_branches where gid not in (select gid from transactions)";
    let strays: i64 = sqlx::query_scalar(strays)
        .fetch_one(&theatre.schema.pool)
        .await
        .unwrap();
    assert_eq!(strays, 0, "branches go with their transaction");
}
