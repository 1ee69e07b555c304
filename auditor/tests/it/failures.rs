//! One violation a test, of what is promised of orders that fail.

use crate::{
    failed::{FREDS_AGAIN, OPERATION, POISON, history},
    world::{BERT, BERTS, CARLS, FREDS, World, hex},
};
use auditor::checks::Check;
use rdkafka::message::OwnedHeaders;
use uuid::Uuid;

const STRANGER: Uuid = Uuid::from_u128(0xff1);

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_counted_by_what_became_of_it() {
    let world = World::clean().await;
    let failures = world.violates(&[]).await.failures;
    assert_eq!(
        (
            failures.handed_on,
            failures.healed,
            failures.archived,
            failures.resolved,
            failures.strange
        ),
        (2, 1, 1, 0, 1)
    );
    assert_eq!(
        (failures.alerts_delivered, failures.alerts_undelivered),
        (2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_order_that_is_not_in_the_archive_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "delete from failed_order_archives where id = {}",
            hex(FREDS)
        ))
        .await;
    world.violates(&[Check::FailedIsArchived]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_order_that_lost_a_try_is_seen() {
    let world = World::clean().await;
    let shorter = history(&[(0, 1, "first"), (0, 2, "archive"), (1, 1, "archive")]);
    world
        .sql(&format!(
            "update failed_order_archives set history = '{shorter}' where id = {}",
            hex(FREDS)
        ))
        .await;
    world
        .violates(&[Check::ArchiveIsWhole, Check::OneHistory])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_message_that_is_nowhere_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update failed_order_archives set payload = null where id = {}",
            hex(FREDS)
        ))
        .await;
    world.violates(&[Check::ArchiveIsWhole]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_calls_a_failed_order_settled_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update failed_order_archives set handled = 1, resolution = 'confirmed' where id = {}",
            hex(FREDS)
        ))
        .await;
    world.violates(&[Check::ArchiveFits]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_given_up_twice_and_told_once_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "delete from alerts where id = {}",
            hex(FREDS_AGAIN)
        ))
        .await;
    world.violates(&[Check::ArchivedIsTold]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_nobody_tries_to_send_is_seen_and_waited_for_in_vain() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update alert_outbox set state = 'pending', attempts = 0 where id = {}",
            hex(POISON)
        ))
        .await;
    world
        .violates(&[
            Check::ArchivedIsTold,
            Check::AlertShown,
            Check::SettledInTime,
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_cannot_be_delivered_is_shown_and_no_violation() {
    let world = World::clean().await;
    world
        .sql("update alert_outbox set state = 'pending', attempts = 3")
        .await;
    assert_eq!(world.violates(&[]).await.failures.alerts_undelivered, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_handed_on_and_vanished_is_seen() {
    let world = World::clean().await;
    world.publish_order(STRANGER, STRANGER, BERT, 1);
    world.hand_on(STRANGER, STRANGER, 0, BERT);
    world
        .violates(&[Check::MessageSettled, Check::HandedOnKept])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_given_up_without_a_dead_letter_is_seen() {
    let world = World::clean().await;
    let given_up = [(0, 1, "first"), (0, 1, "archive")];
    world
        .compensation(CARLS, CARLS, 0, "archived", &given_up)
        .await;
    world.violates(&[Check::GivenUpIsDeadLetter]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_no_order_and_was_not_archived_is_seen() {
    let world = World::clean().await;
    world.publish(
        &world.topics.dead_letters,
        "foreign",
        "from elsewhere",
        OwnedHeaders::new(),
    );
    let report = world.violates(&[Check::DeadLetterArchived]).await;
    assert_eq!(report.topics.foreign_dead_letters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_forgot_what_was_before_it_is_seen() {
    let world = World::clean().await;
    let forgetful = history(&[(1, 1, "retry"), (1, 1, "archive")]);
    world
        .sql(&format!(
            "update compensations set history = '{forgetful}' where gid = {}",
            hex(FREDS_AGAIN)
        ))
        .await;
    let report = world.violates(&[Check::OneHistory]).await;
    assert_eq!(
        report.of(Check::OneHistory).map(|check| check.violated),
        Some(3),
        "it does not go on, and neither the archive nor the table of tries says the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_is_missing_in_the_table_of_tries_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "delete from compensation_logs where order_id = {} limit 1",
            hex(BERTS)
        ))
        .await;
    world.violates(&[Check::OneHistory]).await;
}

/// Breaks when work is looked at without its message.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_lost_its_message_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "delete from compensation_messages where id = {}",
            hex(BERTS)
        ))
        .await;
    world.violates(&[Check::HandedOnKept]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_still_waits_to_be_tried_is_seen_and_waited_for_in_vain() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update compensations set state = 'scheduled' where gid = {}",
            hex(BERTS)
        ))
        .await;
    world
        .violates(&[Check::SettledInTime, Check::CompensationSettled])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_not_finished_is_seen_and_waited_for_in_vain() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update operations set state = 'running' where id = {op};
             update operation_items set state = 'processing' where operation_id = {op};
             update failed_order_archives set operation_id = {op} where id = {}",
            hex(FREDS),
            op = hex(OPERATION)
        ))
        .await;
    let report = world
        .violates(&[Check::SettledInTime, Check::ReplaysFinished])
        .await;
    assert_eq!(
        report
            .of(Check::ReplaysFinished)
            .map(|check| check.violated),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_called_confirmed_and_was_rolled_back_is_seen() {
    let world = World::clean().await;
    world
        .sql("update operation_items set state = 'confirmed'")
        .await;
    world.violates(&[Check::ReplayTrue]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_refused_because_another_was_faster_is_no_violation() {
    let world = World::clean().await;
    world
        .sql("update operation_items set state = 'refused', reason = 'superseded'")
        .await;
    world.violates(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_given_up_and_committed_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update transactions set state = 'committed' where gid = {}",
            hex(FREDS_AGAIN)
        ))
        .await;
    world
        .violates(&[Check::FitsTransaction, Check::ReplayTrue])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_does_not_take_in_what_failed_is_seen() {
    let mut world = World::clean().await;
    world.taken_in = false;
    world.violates(&[Check::SettledInTime, Check::NoLag]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_held_for_an_operator_is_no_violation_but_of_having_no_row() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "delete from orders where id = {id};
             delete from transactions where gid in ({id}, {again});
             update compensations set state = 'held' where order_id = {id};
             update failed_order_archives set held = 1 where id = {id};
             update operation_items set state = 'refused'",
            id = hex(FREDS),
            again = hex(FREDS_AGAIN)
        ))
        .await;
    let report = world.violates(&[Check::AcceptedHasRow]).await;
    assert_eq!(report.orders.failed, 0);
}
