//! One violation a test.

use crate::world::{ANNA, ANNAS, BERT, BERTS, CARL, CARLS, DORA, SALE, World, hex};
use auditor::{Watch, checks::Check};
use rdkafka::message::OwnedHeaders;
use uuid::Uuid;

const STRANGER: Uuid = Uuid::from_u128(0xff1);

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_state_keeps_every_promise() {
    let world = World::clean().await;
    let report = world.violates(&[]).await;
    let never_looked: Vec<Check> = report
        .verdicts
        .iter()
        .flat_map(|verdict| &verdict.checks)
        .filter(|check| check.checked == 0 && check.check != Check::ConservedMeanwhile)
        .map(|check| check.check)
        .collect();
    assert_eq!(
        never_looked,
        [],
        "a check that looks at nothing proves nothing"
    );
    assert_eq!(
        (
            report.orders.confirmed,
            report.orders.rejected,
            report.orders.failed
        ),
        (2, 1, 1)
    );
    assert_eq!(
        (
            report.topics.orders,
            report.topics.poison,
            report.topics.dead_letters
        ),
        (6, 1, 3)
    );
    assert_eq!(
        (
            report.journal.intents,
            report.journal.answers,
            report.journal.accepted
        ),
        (5, 6, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_appear_from_nowhere_in_mysql_are_seen() {
    let world = World::clean().await;
    world.sql("update sale_inventory set available = 8").await;
    world
        .violates(&[Check::MysqlConserved, Check::RedisAgrees])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_sold_more_than_it_has_is_seen() {
    let world = World::clean().await;
    world
        .sql("update sale_inventory set available = -1, sold = 11")
        .await;
    let report = world
        .violates(&[
            Check::MysqlConserved,
            Check::SoldIsTaken,
            Check::RedisAgrees,
        ])
        .await;
    assert!(
        report.verdicts[0].violations[0].contains(&SALE.to_string()),
        "{:?}",
        report.verdicts[0].violations
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_granted_twice_under_one_key_is_seen() {
    let world = World::clean().await;
    world.order(STRANGER, BERT, 1, "confirmed", None).await;
    world.transaction(STRANGER, "committed").await;
    world.publish_order(STRANGER, STRANGER, BERT, 1);
    world
        .violates(&[
            Check::SoldIsTaken,
            Check::BuyersAgree,
            Check::OneOrderPerKey,
            Check::AnswerKept,
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_above_the_limit_is_seen() {
    let world = World::clean().await;
    world.sql("update sales set per_user_limit = 1").await;
    world.violates(&[Check::LimitKept]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_is_not_conserved_is_seen() {
    let world = World::clean().await;
    world.hset("stock", "total 11").await;
    world
        .violates(&[Check::RedisConserved, Check::RedisAgrees])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_mysql_that_differ_at_rest_are_seen() {
    let world = World::clean().await;
    world.hset("stock", "available 6 sold 4").await;
    world.violates(&[Check::RedisAgrees]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_that_differ_are_seen_whichever_side_has_them() {
    let world = World::clean().await;
    world
        .hset("1:buyers", &format!("{BERT} 2|{BERTS} {DORA} 1|{STRANGER}"))
        .await;
    let report = world.violates(&[Check::RedisBuyersAgree]).await;
    assert_eq!(
        report
            .of(Check::RedisBuyersAgree)
            .map(|check| check.violated),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_without_a_row_is_seen() {
    let mut world = World::clean().await;
    world.answered(4, 202, None, Some(STRANGER));
    let report = world.violates(&[Check::AcceptedHasRow]).await;
    assert!(report.verdicts[1].violations[0].contains(&STRANGER.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_no_end_state_or_without_its_reason_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update orders set reason = null where id = {}",
            hex(CARLS)
        ))
        .await;
    let report = world.violates(&[Check::EndState]).await;
    assert_eq!(report.orders.rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_became_nothing_is_seen() {
    let world = World::clean().await;
    world.publish_order(STRANGER, STRANGER, DORA, 1);
    world.violates(&[Check::MessageSettled]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_nobody_asked_for_and_nobody_sent_is_seen() {
    let world = World::clean().await;
    world
        .order(STRANGER, STRANGER, 1, "rejected", Some("sold_out"))
        .await;
    world.transaction(STRANGER, "rolled_back").await;
    world
        .violates(&[Check::AskedFor, Check::RowHasMessage])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_that_was_granted_is_seen() {
    let world = World::clean().await;
    world.order(STRANGER, DORA, 1, "confirmed", None).await;
    world.transaction(STRANGER, "committed").await;
    world.publish_order(STRANGER, STRANGER, DORA, 1);
    world
        .violates(&[Check::SoldIsTaken, Check::BuyersAgree, Check::AnswerKept])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_may_be_an_order_or_not() {
    let mut world = World::clean().await;
    world.answered(4, 503, Some("outcome_unknown"), Some(STRANGER));
    world
        .order(STRANGER, DORA, 1, "rejected", Some("sold_out"))
        .await;
    world.transaction(STRANGER, "rolled_back").await;
    world.publish_order(STRANGER, STRANGER, DORA, 1);
    world.violates(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_shown_to_the_wrong_buyer_is_seen() {
    let mut world = World::clean().await;
    world.answered(4, 409, Some("already_ordered"), Some(ANNAS));
    world.violates(&[Check::AnswerKept]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_differs_from_its_transaction_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update transactions set state = 'rolled_back' where gid = {}",
            hex(ANNAS)
        ))
        .await;
    world.violates(&[Check::FitsTransaction]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_and_owed_units_are_seen() {
    let world = World::clean().await;
    world.hset("stock", "available 0 held 8 owed 1").await;
    world
        .violates(&[Check::RedisAgrees, Check::NothingHeld])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_reservation_is_seen_and_waited_for_in_vain() {
    let world = World::clean().await;
    world
        .redis(
            redis::cmd("ZADD")
                .arg(format!("{{{SALE}}}:1:pending"))
                .arg(1)
                .arg(STRANGER.to_string()),
        )
        .await;
    world
        .hset(&format!("1:res:{STRANGER}"), "state prepared")
        .await;
    world
        .violates(&[
            Check::NothingHeld,
            Check::NoReservationLeft,
            Check::SettledInTime,
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update transactions set state = 'stuck_committing' where gid = {}",
            hex(BERTS)
        ))
        .await;
    world.violates(&[Check::TransactionFinished]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_transaction_is_seen_and_waited_for_in_vain() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update transactions set state = 'committing' where gid = {}",
            hex(BERTS)
        ))
        .await;
    world
        .violates(&[Check::TransactionFinished, Check::SettledInTime])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_without_a_dead_letter_is_seen() {
    let world = World::clean().await;
    world.publish(
        &world.topics.orders,
        "poison",
        r#"{"version":1,"quantity":-1}"#,
        OwnedHeaders::new(),
    );
    world.violates(&[Check::PoisonHasDeadLetter]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_not_the_message_it_names_is_seen() {
    let world = World::clean().await;
    let (partition, offset) =
        world.publish(&world.topics.orders, "poison", "[]", OwnedHeaders::new());
    world.bury(partition, offset, "{}");
    world
        .violates(&[Check::DeadLetterTrue, Check::DeadLetterArchived])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_was_answered_with_another_order_is_seen() {
    let mut world = World::clean().await;
    world.answered(2, 202, None, Some(STRANGER));
    world.violates(&[Check::SameAnswer]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_was_refused_after_the_202_is_seen() {
    let mut world = World::clean().await;
    world.answered(3, 409, Some("sold_out"), None);
    world.violates(&[Check::SameAnswer]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_transaction_that_took_effect_is_seen() {
    let world = World::clean().await;
    world.transaction(STRANGER, "committed").await;
    world.publish_order(CARLS, STRANGER, CARL, 1);
    let report = world.violates(&[Check::OneTransaction]).await;
    assert_eq!(
        report.of(Check::OneTransaction).map(|check| check.violated),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_group_that_lags_is_seen() {
    let mut world = World::clean().await;
    world.caught_up = false;
    world.violates(&[Check::SettledInTime, Check::NoLag]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_sale_is_seen() {
    let world = World::clean().await;
    world.hset("stock", "closed 3").await;
    world
        .violates(&[Check::SettledInTime, Check::NoFence])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_cut_off_leaves_the_unanswered_open() {
    let mut world = World::clean().await;
    world.closed = false;
    world
        .order(STRANGER, DORA, 1, "rejected", Some("sold_out"))
        .await;
    world.transaction(STRANGER, "rolled_back").await;
    world.publish_order(STRANGER, STRANGER, DORA, 1);
    let report = world.violates(&[]).await;
    assert_eq!((report.journal.cut_off, report.journal.torn), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_stored_for_another_buyer_than_was_told_is_seen() {
    let world = World::clean().await;
    world
        .sql(&format!(
            "update orders set user_id = {} where id = {}",
            hex(ANNA),
            hex(CARLS)
        ))
        .await;
    world
        .violates(&[Check::AcceptedHasRow, Check::AskedFor])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_wrong_only_for_a_while_are_seen_by_the_watch() {
    let world = World::clean().await;
    world.hset("stock", "total 11").await;
    let watch = Watch::start(world.endpoints());
    watch.sampled(2).await;
    world.hset("stock", "total 10").await;
    let report = world.audit(Some(watch)).await;
    let violated: Vec<Check> = report.verdicts[0]
        .checks
        .iter()
        .filter(|check| check.violated > 0)
        .map(|check| check.check)
        .collect();
    assert_eq!(violated, [Check::ConservedMeanwhile]);
}
