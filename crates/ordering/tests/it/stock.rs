//! The stock scripts on a real Redis, rule by rule, and thousands of them in random order against a model of the rules.

use crate::shop::Shop;
use chrono::{TimeDelta, Utc};
use identity::UserId;
use ordering::{
    SaleId, keys,
    message::{Idempotency, OrderMessage},
    stock::{
        Completed, Completion, Create, Op, Refusal, ReservationState, ReserveError, Reserved,
        SaleState, SaleTerms, SetOutcome, StockError, Vote, Withdrawn,
    },
};
use std::{collections::BTreeMap, time::Duration};

mod random;

/// The terms `Shop::sale` gave a sale, at a later revision.
pub fn terms(sale: SaleId, total: u32, revision: i64) -> SaleTerms {
    SaleTerms {
        sale,
        epoch: 1,
        revision,
        total,
        per_user_limit: 2,
        starts_at: Utc::now() - TimeDelta::hours(1),
        ends_at: Utc::now() + TimeDelta::hours(1),
        state: SaleState::Open,
        held_max: 100_000,
    }
}

pub fn refusal(answer: Result<Reserved, ReserveError>) -> Refusal {
    match answer {
        Err(ReserveError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn completion(order: &OrderMessage, epoch: i64, op: Op) -> Completion {
    Completion {
        sale: order.sale_id,
        gid: order.gid,
        order: order.order_id,
        user: order.user_id,
        units: order.quantity,
        epoch,
        op,
    }
}

impl Shop {
    pub async fn set(&self, terms: &SaleTerms) -> SetOutcome {
        self.stock.set(terms, Create::No).await.unwrap()
    }

    pub async fn settle(&self, order: &OrderMessage, op: Op) -> Completed {
        self.settle_at(order, 1, op).await
    }

    pub async fn settle_at(&self, order: &OrderMessage, epoch: i64, op: Op) -> Completed {
        let done = self.stock.complete(&[completion(order, epoch, op)]).await;
        done.into_iter().next().unwrap()
    }

    pub async fn state_of(&self, order: &OrderMessage) -> Option<ReservationState> {
        let found = self.stock.reservation(order.sale_id, order.gid).await;
        found.unwrap().map(|reservation| reservation.state)
    }

    /// Everything a sale has in Redis, but for what each record and key says: its hash, its buyers, and the names.
    pub async fn everything(&self, sale: SaleId) -> (BTreeMap<String, String>, Vec<String>) {
        let mut redis = self.redis.connection().await;
        let mut hash: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(keys::stock(sale))
            .query_async(&mut redis)
            .await
            .unwrap();
        let names = keys::Names { sale, epoch: 1 };
        let buyers: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(names.buyers())
            .query_async(&mut redis)
            .await
            .unwrap();
        hash.extend(buyers);
        let mut all: Vec<String> = redis::cmd("KEYS")
            .arg(keys::everything_of(sale))
            .query_async(&mut redis)
            .await
            .unwrap();
        let pending: Vec<String> = redis::cmd("ZRANGE")
            .arg(names.pending())
            .arg(0)
            .arg(-1)
            .query_async(&mut redis)
            .await
            .unwrap();
        all.extend(pending);
        all.sort();
        (hash, all)
    }

    pub async fn owed(&self, sale: SaleId) -> i64 {
        self.stock.levels(sale).await.unwrap().unwrap().owed
    }

    pub async fn units_in_redis(&self, sale: SaleId, user: UserId) -> Option<String> {
        let names = keys::Names { sale, epoch: 1 };
        redis::cmd("HGET")
            .arg(names.buyers())
            .arg(user.to_string())
            .query_async(&mut self.redis.connection().await)
            .await
            .unwrap()
    }
}

/// Every reason to refuse holds at once; taken away one by one, the next shows. Refusals write nothing.
/// Breaks when a check of `reserve.lua` goes before its turn.
#[tokio::test(flavor = "multi_thread")]
async fn reserve_refuses_for_the_first_reason_that_holds() {
    let shop = Shop::open().await;
    let sale = shop.sale(3, 2).await;
    let (full, half) = (UserId::fresh(), UserId::fresh());
    let first = shop.reserve(sale, full, 2).await;
    let keyed = shop.order_with_key(sale, half, "k");
    assert_eq!(shop.try_reserve(&keyed).await.unwrap(), Reserved::New);
    let mut now = SaleTerms {
        state: SaleState::Paused,
        held_max: 3,
        ..terms(sale, 3, 2)
    };
    assert_eq!(shop.set(&now).await, SetOutcome::Set);
    let before = shop.everything(sale).await;

    let mut other_body = shop.order_with_key(sale, half, "k");
    other_body.idempotency = Some(Idempotency {
        key: "k".to_owned(),
        body_hash: "1".repeat(64),
    });
    assert_eq!(
        refusal(shop.try_reserve(&other_body).await),
        Refusal::IdempotencyConflict
    );
    let two_more = shop.order(sale, half, 2);
    assert_eq!(refusal(shop.try_reserve(&two_more).await), Refusal::NotOpen);
    assert_eq!(shop.everything(sale).await, before);

    now = SaleTerms {
        state: SaleState::Open,
        revision: 3,
        ends_at: Utc::now(),
        ..now
    };
    shop.set(&now).await;
    assert_eq!(
        refusal(shop.try_reserve(&two_more).await),
        Refusal::NotOpen,
        "it is over"
    );
    now = SaleTerms {
        revision: 4,
        ends_at: Utc::now() + TimeDelta::hours(2),
        starts_at: Utc::now() + TimeDelta::hours(1),
        ..now
    };
    shop.set(&now).await;
    assert_eq!(
        refusal(shop.try_reserve(&two_more).await),
        Refusal::NotOpen,
        "it has not begun"
    );

    now = SaleTerms {
        revision: 5,
        starts_at: Utc::now() - TimeDelta::hours(1),
        ..now
    };
    shop.set(&now).await;
    let before = shop.everything(sale).await;
    assert_eq!(
        refusal(shop.try_reserve(&shop.order(sale, full, 1)).await),
        Refusal::AlreadyOrdered {
            order: first.order_id
        }
    );
    assert_eq!(
        refusal(shop.try_reserve(&two_more).await),
        Refusal::LimitExceeded
    );
    let newcomer = shop.order(sale, UserId::fresh(), 2);
    assert_eq!(refusal(shop.try_reserve(&newcomer).await), Refusal::Busy);
    assert_eq!(shop.everything(sale).await, before);

    now = SaleTerms {
        revision: 6,
        held_max: 4,
        ..now
    };
    shop.set(&now).await;
    assert_eq!(refusal(shop.try_reserve(&newcomer).await), Refusal::SoldOut);
    now = SaleTerms {
        revision: 7,
        total: 4,
        ..now
    };
    shop.set(&now).await;
    let before = shop.everything(sale).await;
    assert_eq!(
        refusal(shop.try_reserve(&newcomer).await),
        Refusal::Insufficient { available: 1 }
    );
    assert_eq!(shop.everything(sale).await, before);
    shop.reserve(sale, UserId::fresh(), 1).await;
    assert_eq!(shop.levels(sale).await, (0, 4, 0));
}

/// Promise 5. Breaks when `reserve.lua` looks its key up after `available == 0`.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_won_the_last_unit_gets_the_same_answer_again() {
    let shop = Shop::open().await;
    let sale = shop.sale(1, 1).await;
    let winner = UserId::fresh();
    let won = shop.order_with_key(sale, winner, "k");
    assert_eq!(shop.try_reserve(&won).await.unwrap(), Reserved::New);
    assert_eq!(
        refusal(
            shop.try_reserve(&shop.order(sale, UserId::fresh(), 1))
                .await
        ),
        Refusal::SoldOut
    );

    // The same request comes as a new one: only its key tells.
    let again = |state, publish_again| Reserved::Known {
        order: won.order_id,
        state,
        publish_again,
    };
    let repeat = shop.order_with_key(sale, winner, "k");
    assert_eq!(
        shop.try_reserve(&repeat).await.unwrap(),
        again(ReservationState::Reserved, Some(won.to_bytes()))
    );
    assert_eq!(
        shop.try_reserve(&won).await.unwrap(),
        again(ReservationState::Reserved, Some(won.to_bytes()))
    );
    assert_eq!(shop.stock.prepare(&[(sale, won.gid)]).await, [Vote::Yes]);
    assert_eq!(
        shop.try_reserve(&repeat).await.unwrap(),
        again(ReservationState::Prepared, None)
    );
    assert_eq!(shop.settle(&won, Op::Confirm).await, Completed::Done);
    assert_eq!(
        shop.try_reserve(&repeat).await.unwrap(),
        again(ReservationState::Confirmed, None)
    );
    assert_eq!(shop.levels(sale).await, (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_settle_a_reservation_once_and_only_forwards() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 5).await;
    let user = UserId::fresh();
    let order = shop.reserve(sale, user, 3).await;
    for _ in 0..2 {
        assert_eq!(shop.settle(&order, Op::Confirm).await, Completed::Done);
        assert_eq!(shop.levels(sale).await, (7, 0, 3));
    }
    assert_eq!(
        shop.settle(&order, Op::Release).await,
        Completed::Done,
        "sold units are not released"
    );
    assert_eq!(shop.levels(sale).await, (7, 0, 3));
    assert_eq!(
        shop.units_in_redis(sale, user).await,
        Some(format!("3|{}", order.order_id))
    );
    for _ in 0..2 {
        assert_eq!(shop.settle(&order, Op::Return).await, Completed::Done);
        assert_eq!(shop.levels(sale).await, (10, 0, 0));
    }
    assert_eq!(
        shop.settle(&order, Op::Confirm).await,
        Completed::Done,
        "a late confirm changes nothing"
    );
    assert_eq!(shop.levels(sale).await, (10, 0, 0));
    assert_eq!(shop.units_in_redis(sale, user).await, None);
    assert_eq!(
        shop.state_of(&order).await,
        Some(ReservationState::Returned)
    );

    let order = shop.reserve(sale, user, 2).await;
    for _ in 0..2 {
        assert_eq!(shop.settle(&order, Op::Release).await, Completed::Done);
        assert_eq!(shop.levels(sale).await, (10, 0, 0));
    }
    assert_eq!(shop.stock.prepare(&[(sale, order.gid)]).await, [Vote::No]);
    assert_eq!(shop.units_in_redis(sale, user).await, None);
}

/// Breaks when `confirm.lua` leaves a missing record alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_whose_record_is_lost_is_settled_from_the_call_and_what_lacks_is_owed() {
    let shop = Shop::open().await;
    let sale = shop.sale(4, 5).await;
    let lost = shop.order(sale, UserId::fresh(), 3);
    assert_eq!(shop.stock.prepare(&[(sale, lost.gid)]).await, [Vote::Yes]);
    assert_eq!(shop.settle(&lost, Op::Release).await, Completed::Done);
    assert_eq!(
        shop.state_of(&lost).await,
        None,
        "a lost reservation has nothing to give back"
    );
    for _ in 0..2 {
        assert_eq!(shop.settle(&lost, Op::Confirm).await, Completed::Done);
        assert_eq!(shop.levels(sale).await, (1, 0, 3));
    }
    assert_eq!(
        shop.units_in_redis(sale, lost.user_id).await,
        Some(format!("3|{}", lost.order_id))
    );

    let more = shop.order(sale, UserId::fresh(), 3);
    assert_eq!(shop.settle(&more, Op::Confirm).await, Completed::Done);
    assert_eq!(
        (shop.levels(sale).await, shop.owed(sale).await),
        ((0, 0, 6), 2)
    );
    assert_eq!(
        refusal(
            shop.try_reserve(&shop.order(sale, UserId::fresh(), 1))
                .await
        ),
        Refusal::SoldOut
    );
    // Whatever becomes free pays first.
    let gone = shop.order(sale, lost.user_id, 3);
    assert_eq!(
        shop.settle(&gone, Op::Return).await,
        Completed::Done,
        "missing: returned from the call"
    );
    assert_eq!(
        (shop.levels(sale).await, shop.owed(sale).await),
        ((1, 0, 3), 0)
    );
    assert_eq!(shop.settle(&gone, Op::Return).await, Completed::Done);
    assert_eq!(shop.levels(sale).await, (1, 0, 3));
}

/// A batch is applied whole, and what stands in it twice counts once.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_settles_many_reservations_of_many_sales() {
    let shop = Shop::open().await;
    let sales = [shop.sale(500, 2).await, shop.sale(500, 2).await];
    let mut batch = Vec::new();
    for number in 0..450_usize {
        let order = shop.reserve(sales[number % 2], UserId::fresh(), 1).await;
        batch.push(completion(
            &order,
            1,
            if number < 400 {
                Op::Confirm
            } else {
                Op::Release
            },
        ));
    }
    let asked: Vec<_> = batch.iter().map(|one| (one.sale, one.gid)).collect();
    assert_eq!(shop.stock.prepare(&asked).await, vec![Vote::Yes; 450]);
    batch.extend(batch.clone());
    assert_eq!(
        shop.stock.complete(&batch).await,
        vec![Completed::Done; 900]
    );
    for sale in sales {
        assert_eq!(shop.levels(sale).await, (300, 0, 200));
    }
    let votes = shop.stock.prepare(&asked).await;
    assert!(
        votes
            .iter()
            .enumerate()
            .all(|(at, vote)| (*vote == Vote::No) == (at >= 400))
    );
}

/// Breaks when `complete` of the prelude does not look for an older epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_of_an_older_epoch_was_counted_and_one_of_a_newer_waits() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 5).await;
    let order = shop.reserve(sale, UserId::fresh(), 2).await;
    for op in [Op::Confirm, Op::Release, Op::Return] {
        assert_eq!(shop.settle_at(&order, 0, op).await, Completed::Done);
        assert!(matches!(
            shop.settle_at(&order, 2, op).await,
            Completed::NotYet(_)
        ));
    }
    assert_eq!(shop.levels(sale).await, (8, 2, 0));
    assert_eq!(
        shop.state_of(&order).await,
        Some(ReservationState::Reserved)
    );
}

