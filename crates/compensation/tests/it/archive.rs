//! Rows of the archive that are no orders: transactions that are stuck.

use chrono::Utc;
use compensation::{
    archive::{
        self, ArchivedOrder, Envelope, Kept, Kind, Subject, ToArchive,
        listing::{self, Filter, Paging},
        transaction::{self, COMPLETED, NOT_KNOWN, Open, StuckTransaction, Uncompensated},
    },
    attempt::{Attempt, FAILED, History, Lane},
    headers::Headers,
    operations::{self, ReplayRefused},
};
use testkit::mysql::Schema;
use uuid::Uuid;

fn stuck(gid: Uuid) -> StuckTransaction {
    StuckTransaction {
        gid,
        kind: "order".to_owned(),
        label: Uuid::now_v7(),
        state: "stuck_committing".to_owned(),
        direction: "commit".to_owned(),
        epoch: 3,
        reason: None,
        attempts: 20,
        last_error: Some("coupon: 503".to_owned()),
        uncompensated: vec![Uncompensated {
            participant: "coupon".to_owned(),
            state: NOT_KNOWN.to_owned(),
            attempts: 0,
            last_error: None,
        }],
    }
}

fn letter(stuck: &StuckTransaction) -> ToArchive {
    let call = Attempt {
        generation: 0,
        attempt: 20,
        lane: Lane::Call,
        started_at: Utc::now(),
        duration_ms: 300,
        worker: "coupon".to_owned(),
        outcome: FAILED.to_owned(),
        error: Some("confirm: 503".to_owned()),
        next_after_ms: None,
    };
    stuck.to_archive(r#"{"units":1}"#, vec![call], Utc::now())
}

fn order(id: Uuid) -> ToArchive {
    ToArchive {
        id,
        subject: Subject::Order(ArchivedOrder {
            gid: id,
            generation: 0,
            sale_id: Uuid::now_v7(),
            user_id: Uuid::now_v7(),
            quantity: 1,
        }),
        step: "decide",
        error: "it failed".to_owned(),
        history: History::default(),
        payload: b"message".to_vec(),
        headers: Headers::default(),
        envelope: Envelope::default(),
        held: false,
        first_failed_at: Utc::now(),
    }
}

async fn put(schema: &Schema, what: &ToArchive) {
    let kept = Kept::in_row(what);
    let mut db = schema.pool.acquire().await.unwrap();
    archive::put(&mut db, what, &kept).await.unwrap();
}

/// Under the gid itself the letter overwrote the order's row.
#[tokio::test]
async fn a_transaction_named_like_its_order_has_a_row_of_its_own_beside_the_orders() {
    let schema = testkit::mysql::schema().await;
    let (db, gid) = (&schema.pool, Uuid::now_v7());
    let known = stuck(gid);
    put(&schema, &order(gid)).await;
    put(&schema, &letter(&known)).await;

    let of_order = archive::find(db, gid).await.unwrap().unwrap();
    assert_eq!(
        (of_order.kind(), of_order.step.as_str()),
        (Kind::Order, "decide")
    );
    let row = archive::find(db, transaction::id_of(gid))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.kind(), Kind::Transaction);
    assert_eq!(
        (row.order_id, row.gid, row.sale_id, row.user_id),
        (None, Some(gid), Some(known.label), None)
    );
    assert_eq!((row.attempts, row.history.attempts().len()), (20, 1));
    let kept = archive::message(db, &row).await.unwrap();
    assert_eq!(kept.payload, br#"{"units":1}"#);
    assert_eq!(StuckTransaction::read(&kept.headers), Some(known));
    let paging = Paging {
        after: None,
        limit: 10,
    };
    let complete = Filter {
        step: Some(transaction::STEP.to_owned()),
        ..Filter::default()
    };
    let listed = listing::page(db, &complete, paging).await.unwrap().rows;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].kind(), Kind::Transaction);
}

#[tokio::test]
async fn a_transaction_is_never_replayed_as_an_order() {
    let schema = testkit::mysql::schema().await;
    let gid = Uuid::now_v7();
    put(&schema, &letter(&stuck(gid))).await;
    let asked =
        operations::claim_replay(&schema.pool, transaction::id_of(gid), "night", None).await;
    assert!(matches!(asked, Err(ReplayRefused::NotAnOrder)), "{asked:?}");
}

/// Without its guard `completed` wrote over how a row had ended.
#[tokio::test]
async fn only_rows_of_transactions_wait_for_their_end_and_each_is_closed_once() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let mut expected = Vec::new();
    for _ in 0..5 {
        let gid = Uuid::now_v7();
        put(&schema, &letter(&stuck(gid))).await;
        put(&schema, &order(Uuid::now_v7())).await;
        let id = transaction::id_of(gid);
        expected.push(Open { id, gid });
    }
    let message = ToArchive {
        subject: Subject::Message,
        ..order(Uuid::now_v7())
    };
    put(&schema, &message).await;
    expected.sort_unstable_by_key(|row| row.id);
    assert_eq!(transaction::open(db, None, 10).await.unwrap(), expected);
    let first = transaction::open(db, None, 2).await.unwrap();
    let rest = transaction::open(db, Some(first[1].id), 10).await.unwrap();
    assert_eq!([first, rest].concat(), expected, "page by page");

    let closed = expected.remove(0);
    let complete = async || {
        let mut db = db.acquire().await.unwrap();
        transaction::completed(&mut db, closed.id).await.unwrap();
        archive::find(&schema.pool, closed.id)
            .await
            .unwrap()
            .unwrap()
    };
    let row = complete().await;
    assert!(row.handled && row.resolution.as_deref() == Some(COMPLETED));
    assert_eq!(complete().await.handled_at, row.handled_at);
    assert_eq!(transaction::open(db, None, 10).await.unwrap(), expected);

    // Stuck again before anybody saw that it went on: the same row, open again.
    put(&schema, &letter(&stuck(closed.gid))).await;
    let row = archive::find(db, closed.id).await.unwrap().unwrap();
    assert_eq!(
        (row.handled, row.resolution, row.times_archived),
        (false, None, 2)
    );
}
