//! Every verdict, and everything that must not be taken for one.

use super::*;
use crate::{
    ids::{OrderId, SaleId},
    reconcile::Numbers,
    stock::Reservation,
    truth::{Asked, Buyer, InRedis, SaleRow},
};
use chrono::Utc;
use coordinator::{
    Label,
    control::{Details, Listed},
};
use identity::UserId;
use std::collections::HashMap;
use uuid::Uuid;

/// An order of one unit of a sale of ten, that was given up: its units came back, and a person may replay it.
fn given_up() -> Truth {
    let sale = SaleId::fresh();
    let order = OrderId::mint(sale);
    let gid = order.first_gid();
    Truth {
        asked: Asked {
            order,
            sale,
            user: UserId::fresh(),
            gids: vec![gid],
            repairs: Repairs::GivenUp,
        },
        order: Some(OrderRow {
            gid,
            generation: 0,
            status: OrderStatus::Failed,
            reason: Some("archived".to_owned()),
            units: 1,
            decided_at: Utc::now(),
        }),
        transactions: vec![transaction(gid, TxState::RolledBack)],
        sale: Some(SaleRow {
            total: 10,
            available: 10,
            sold: 0,
            epoch: 1,
        }),
        buyer: Buyer::default(),
        redis: Ok(InRedis {
            epoch: 1,
            numbers: numbers(10, 0, 0),
            units: 0,
            reservations: HashMap::new(),
        }),
        compared: Some(reconcile::Verdict::Agrees),
    }
}

fn confirmed() -> Truth {
    let mut truth = given_up();
    truth.asked.repairs = Repairs::Over;
    let order = truth.order.as_mut().expect("an order");
    (order.status, order.reason) = (OrderStatus::Confirmed, None);
    truth.transactions = vec![transaction(order.gid, TxState::Committed)];
    truth.buyer = Buyer {
        units: 1,
        ordered: 1,
    };
    let redis = truth.redis.as_mut().expect("Redis told");
    (redis.numbers, redis.units) = (numbers(9, 0, 1), 1);
    truth
}

fn numbers(available: i64, held: i64, sold: i64) -> Numbers {
    Numbers {
        total: available + held + sold,
        available,
        held,
        sold,
        owed: 0,
    }
}

fn transaction(gid: Gid, state: TxState) -> Known {
    let now = Utc::now();
    Known {
        gid,
        details: Some(Details {
            transaction: Listed {
                gid,
                kind: "order".to_owned(),
                label: Label::from_uuid(Uuid::nil()),
                state,
                direction: state.direction(),
                epoch: 1,
                reason: None,
                attempts: 0,
                due_at: now,
                last_error: None,
                created_at: now,
                finished_at: None,
                age_ms: 0,
            },
            payload: "{}".to_owned(),
            branches: Vec::new(),
        }),
    }
}

impl Truth {
    fn gid(&self) -> Gid {
        self.asked.gids[0]
    }

