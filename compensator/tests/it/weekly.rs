//! A week is counted as its rows are, stored once, and told of once.

use crate::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use compensation::report::{self, Made, Spread, Tries, TriesKept, Week};
use compensator::schedule::Scan as _;
use futures::future::join_all;

/// The last week that is over.
async fn last_week(world: &World) -> Week {
    Week::of(report::now(&world.schema.pool).await.unwrap()).before()
}

/// As if the schema had been made so many days ago.
async fn born(world: &World, days: u32) {
    world
        .schema
        .execute(&format!(
            "update _sqlx_migrations set installed_on = utc_timestamp(3) - interval {days} day"
        ))
        .await;
}

fn at(moment: DateTime<Utc>) -> String {
    moment.format("'%Y-%m-%d %H:%M:%S%.3f'").to_string()
}

/// So many tries of one lane and outcome, at `moment`. Ids go on from `first`.
async fn tries(world: &World, moment: DateTime<Utc>, lane: &str, outcome: &str, count: u32) {
    world
        .schema
        .execute(&format!(
            "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker)
             select unhex(lpad(hex(seq), 32, '0')), unhex(lpad(hex(seq), 32, '0')), 0, 1, '{lane}', '{outcome}', {}, 1, 'one'
             from seq_1_to_{count}",
            at(moment)
        ))
        .await;
}

/// Archived rows `first` to `last` of one cause, archived at `moment`; settled at `settled` as said, where they were.
async fn archived(
    world: &World,
    (first, last): (u32, u32),
    error: &str,
    moment: DateTime<Utc>,
    settled: Option<(DateTime<Utc>, &str)>,
) {
    let (handled_at, how) = settled.map_or_else(
        || ("null".to_owned(), "null".to_owned()),
        |(moment, how)| (at(moment), format!("'{how}'")),
    );
    world
        .schema
        .execute(&format!(
            "insert into failed_order_archives (id, order_id, gid, generation, step, error, attempts, history, storage, payload, headers,
                    held, handled, resolution, times_archived, first_failed_at, archived_at, handled_at)
             select unhex(lpad(hex(seq), 32, '0')), unhex(lpad(hex(seq), 32, '0')), unhex(lpad(hex(seq), 32, '0')), 0, 'decide', '{error}',
                    1, '[]', 'mysql', '', '[]', 0, {handled_at} is not null, {how}, 1, {}, {}, {handled_at}
             from seq_{first}_to_{last}",
            at(moment - TimeDelta::minutes(1)),
            at(moment)
        ))
        .await;
}