/// Breaks when `complete` of the prelude does not ask `lost_data`.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_would_go_negative_makes_the_sale_suspect_and_writes_nothing_else() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 5).await;
    let held = shop.reserve(sale, UserId::fresh(), 2).await;
    let before = shop.everything(sale).await;
    let never_sold = shop.order(sale, UserId::fresh(), 1);
    let batch = [
        completion(&held, 1, Op::Return),
        completion(&never_sold, 1, Op::Return),
    ];
    for done in shop.stock.complete(&batch).await {
        assert!(matches!(done, Completed::NotYet(_)));
    }
    let (mut hash, names) = shop.everything(sale).await;
    assert_eq!(hash.remove("suspect").as_deref(), Some("1"));
    assert_eq!((hash, names), before);
    assert!(matches!(
        shop.stock.levels(sale).await,
        Err(StockError::Fenced)
    ));
    assert!(matches!(
        shop.try_reserve(&shop.order(sale, UserId::fresh(), 1))
            .await,
        Err(ReserveError::Fenced)
    ));
    shop.rebuilder().sale(sale).await.unwrap();
    assert_eq!(shop.levels(sale).await, (8, 2, 0));
}

/// Promise 2. Breaks when `withdraw.lua` does not look at `republished`.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_frees_units_and_key_unless_somebody_published_meanwhile() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 1).await;
    let user = UserId::fresh();
    let order = shop.order_with_key(sale, user, "k");
    assert_eq!(shop.try_reserve(&order).await.unwrap(), Reserved::New);
    let withdraw = async |order: &OrderMessage| {
        shop.stock
            .withdraw(sale, order.gid, user, Some("k"))
            .await
            .unwrap()
    };
    assert_eq!(withdraw(&order).await, Withdrawn::Released);
    assert_eq!(withdraw(&order).await, Withdrawn::Nothing);
    assert_eq!(shop.levels(sale).await, (5, 0, 0));
    assert_eq!(shop.units_in_redis(sale, user).await, None);
    assert_eq!(
        shop.stock.prepare(&[(sale, order.gid)]).await,
        [Vote::No],
        "it can only be refused now"
    );

    let second = shop.order_with_key(sale, user, "k");
    assert_eq!(
        shop.try_reserve(&second).await.unwrap(),
        Reserved::New,
        "the key is free again"
    );
    assert_eq!(
        withdraw(&order).await,
        Withdrawn::Nothing,
        "the key is another's now"
    );
    assert!(matches!(
        shop.try_reserve(&second).await.unwrap(),
        Reserved::Known { .. }
    ));
    assert_eq!(withdraw(&second).await, Withdrawn::PublishedAgain);
    assert_eq!(shop.levels(sale).await, (4, 1, 0));
    assert_eq!(shop.settle(&second, Op::Confirm).await, Completed::Done);
    assert_eq!(withdraw(&second).await, Withdrawn::PublishedAgain);
    assert_eq!(shop.levels(sale).await, (4, 0, 1));
}

