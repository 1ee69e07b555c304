//! The sale lock over three real nodes that are stopped, killed and brought back.

use identity::UserId;
use ordering::{
    SaleId,
    sale_lock::{Attempt, Held, SaleLock},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::{eventually, redis::RedisServer};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

const TTL: Duration = Duration::from_secs(5);
/// A hung node is left out within this, by the figures of the design.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
/// What a lock may cost at the most on a busy machine once that has happened: half of what a hung node costs.
const QUICK: Duration = Duration::from_millis(250);
/// On a busy machine an attempt may give up after its 150 ms; within this one does not.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

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
        eventually(&what, TTL + ANSWERED_WITHIN, || async {
            (self.locks.answering() == (count, 3)).then_some(())
        })
        .await;
    }

    /// A lock nobody else wants.
    async fn take(&self) -> (SaleId, UserId, Held) {
        let (sale, user) = (SaleId::fresh(), UserId::fresh());
        (sale, user, take(&self.locks, sale, user).await.0)
    }

    /// What is said of a lock that somebody has.
    async fn told(&self, sale: SaleId, user: UserId) -> Attempt {
        eventually("a majority answers in time", ANSWERED_WITHIN, || async {
            let told = self.locks.acquire(sale, user).await;
            Some(told).filter(|told| !matches!(told, Attempt::NoMajority))
        })
        .await
    }
}

/// A lock that nobody has, and since when it was asked for in the attempt that got it.
async fn take(locks: &SaleLock, sale: SaleId, user: UserId) -> (Held, Instant) {
    let gave_up = AtomicBool::new(false);
    eventually("a majority answers in time", ANSWERED_WITHIN, || async {
        let since = Instant::now();
        match locks.acquire(sale, user).await {
            Attempt::Held(held) => return Some((held, since)),
            Attempt::NoMajority => gave_up.store(true, Ordering::SeqCst),
            // By the attempt that gave up, until it is undone.
            Attempt::Contended => assert!(gave_up.load(Ordering::SeqCst), "somebody has it"),
        }
        None
    })
    .await
}

/// The slowest of 200 locks with their releases but the slowest two.
async fn p99(locks: &SaleLock) -> Duration {
    let mut took = Vec::new();
    for _ in 0..200 {
        let (held, since) = take(locks, SaleId::fresh(), UserId::fresh()).await;
        held.release().await;
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
                    // A majority answers, but on a busy machine perhaps too late.
                    Attempt::Contended | Attempt::NoMajority => {}
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
    let (sale, user, first) = three.take().await;
    assert!(matches!(three.told(sale, user).await, Attempt::Contended));
    for (sale, user) in [(sale, UserId::fresh()), (SaleId::fresh(), user)] {
        take(&three.locks, sale, user).await.0.release().await;
    }
    first.release().await;
    take(&three.locks, sale, user).await.0.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_nobody_released_is_free_after_its_time() {
    let three = Three::start().await;
    let (sale, user) = (SaleId::fresh(), UserId::fresh());
    let (first, since) = take(&three.locks, sale, user).await;
    drop(first);
    let again = eventually("the lock is free", TTL + ANSWERED_WITHIN, || async {
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
    let (_, _, kept) = three.take().await;

    three.nodes[0].pause();
    let since = Instant::now();
    let unnoticed = three.locks.acquire(SaleId::fresh(), UserId::fresh()).await;
    assert!(
        since.elapsed() < Duration::from_millis(450),
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
        since.elapsed() < Duration::from_millis(100),
        "told after {:?}",
        since.elapsed()
    );

    three.nodes[0].resume();
    three.nodes[1].resume();
    three.answering(3).await;
    kept.release().await;
    let (most, times) = contend(&three.locks).await;
    assert_eq!(most, 1, "two held one lock, of {times} times it was held");
    three.take().await.2.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_before_a_node_hung_still_keeps_others_out_and_after_it_came_back() {
    let three = Three::start().await;
    three.nodes[2].pause();
    three.answering(2).await;
    let (sale, user, first) = three.take().await;
    three.nodes[2].resume();
    three.answering(3).await;
    assert!(
        matches!(three.told(sale, user).await, Attempt::Contended),
        "the node that came back knows of no lock"
    );
    three.nodes[0].pause();
    three.answering(2).await;
    assert!(
        matches!(three.told(sale, user).await, Attempt::Contended),
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
    eventually("the node is in use", ANSWERED_WITHIN, || async {
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