/// Work of some generation that was closed at `moment`, after so many milliseconds.
async fn closed(world: &World, id: u32, generation: u32, moment: DateTime<Utc>, ms: i64) {
    world
        .schema
        .execute(&format!(
            "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id,
                    history, outcome, created_at, closed_at)
             values (unhex(lpad(hex({id}), 32, '0')), 'order', unhex(lpad(hex({id}), 32, '0')), {generation}, '', '', 'closed', 2, {},
                     '', '[]', 'confirmed', {}, {})",
            at(moment),
            at(moment - TimeDelta::milliseconds(ms)),
            at(moment)
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_has_what_happened_from_monday_to_sunday_and_no_more() {
    let world = World::closed().await;
    let week = last_week(&world).await;
    let (monday, end) = (week.starts_at(), week.ends_at());
    let sunday = end - TimeDelta::milliseconds(1);
    for moment in [monday - TimeDelta::milliseconds(1), end] {
        tries(&world, moment, "retry", "failed", 70).await;
    }
    for moment in [monday, sunday] {
        tries(&world, moment, "retry", "failed", 10).await;
        tries(&world, moment, "dead_letter", "confirmed", 3).await;
        tries(&world, moment, "archive", "archived", 2).await;
        tries(&world, moment, "first", "failed", 50).await;
    }
    let hour = TimeDelta::hours(1);
    archived(&world, (1, 5), "Deadlock found", monday, None).await;
    archived(
        &world,
        (11, 12),
        "coupon: HTTP 503",
        sunday,
        Some((end, "confirmed")),
    )
    .await;
    archived(
        &world,
        (21, 23),
        "Deadlock found",
        monday - hour,
        Some((sunday, "discarded")),
    )
    .await;
    archived(
        &world,
        (31, 31),
        "Deadlock found",
        monday,
        Some((monday + hour, "rejected")),
    )
    .await;
    for (id, ms) in (1..=20).map(|id| (id, i64::from(id) * 1_000)) {
        closed(&world, id, 0, monday + hour, ms).await;
    }
    closed(&world, 50, 1, monday, 9_000_000).await;
    closed(&world, 51, 0, end, 9_000_000).await;
    let raised = at(monday);
    for rows in [
        format!(
            "insert into alerts (id, group_key, kind, severity, subject, title, body, created_at)
             select unhex(lpad(hex(seq), 32, '0')), 'archived', 'archived', 'urgent', '', '', '', {raised} from seq_1_to_7"
        ),
        format!(
            "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, created_at)
             select unhex(lpad(hex(seq), 32, '0')), 'ops', 'archived', 'urgent', '', '', '', if(seq = 1, 'undelivered', 'delivered'), 1,
                    utc_timestamp(3), {raised} from seq_1_to_7"
        ),
    ] {
        world.schema.execute(&rows).await;
    }
    let mut scans = world.scans().await;
    scans.grouping.run_once().await.unwrap();

    let figures = report::measure(&world.schema.pool, week, end, TriesKept::InTable)
        .await
        .unwrap();
    let expected = Tries {
        made: 26,
        settled: 6,
        given_up: 4,
    };
    assert_eq!(figures.tries, Some(expected));
    assert_eq!(figures.archived, 8);
    assert_eq!((figures.replayed(), figures.discarded()), (1, 3));
    let causes: Vec<(&str, u64)> = figures
        .causes
        .iter()
        .map(|cause| (cause.pattern.as_str(), cause.count))
        .collect();
    assert_eq!(
        causes,
        [("Deadlock found", 6), ("coupon: HTTP <number>", 2)]
    );
    let Spread {
        count,
        p50_ms,
        p95_ms,
        longest_ms,
    } = figures.repaired_by_itself;
    assert_eq!((count, longest_ms), (20, 20_000));
    assert!((10_000..=10_900).contains(&p50_ms), "{p50_ms}");
    assert!((19_000..=20_000).contains(&p95_ms), "{p95_ms}");
    // First failed a minute before it was archived.
    assert_eq!(figures.repaired_by_people.longest_ms, 61 * 60_000);
    assert_eq!((figures.alerts, figures.alerts_undelivered), (7, 1));
    // Open are those that were archived and not handled: five.
    assert_eq!((figures.open.work, figures.open.archived), (0, 5));

    let elsewhere = report::measure(&world.schema.pool, week, end, TriesKept::Elsewhere)
        .await
        .unwrap();
    assert_eq!((elsewhere.tries, elsewhere.archived), (None, 8));
}

/// Breaks when a week may be stored twice, and its alert has an id of its own each time: `left: 8, right: 1`.
#[tokio::test(flavor = "multi_thread")]
async fn a_week_is_stored_and_told_of_once_by_however_many() {
    let world = World::closed().await;
    let week = last_week(&world).await;
    let db = &world.schema.pool;
    let figures = report::measure(db, week, week.ends_at(), TriesKept::InTable)
        .await
        .unwrap();
    let makers = (0..8).map(|_| report::make(db, &figures));
    let made = join_all(makers).await.into_iter().map(Result::unwrap);
    assert_eq!(made.filter(|made| *made == Made::Now).count(), 1);
    assert_eq!(told(&world).await, [week.to_string()]);
    let stored = report::find(db, week).await.unwrap().unwrap();
    assert_eq!(stored.figures, figures);
}

/// Breaks when only the last week is looked at, or all that ever were: the process may have been down for a month, or be new.
#[tokio::test(flavor = "multi_thread")]
async fn weeks_that_were_missed_are_made_up_for_four_at_most_and_none_before_there_was_a_shop() {
    let world = World::closed().await;
    let week = last_week(&world).await;
    let mut scans = world.scans().await;
    assert_eq!(scans.weekly.run_once().await.unwrap().counts["made"], 0);
    assert!(told(&world).await.is_empty(), "nothing was there last week");

    born(&world, 400).await;
    let mut other = world.scans().await;
    let (first, second) = tokio::join!(scans.weekly.run_once(), other.weekly.run_once());
    let (first, second) = (first.unwrap(), second.unwrap());
    let made = |findings: &compensator::findings::Findings| {
        findings.counts.get("made").copied().unwrap_or_default()
    };
    assert_eq!(made(&first) + made(&second), 4);
    let before = week.before();
    let weeks = [before.before().before(), before.before(), before, week];
    // In the ten minutes after a week it is not counted yet.
    let told = told(&world).await;
    let now = report::now(&world.schema.pool).await.unwrap();
    if now - week.ends_at() > TimeDelta::minutes(11) {
        assert_eq!(told, weeks.map(|week| week.to_string()));
    }
    assert_eq!(scans.weekly.run_once().await.unwrap().counts["made"], 0);
    let shown = scans.weekly.show(None).await.unwrap();
    assert!(
        shown.found[0].starts_with(&format!("{week}: ")),
        "{shown:?}"
    );
    assert!(shown.found[1].contains("the week before: 0"), "{shown:?}");
}

/// The weeks people were told of, by their channel-less alerts, in order.
async fn told(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "select subject from alerts where kind = 'weekly_report' and severity = 'info' order by subject",
    )
    .fetch_all(&world.schema.pool)
    .await
    .unwrap()
}