/// Breaks when `publish_again.lua` marks nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_reservation_is_handed_out_and_cannot_be_withdrawn_any_more() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 1).await;
    let user = UserId::fresh();
    let order = shop.reserve(sale, user, 1).await;
    let settled = shop.reserve(sale, UserId::fresh(), 1).await;
    shop.settle(&settled, Op::Confirm).await;
    assert_eq!(
        shop.stock.overdue(sale, 0, 10).await.unwrap(),
        [],
        "it is young"
    );
    let names = keys::Names { sale, epoch: 1 };
    shop.redis
        .command(&["ZADD", &names.pending(), "1", &order.gid.to_string()])
        .await;
    assert_eq!(shop.stock.overdue(sale, 0, 10).await.unwrap(), [order.gid]);

    let again = shop
        .stock
        .publish_again(sale, &[settled.gid, order.gid], Duration::from_mins(1))
        .await
        .unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(
        (again[0].gid, &again[0].message),
        (order.gid, &order.to_bytes())
    );
    assert_eq!(
        shop.stock.overdue(sale, 0, 10).await.unwrap(),
        [],
        "its next look is put off"
    );
    assert_eq!(
        shop.stock
            .withdraw(sale, order.gid, user, None)
            .await
            .unwrap(),
        Withdrawn::PublishedAgain
    );
}

