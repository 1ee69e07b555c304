//! Incidents that no alert ends: the archive and the retry queue know when nothing is left to do, and how that came about.

use super::Desk;
use compensation::{
    alerts::{
        Alert, Severity,
        incidents::{self, Act, Show, State, archived_group, dead_letter_group},
    },
    fingerprint::Cause,
};
use uuid::Uuid;

fn cause() -> Cause {
    Cause::of("decide", None, "it failed")
}

async fn archived(desk: &Desk) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into failed_order_archives (id, order_id, generation, step, error, attempts, history, storage, held, handled, \
         times_archived, first_failed_at, archived_at, fingerprint, fingerprint_version)
         values (?, ?, 0, 'decide', 'it failed', 6, '[]', 'mysql', false, false, 1, utc_timestamp(3), utc_timestamp(3), ?, 1)",
    )
    .bind(id)
    .bind(id)
    .bind(cause().fingerprint().to_number())
    .execute(desk.db())
    .await
    .unwrap();
    let group = archived_group(cause().fingerprint());
    let alert = Alert::new("archived", Severity::Urgent, &id.to_string(), "Given up").group(&group);
    desk.raise(&alert).await;
    id
}

async fn handled(desk: &Desk, id: Uuid, resolution: &str) {
    sqlx::query("update failed_order_archives set handled = true, handled_at = utc_timestamp(3), resolution = ? where id = ?")
        .bind(resolution)
        .bind(id)
        .execute(desk.db())
        .await
        .unwrap();
}

/// Meant to catch: the rows that are open not looked at; each alert counted instead of each row.
#[tokio::test]
async fn it_is_over_when_no_row_of_the_cause_is_left_to_do_and_says_how() {
    let desk = Desk::new().await;
    let ids = [
        archived(&desk).await,
        archived(&desk).await,
        archived(&desk).await,
    ];
    // One of them was replayed and given up once more.
    let again = Alert::new("archived", Severity::Urgent, &ids[0].to_string(), "Again")
        .group(&archived_group(cause().fingerprint()));
    desk.raise(&again).await;
    desk.in_minutes(0).await;
    handled(&desk, ids[0], "confirmed").await;
    handled(&desk, ids[1], "confirmed").await;
    desk.in_minutes(1).await;
    assert_eq!(desk.incident().await.state, State::Firing, "one is left");
    handled(&desk, ids[2], "discarded").await;
    desk.in_minutes(2).await;
    let incident = desk.incident().await;
    assert_eq!((incident.state, incident.alerts), (State::Resolved, 4));
    assert_eq!(
        incident.resolution.as_deref(),
        Some("2 replayed, 1 discarded by hand")
    );
    assert_eq!(desk.told("ops").await, ["firing", "resolved"]);
    assert_eq!(
        desk.bodies("ops").await[1]["resolution"],
        "2 replayed, 1 discarded by hand"
    );
}

async fn dead_letter(desk: &Desk) -> Uuid {
    let order = Uuid::now_v7();
    sqlx::query(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id, \
         history, created_at)
         values (?, 'order', ?, 0, ?, ?, 'dead', 4, utc_timestamp(3), ?, '[]', utc_timestamp(3))",
    )
    .bind(order)
    .bind(order)
    .bind(order)
    .bind(order)
    .bind(order)
    .execute(desk.db())
    .await
    .unwrap();
    let group = dead_letter_group(cause().fingerprint());
    let alert =
        Alert::new("dead_letter", Severity::Warning, &order.to_string(), "Dead").group(&group);
    desk.raise(&alert).await;
    order
}

async fn became(desk: &Desk, order: Uuid, state: &str) {
    sqlx::query("update compensations set state = ? where order_id = ?")
        .bind(state)
        .bind(order)
        .execute(desk.db())
        .await
        .unwrap();
}

#[tokio::test]
async fn dead_letters_are_over_when_none_is_tried_any_more() {
    let desk = Desk::new().await;
    let orders = [dead_letter(&desk).await, dead_letter(&desk).await];
    desk.in_minutes(0).await;
    became(&desk, orders[1], "closed").await;
    desk.in_minutes(1).await;
    assert_eq!(desk.incident().await.state, State::Firing);
    became(&desk, orders[0], "archived").await;
    desk.in_minutes(2).await;
    assert_eq!(
        desk.incident().await.resolution.as_deref(),
        Some("1 given up, 1 settled by a later try")
    );
}

