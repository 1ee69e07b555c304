//! The sale lock over three real nodes that are stopped, killed and brought back.

use identity::UserId;
use ordering::{
    SaleId,
    sale_lock::{Attempt, Held, SaleLock},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::{eventually, redis::RedisServer};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

const TTL: Duration = Duration::from_secs(2);
/// A hung node is left out within this, by the figures of the design.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
/// What a lock may cost at the most on a busy machine once that has happened: a tenth of what a hung node costs.
const QUICK: Duration = Duration::from_millis(50);

struct Three {
    nodes: [RedisServer; 3],
    locks: SaleLock,
}

impl Three {
    async fn start() -> Self {
        let nodes = [
            RedisServer::start().await,
            RedisServer::start().await,
            RedisServer::start().await,
        ];
        let urls: Vec<String> = nodes.iter().map(RedisServer::url).collect();
        let three = Self {
            locks: SaleLock::start(&urls, TTL).unwrap(),
            nodes,
        };
        three.answering(3).await;
        three
    }

    async fn answering(&self, count: usize) {
        let what = format!("{count} of 3 nodes are in use");
        eventually(&what, TTL + Duration::from_secs(5), || async {
            (self.locks.answering() == (count, 3)).then_some(())
        })
        .await;
    }

    async fn take(&self) -> Held {
        held(self.locks.acquire(SaleId::fresh(), UserId::fresh()).await)
    }
}

fn held(attempt: Attempt) -> Held {
    match attempt {
        Attempt::Held(held) => held,
        other => panic!("{other:?} instead of a lock nobody else wants"),
    }
}

/// The slowest of 200 locks with their releases but the slowest two.
async fn p99(locks: &SaleLock) -> Duration {
    let mut took = Vec::new();
    for _ in 0..200 {
        let since = Instant::now();
        held(locks.acquire(SaleId::fresh(), UserId::fresh()).await)
            .release()
            .await;
        took.push(since.elapsed());
    }
    took.sort_unstable();
    took[197]
}

/// Many at once at one lock, again and again; how many held it at the same time at the most, and how often it was held.
async fn contend(locks: &SaleLock) -> (usize, usize) {
    let (sale, user) = (SaleId::fresh(), UserId::fresh());
    let (inside, most, times) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut contenders = JoinSet::new();
    for _ in 0..16 {
        let (locks, inside, most, times) = (
            locks.clone(),
            Arc::clone(&inside),
            Arc::clone(&most),
            Arc::clone(&times),
        );
        contenders.spawn(async move {
            for _ in 0..30 {
                match locks.acquire(sale, user).await {
                    Attempt::Held(held) => {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        times.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        held.release().await;
                    }
                    Attempt::Contended => {}
                    Attempt::NoMajority => panic!("a majority answers"),
                }
            }
        });
    }
    contenders.join_all().await;
    (most.load(Ordering::SeqCst), times.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_keeps_out_the_same_buyer_in_the_same_sale_and_nobody_else() {
    let three = Three::start().await;
    let (sale, user) = (SaleId::fresh(), UserId::fresh());
    let first = held(three.locks.acquire(sale, user).await);
    assert!(matches!(
        three.locks.acquire(sale, user).await,
        Attempt::Contended
    ));
    held(three.locks.acquire(sale, UserId::fresh()).await)
        .release()
        .await;
    held(three.locks.acquire(SaleId::fresh(), user).await)
        .release()
        .await;
    first.release().await;
    held(three.locks.acquire(sale, user).await).release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_nobody_released_is_free_after_its_time() {
    let three = Three::start().await;
    let (sale, user) = (SaleId::fresh(), UserId::fresh());
    let since = Instant::now();
    drop(held(three.locks.acquire(sale, user).await));
    let again = eventually("the lock is free", TTL * 2, || async {
        match three.locks.acquire(sale, user).await {
            Attempt::Held(held) => Some(held),
            _ => None,
        }
    })
    .await;
    assert!(
        since.elapsed() + Duration::from_millis(50) >= TTL,
        "free after {:?}",
        since.elapsed()
    );
    again.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_node_of_three_costs_nobody_half_a_second_and_two_hung_ones_say_so_quickly() {
    let three = Three::start().await;
    let kept = three.take().await;

    three.nodes[0].pause();
    let since = Instant::now();
    let unnoticed = three.locks.acquire(SaleId::fresh(), UserId::fresh()).await;
    assert!(
        since.elapsed() < Duration::from_millis(300),
        "before it was noticed an attempt took {:?}",
        since.elapsed()
    );
    drop(unnoticed);
    timeout(NOTICED_WITHIN, three.answering(2))
        .await
        .expect("the hung node is left out");
    let p99 = p99(&three.locks).await;
    assert!(p99 < QUICK, "p99 {p99:?} with a hung node");
    let (most, times) = contend(&three.locks).await;
    assert_eq!(most, 1, "two held one lock, of {times} times it was held");
    assert!(times > 0);

    three.nodes[1].pause();
    timeout(NOTICED_WITHIN, three.answering(1))
        .await
        .expect("the second hung node is left out");
    assert!(!three.locks.has_majority());
    let since = Instant::now();
    assert!(matches!(
        three.locks.acquire(SaleId::fresh(), UserId::fresh()).await,
        Attempt::NoMajority
    ));
    assert!(
        since.elapsed() < Duration::from_millis(5),
        "told after {:?}",
        since.elapsed()
    );

    three.nodes[0].resume();
    three.nodes[1].resume();
    three.answering(3).await;
    kept.release().await;
    let (most, times) = contend(&three.locks).await;
    assert_eq!(most, 1, "two held one lock, of {times} times it was held");
    three.take().await.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_before_a_node_hung_still_keeps_others_out_and_after_it_came_back() {
    let three = Three::start().await;
    let (sale, user) = (SaleId::fresh(), UserId::fresh());
    three.nodes[2].pause();
    three.answering(2).await;
    let first = held(three.locks.acquire(sale, user).await);
    three.nodes[2].resume();
    three.answering(3).await;
    assert!(
        matches!(three.locks.acquire(sale, user).await, Attempt::Contended),
        "the node that came back knows of no lock"
    );
    three.nodes[0].pause();
    three.answering(2).await;
    assert!(
        matches!(three.locks.acquire(sale, user).await, Attempt::Contended),
        "one of the two has it still"
    );
    three.nodes[0].resume();
    first.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_comes_back_once_the_locks_it_forgot_are_over() {
    let mut three = Three::start().await;
    three.nodes[0].kill().await;
    timeout(NOTICED_WITHIN, three.answering(2))
        .await
        .expect("the dead node is left out");
    let p99 = p99(&three.locks).await;
    assert!(p99 < QUICK, "p99 {p99:?} with a dead node");
    three.nodes[0].restart().await;
    let since = Instant::now();
    three.answering(3).await;
    assert!(
        since.elapsed() > TTL / 2,
        "in use {:?} after its restart: a lock it forgot could be taken again",
        since.elapsed()
    );
    let (most, _) = contend(&three.locks).await;
    assert_eq!(most, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_is_its_own_majority() {
    let node = RedisServer::start().await;
    let locks = SaleLock::start(&[node.url()], TTL).unwrap();
    eventually("the node is in use", TTL, || async {
        locks.has_majority().then_some(())
    })
    .await;
    let (most, times) = contend(&locks).await;
    assert_eq!(most, 1, "two held one lock, of {times} times it was held");
    node.pause();
    eventually("it is missed", NOTICED_WITHIN, || async {
        (!locks.has_majority()).then_some(())
    })
    .await;
    assert!(matches!(
        locks.acquire(SaleId::fresh(), UserId::fresh()).await,
        Attempt::NoMajority
    ));
    node.resume();
}

#[tokio::test]
async fn neither_two_nodes_nor_five_make_a_lock() {
    for count in [0, 2, 4, 5] {
        let urls: Vec<String> = (0..count)
            .map(|node| format!("redis://127.0.0.1:{}", 7000 + node))
            .collect();
        assert!(SaleLock::start(&urls, TTL).is_err(), "{count}");
    }
}