/// Breaks when `set.lua` gives growth to `available` without paying.
#[tokio::test(flavor = "multi_thread")]
async fn new_terms_come_once_and_growth_pays_what_a_smaller_total_owes() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = shop.reserve(sale, UserId::fresh(), 2).await;
    assert_eq!(
        shop.set(&terms(sale, 99, 1)).await,
        SetOutcome::Known,
        "not above the hash's revision"
    );
    assert_eq!(shop.levels(sale).await, (8, 2, 0));
    assert_eq!(shop.set(&terms(sale, 1, 2)).await, SetOutcome::Set);
    assert_eq!(
        (shop.levels(sale).await, shop.owed(sale).await),
        ((0, 2, 0), 1)
    );
    assert_eq!(shop.set(&terms(sale, 4, 3)).await, SetOutcome::Set);
    assert_eq!(
        (shop.levels(sale).await, shop.owed(sale).await),
        ((2, 2, 0), 0)
    );
    assert_eq!(
        shop.set(&terms(sale, 1, 2)).await,
        SetOutcome::Known,
        "late"
    );
    assert_eq!(shop.settle(&order, Op::Release).await, Completed::Done);
    assert_eq!(shop.levels(sale).await, (4, 0, 0));
    let ahead = SaleTerms {
        epoch: 2,
        ..terms(sale, 5, 9)
    };
    assert!(matches!(
        shop.stock.set(&ahead, Create::Yes).await,
        Err(StockError::Fenced)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_creating_request_makes_a_missing_sale() {
    let shop = Shop::open().await;
    let sale = SaleId::fresh();
    let new = terms(sale, 7, 1);
    assert!(matches!(
        shop.stock.set(&new, Create::No).await,
        Err(StockError::Fenced)
    ));
    assert_eq!(
        shop.stock.set(&new, Create::Yes).await.unwrap(),
        SetOutcome::Created
    );
    assert_eq!(
        shop.stock.set(&new, Create::Yes).await.unwrap(),
        SetOutcome::Known
    );
    assert_eq!(shop.levels(sale).await, (7, 0, 0));
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    let found = shop
        .stock
        .reservation(sale, order.gid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.order, found.user, found.units),
        (order.order_id, order.user_id, 1)
    );
    assert_eq!(found.message, Some(order.to_bytes()));
}

/// With a full memory nothing new is begun, and all that was begun can end.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_admits_nobody_and_settles_everybody() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 1).await;
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    shop.redis
        .command(&["CONFIG", "SET", "maxmemory", "1"])
        .await;
    assert_eq!(
        refusal(
            shop.try_reserve(&shop.order(sale, UserId::fresh(), 1))
                .await
        ),
        Refusal::Busy
    );
    assert_eq!(shop.stock.prepare(&[(sale, order.gid)]).await, [Vote::Yes]);
    assert_eq!(shop.settle(&order, Op::Confirm).await, Completed::Done);
    assert_eq!(shop.levels(sale).await, (4, 0, 1));
}