#[tokio::test]
async fn a_stuck_transaction_is_over_when_its_letter_is_handled() {
    let desk = Desk::new().await;
    let id = archived(&desk).await;
    desk.schema.execute("delete from alerts").await;
    let alert = Alert::new(
        "transaction_stuck",
        Severity::Urgent,
        &id.to_string(),
        "Stuck",
    );
    desk.raise(&alert).await;
    desk.in_minutes(0).await;
    desk.in_minutes(1).await;
    assert_eq!(desk.incident().await.state, State::Firing);
    handled(&desk, id, "completed").await;
    desk.in_minutes(2).await;
    assert_eq!(
        desk.incident().await.resolution.as_deref(),
        Some("1 of 1 completed")
    );
}

/// Breaks when each one that heals before the next comes is an incident: people are told of two for each.
#[tokio::test]
async fn what_heals_and_fails_in_turns_is_one_incident() {
    let desk = Desk::new().await;
    for minute in 0..4 {
        let order = dead_letter(&desk).await;
        desk.in_minutes(2 * minute).await;
        assert_eq!(desk.incident().await.state, State::Firing);
        became(&desk, order, "closed").await;
        desk.in_minutes(2 * minute + 1).await;
        let incident = desk.incident().await;
        assert_eq!(incident.state, State::Resolved);
        assert_eq!(u64::from(incident.alerts), minute + 1);
    }
    // It came back after two minutes and healed; after four; and at six it stood longer than that: "changed".
    assert_eq!(
        desk.told("ops").await,
        ["firing", "resolved", "changed", "resolved"]
    );
    // Closed by hand, or long ago, it is over.
    dead_letter(&desk).await;
    desk.in_minutes(20).await;
    let [new] = &desk.incidents(Show::Open).await[..] else {
        panic!("another one")
    };
    let close = Act::Close {
        reason: "known".to_owned(),
    };
    let mut db = desk.db().acquire().await.unwrap();
    incidents::act(&mut db, new.id, &close, "ann")
        .await
        .unwrap();
    drop(db);
    desk.in_minutes(21).await;
    dead_letter(&desk).await;
    desk.in_minutes(22).await;
    assert_eq!(desk.incidents(Show::Open).await.len(), 1);
    assert_eq!(desk.incidents(Show::Resolved).await.len(), 2);
}

/// Breaks when only how it ended is said: who asked knows what was done, and whether it was meant.
#[tokio::test]
async fn who_had_them_replayed_is_named_or_counted() {
    let desk = Desk::new().await;
    let ids = [
        archived(&desk).await,
        archived(&desk).await,
        archived(&desk).await,
        archived(&desk).await,
    ];
    for (id, who, how) in [
        (ids[0], "ann", "confirmed"),
        (ids[1], "ann", "confirmed"),
        (ids[2], "ann", "discarded"),
        (ids[3], "bob", "discarded"),
    ] {
        asked(&desk, id, who, how).await;
        handled(&desk, id, how).await;
    }
    desk.in_minutes(0).await;
    desk.in_minutes(1).await;
    assert_eq!(
        desk.incident().await.resolution.as_deref(),
        Some("2 discarded by 2 people, 2 replayed by ann")
    );
}

/// An operation that did so with the row.
async fn asked(desk: &Desk, row: Uuid, who: &str, how: &str) {
    let (operation, kind) = (
        Uuid::now_v7(),
        if how == "discarded" {
            "discard"
        } else {
            "replay"
        },
    );
    sqlx::query("insert into operations (id, kind, asked_by, state, created_at) values (?, ?, ?, 'finished', utc_timestamp(3))")
        .bind(operation)
        .bind(kind)
        .bind(who)
        .execute(desk.db())
        .await
        .unwrap();
    sqlx::query(
        "insert into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at)
         values (?, ?, ?, 1, ?, utc_timestamp(3), utc_timestamp(3))",
    )
    .bind(operation)
    .bind(row)
    .bind(row)
    .bind(how)
    .execute(desk.db())
    .await
    .unwrap();
}
