//! Every alert is counted once: in a storm, by several who fold, and whoever of them dies.

use super::{Desk, Random, trouble};
use compensation::alerts::{Alert, Severity, incidents, record};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use testkit::eventually;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn given_up(cause: u64) -> Alert {
    let order = Uuid::now_v7().to_string();
    Alert::new(
        "archived",
        Severity::Urgent,
        &order,
        "An order was given up",
    )
    .group(&format!("archived/{cause:016x}"))
}

/// What fails of one cause until its row is handled: nothing here is in the archive, so it is kept open by a row of that cause.
async fn is_open(desk: &Desk, cause: u64) {
    sqlx::query(
        "insert into failed_order_archives (id, generation, step, error, attempts, history, storage, held, handled, times_archived, \
         first_failed_at, archived_at, fingerprint, fingerprint_version)
         values (?, 0, 'decide', 'e', 1, '[]', 'mysql', false, false, 1, utc_timestamp(3), utc_timestamp(3), ?, 1)",
    )
    .bind(Uuid::now_v7())
    .bind(cause)
    .execute(desk.db())
    .await
    .unwrap();
}

/// Meant to catch: the incident opened anew by each batch; a notice for each batch; who raises waiting for who folds.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_ten_thousand_of_one_cause_is_one_incident_with_a_count() {
    const TASKS: usize = 20;
    const EACH: usize = 500;
    let desk = Desk::new().await;
    is_open(&desk, 7).await;
    let stop = CancellationToken::new();
    let folders: Vec<_> = (0..2)
        .map(|_| tokio::spawn(desk.folder().run(stop.clone())))
        .collect();
    let begun = Instant::now();
    let mut raising = JoinSet::new();
    for _ in 0..TASKS {
        let db = desk.db().clone();
        raising.spawn(async move {
            for _ in 0..EACH / 10 {
                let mut tx = db.begin().await.unwrap();
                for _ in 0..10 {
                    record(&mut tx, &given_up(7)).await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        });
    }
    raising.join_all().await;
    stop.cancel();
    for folder in folders {
        folder.await.unwrap();
    }
    desk.in_minutes(0).await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_mins(2),
        "raised and counted in {took:?}"
    );
    let incident = desk.incident().await;
    assert_eq!(incident.alerts, 10_000);
    assert_eq!(desk.told("ops").await, ["firing"]);
    desk.in_minutes(6).await;
    assert_eq!(desk.told("ops").await, ["firing", "changed"]);
    assert_eq!(desk.told("chat").await, ["firing", "changed"]);
    let [_, changed] = &desk.bodies("ops").await[..] else {
        panic!("two notices")
    };
    assert_eq!(changed["count"], 10_000);
    let more = &changed["alert"]["facts"][0];
    assert_eq!(more[0], "more since the last notice");
    assert!(
        more[1].as_str().unwrap().parse::<u64>().unwrap() >= 9_000,
        "{more}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_wait_are_counted_within_seconds() {
    let desk = Desk::new().await;
    is_open(&desk, 7).await;
    let mut tx = desk.db().begin().await.unwrap();
    record(&mut tx, &given_up(7)).await.unwrap();
    tx.commit().await.unwrap();
    desk.schema
        .execute(
            "insert into alerts (id, group_key, kind, severity, subject, title, body, created_at)
             select unhex(concat('ff', lpad(hex(seq), 30, '0'))), group_key, kind, severity, subject, title, body, created_at
             from alerts join seq_1_to_9999",
        )
        .await;
    let begun = Instant::now();
    desk.in_minutes(0).await;
    let took = begun.elapsed();
    assert_eq!(desk.incident().await.alerts, 10_000);
    assert!(took < Duration::from_mins(1), "{took:?}");
}

/// Meant to catch: an upsert of alerts that locks the incident, or a gap.
#[tokio::test(flavor = "multi_thread")]
async fn who_raises_waits_for_nobody_who_folds() {
    let desk = Desk::new().await;
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    desk.raise(&trouble()).await;
    let mut folding = desk.db().begin().await.unwrap();
    for lock in [
        "select id from alerts force index (alerts_by_incident) where incident_id is null order by created_at, id limit 500 for update",
        "select id from incidents where open_group = 'system/archive' for update",
    ] {
        sqlx::query(lock).fetch_all(&mut *folding).await.unwrap();
    }
    timeout(Duration::from_secs(4), desk.raise(&trouble()))
        .await
        .expect("nobody waits");
    // And who folds beside the one that stands still takes the others.
    timeout(Duration::from_secs(4), async {
        desk.raise(&Alert::new("system", Severity::Urgent, "other", "Other"))
            .await;
    })
    .await
    .expect("nobody waits");
    folding.rollback().await.unwrap();
    desk.in_minutes(0).await;
    assert_eq!(
        desk.number("select cast(sum(alerts) as signed) from incidents")
            .await,
        4
    );
}

/// Those who fold are cut off at moments of chance, by themselves or by the server, and several fold the same groups at once. Caught:
/// alerts noted in a transaction of their own (counted twice), or before the incidents are written (lost); a notice outside of it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_each_alert_is_counted_once_and_each_incident_told_of_once() {
    const GROUPS: u64 = 7;
    let mut random = Random::seeded();
    let seed = random.seed;
    let desk = Desk::new().await;
    for cause in 0..GROUPS {
        is_open(&desk, cause).await;
    }
    let mut raised = 0;
    for _ in 0..40 {
        // A busy machine takes a while to have the connections of those who were cut off back.
        let begin = || async { desk.db().begin().await.ok() };
        let mut tx = eventually("there is a connection", Duration::from_mins(1), begin).await;
        for _ in 0..random.below(60) {
            let alert = given_up(random.below(GROUPS));
            record(&mut tx, &alert).await.unwrap();
            // A repeat changes nothing.
            if random.below(10) == 0 {
                record(&mut tx, &alert).await.unwrap();
            }
            raised += 1;
        }
        if random.below(10) == 0 {
            tx.rollback().await.unwrap();
            raised = desk.number("select count(*) from alerts").await;
        } else {
            tx.commit().await.unwrap();
        }
        let cut = [random.below(40), random.below(40)].map(Duration::from_millis);
        let [one, other] = [desk.folder(), desk.folder()];
        let _ = tokio::join!(
            timeout(cut[0], one.run_once()),
            timeout(cut[1], other.run_once())
        );
        if random.below(4) == 0 {
            kill_one(&desk).await;
        }
    }
    // Of one who was cut off the server may still hold the locks for a moment: whoever folds leaves those rows out.
    eventually("all are counted", Duration::from_mins(1), || async {
        let _ = desk.folder().run_once().await;
        let left = desk.number("select count(*) from alerts where incident_id is null");
        (left.await == 0).then_some(())
    })
    .await;
    assert_eq!(
        desk.number("select count(*) from alerts").await,
        raised,
        "REDRESS_SEED={seed}"
    );
    let open = desk.incidents(incidents::Show::Open).await;
    let groups = usize::try_from(GROUPS).unwrap();
    assert_eq!(open.len(), groups, "REDRESS_SEED={seed}");
    for incident in &open {
        let counted: i64 = sqlx::query_scalar(
            "select count(*) from alerts where incident_id = ? and group_key = ?",
        )
        .bind(incident.id)
        .bind(&incident.group)
        .fetch_one(desk.db())
        .await
        .unwrap();
        assert_eq!(counted, i64::from(incident.alerts), "REDRESS_SEED={seed}");
        let sent = desk.sent(incident).await;
        let channels: HashSet<_> = sent.iter().map(|it| it.channel.as_str()).collect();
        assert_eq!(
            (sent.len(), channels.len()),
            (2, 2),
            "REDRESS_SEED={seed} {sent:?}"
        );
        assert!(
            sent.iter()
                .all(|it| it.status == "firing" && it.sequence == 1)
        );
        let opener: Uuid = sqlx::query_scalar("select opened_by from incidents where id = ?")
            .bind(incident.id)
            .fetch_one(desk.db())
            .await
            .unwrap();
        assert_eq!(sent[0].id, opener, "the first notice is the first alert's");
    }
}

/// A connection of this schema that does something, if there is one.
async fn kill_one(desk: &Desk) {
    let busy: Option<i64> = sqlx::query_scalar(
        "select cast(id as signed) from information_schema.processlist where db = database() and id <> connection_id() limit 1",
    )
    .fetch_optional(desk.db())
    .await
    .unwrap();
    if let Some(id) = busy {
        let kill = format!("kill {id}");
        let _ = sqlx::query(sqlx::AssertSqlSafe(kill))
            .execute(desk.db())
            .await;
    }
}
