//! Tries to log in are counted for all processes together.

use identity::{
    OperatorId,
    lock_outs::{self, Try},
};
use std::time::Duration;

/// Breaks when the row is not locked between looking and counting: then more than five are let through at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_five_are_let_through() {
    let schema = testkit::mysql::schema().await;
    let operator = OperatorId::fresh();
    let tries = (0..20).map(|_| {
        let db = schema.pool.clone();
        tokio::spawn(async move {
            let mut db = db.acquire().await.unwrap();
            lock_outs::begin(&mut db, operator).await.unwrap()
        })
    });
    let mut made = 0;
    for tried in tries.collect::<Vec<_>>() {
        match tried.await.unwrap() {
            Try::Made => made += 1,
            Try::Wait(wait) => assert!(wait <= Duration::from_mins(1)),
        }
    }
    assert_eq!(made, 5);
}

#[tokio::test]
async fn what_is_forgotten_begins_anew() {
    let schema = testkit::mysql::schema().await;
    let mut db = schema.pool.acquire().await.unwrap();
    let operator = OperatorId::fresh();
    assert!(!lock_outs::forget(&mut db, operator).await.unwrap());
    for _ in 0..5 {
        assert_eq!(
            lock_outs::begin(&mut db, operator).await.unwrap(),
            Try::Made
        );
    }
    assert_ne!(
        lock_outs::begin(&mut db, operator).await.unwrap(),
        Try::Made
    );
    let waiting = lock_outs::waiting(&mut db).await.unwrap();
    assert_eq!(waiting.keys().collect::<Vec<_>>(), [&operator]);
    assert!(lock_outs::forget(&mut db, operator).await.unwrap());
    assert_eq!(
        lock_outs::begin(&mut db, operator).await.unwrap(),
        Try::Made
    );
    assert!(!lock_outs::forget(&mut db, operator).await.unwrap());
}