    /// A unit is held for its transaction.
    fn holding(mut self) -> Self {
        let (gid, order, user) = (self.gid(), self.asked.order, self.asked.user);
        let redis = self.redis.as_mut().expect("Redis told");
        redis.numbers.available -= 1;
        redis.numbers.held += 1;
        redis.units += 1;
        redis.reservations.insert(
            gid,
            Reservation {
                state: ReservationState::Reserved,
                order,
                user,
                units: 1,
                message: None,
            },
        );
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn without_an_order(self) -> Self {
        self.with(|truth| {
            truth.order = None;
            truth.transactions[0].details = None;
        })
    }

    fn in_state(self, state: TxState) -> Self {
        self.with(|truth| truth.transactions[0] = transaction(truth.gid(), state))
    }

    fn repaired(self, repairs: Repairs) -> Self {
        self.with(|truth| truth.asked.repairs = repairs)
    }
}

#[track_caller]
fn says(truth: &Truth, code: &str, mend: Option<Mend>) {
    let verdict = verdict(truth);
    assert_eq!(
        (verdict.as_str(), verdict.mend()),
        (code, mend),
        "{verdict:?} of {truth:#?}"
    );
}

#[test]
fn what_agrees_is_consistent() {
    says(&given_up(), "consistent", None);
    says(&confirmed(), "consistent", None);
    // Retention removed its transaction, and Redis forgot what was final long ago.
    let old = given_up().with(|truth| truth.transactions[0].details = None);
    says(&old, "consistent", None);
    // It is kept undecided on purpose.
    let held = given_up()
        .without_an_order()
        .holding()
        .repaired(Repairs::Held);
    says(&held, "consistent", None);
    let asked_outside = held.in_state(TxState::Begun);
    says(&asked_outside, "consistent", None);
}

#[test]
fn what_may_only_be_late_is_not_wrong() {
    for repairs in [Repairs::UnderWay, Repairs::GivenUp] {
        for state in [
            TxState::Begun,
            TxState::Prepared,
            TxState::Committing,
            TxState::RollingBack,
        ] {
            let late = given_up().in_state(state).holding().repaired(repairs);
            says(&late, "on_its_way", None);
        }
    }
    let tried = given_up().without_an_order().repaired(Repairs::UnderWay);
    says(&tried, "on_its_way", None);
    // A replay's reservation that nobody decided: the scan for overdue ones publishes it.
    let next = Gid::from_uuid(Uuid::now_v7());
    let replayed = given_up().holding().with(|truth| {
        truth.transactions.insert(
            0,
            Known {
                gid: next,
                details: None,
            },
        );
        let redis = truth.redis.as_mut().expect("Redis told");
        let gid = truth.asked.gids[0];
        let reservation = redis.reservations.remove(&gid).expect("one");
        redis.reservations.insert(next, reservation);
    });
    assert_eq!(verdict(&replayed).waits, Some(Waits::Reservation(next)));
}

#[test]
fn units_held_for_what_is_settled_have_leaked() {
    let leaked = given_up().holding();
    let gid = leaked.gid();
    says(
        &leaked,
        "stock_leaked",
        Some(Mend::Complete(gid, Op::Release)),
    );
    let old = leaked
        .clone()
        .with(|truth| truth.transactions[0].details = None);
    says(&old, "stock_leaked", Some(Mend::Complete(gid, Op::Release)));
    let unsold = confirmed().holding();
    let gid = unsold.gid();
    says(
        &unsold,
        "stock_leaked",
        Some(Mend::Complete(gid, Op::Confirm)),
    );
}

/// Breaks when a sale of an older epoch, which the rebuild counted as sold, is confirmed once more: a unit too many is sold.
#[test]
fn what_a_rebuild_counted_as_sold_is_not_counted_again() {
    let rebuilt = confirmed()
        .holding()
        .with(|truth| truth.redis.as_mut().expect("Redis told").epoch = 2);
    says(&rebuilt, "stock_leaked", Some(Mend::Fence));
}

#[test]
fn a_final_reservation_holds_nothing() {
    for state in [
        ReservationState::Confirmed,
        ReservationState::Returned,
        ReservationState::Released,
        ReservationState::Gone,
    ] {
        let done = given_up().holding().with(|truth| {
            let gid = truth.gid();
            let redis = truth.redis.as_mut().expect("Redis told");
            redis.reservations.get_mut(&gid).expect("one").state = state;
        });
        says(&done, "consistent", None);
    }
}

#[test]
fn a_stuck_transaction_goes_on() {
    for state in [TxState::StuckCommitting, TxState::StuckRollingBack] {
        let stuck = given_up().in_state(state).holding();
        let gid = stuck.gid();
        says(&stuck, "stuck", Some(Mend::Resume(gid)));
    }
}

#[test]
fn an_order_that_is_missing_is_decided_or_told_of() {
    let undecided = given_up().without_an_order();
    let gid = undecided.gid();
    says(&undecided, "order_missing", Some(Mend::GiveUp(gid)));
    let holding = undecided.holding();
    says(&holding, "order_missing", Some(Mend::GiveUp(gid)));
    let lost = given_up().with(|truth| truth.order = None);
    says(&lost, "order_missing", None);
    let over = given_up().without_an_order().repaired(Repairs::Over);
    says(&over, "order_missing", None);
}

#[test]
fn what_is_held_has_its_units() {
    let empty = given_up().without_an_order().repaired(Repairs::Held);
    says(&empty, "held_without_units", Some(Mend::Fence));
    let away = empty.with(|truth| truth.redis = Err(Unknown::Away));
    says(&away, "unknown", None);
}

#[test]
fn the_archive_follows_the_order() {
    for repairs in [Repairs::GivenUp, Repairs::Held] {
        let open = confirmed().repaired(repairs);
        says(
            &open,
            "archive_open",
            Some(Mend::CloseArchive(OrderStatus::Confirmed)),
        );
        // Redis has no part in it.
        let away = open.with(|truth| truth.redis = Err(Unknown::BeingRebuilt));
        says(
            &away,
            "archive_open",
            Some(Mend::CloseArchive(OrderStatus::Confirmed)),
        );
    }
}

#[test]
fn a_sale_that_differs_is_made_anew() {
    let drifts = given_up().with(|truth| truth.compared = Some(reconcile::Verdict::Drift(2)));
    says(&drifts, "sale_drifts", Some(Mend::Fence));
    let busy = given_up().with(|truth| truth.compared = Some(reconcile::Verdict::OnTheWay));
    says(&busy, "consistent", None);
    assert!(verdict(&busy).sale_is_busy);
}

#[test]
fn a_buyers_units_may_be_more_by_what_is_held_and_never_less() {
    let units = |redis: i64, held: i64, compared| {
        confirmed().with(|truth| {
            let told = truth.redis.as_mut().expect("Redis told");
            told.units = redis;
            (told.numbers.held, told.numbers.available) = (held, 9 - held);
            truth.compared = Some(compared);
        })
    };
    let agrees = reconcile::Verdict::Agrees;
    for (redis, held) in [(1, 0), (1, 3), (4, 3)] {
        says(&units(redis, held, agrees), "consistent", None);
    }
    for (redis, held) in [(0, 0), (2, 0), (0, 3), (5, 3)] {
        says(
            &units(redis, held, agrees),
            "buyers_units_differ",
            Some(Mend::Fence),
        );
        // A decision may be on its way to it.
        let busy = units(redis, held, reconcile::Verdict::OnTheWay);
        says(&busy, "consistent", None);
    }
}

#[test]
fn what_mysql_contradicts_is_left_to_people() {
    let differ = given_up().with(|truth| truth.buyer.units = 1);
    let differ = differ.with(|truth| truth.redis.as_mut().expect("Redis told").units = 1);
    says(&differ, "buyers_orders_differ", None);
}

#[test]
fn where_redis_does_not_tell_nothing_of_it_is_wrong() {
    for why in [Unknown::Away, Unknown::BeingRebuilt, Unknown::NotAsked] {
        let untold = given_up().with(|truth| {
            truth.redis = Err(why);
            truth.compared = None;
        });
        says(&untold, "unknown", None);
        assert_eq!(verdict(&untold).unknown, Some(why));
    }
}

#[test]
fn a_stuck_transaction_is_mended_before_what_may_follow_from_it() {
    let both = given_up()
        .in_state(TxState::StuckRollingBack)
        .with(|truth| truth.compared = Some(reconcile::Verdict::Drift(1)));
    let wrong: Vec<_> = verdict(&both).wrong.iter().map(Wrong::as_str).collect();
    assert_eq!(wrong, ["stuck", "sale_drifts"]);
}
