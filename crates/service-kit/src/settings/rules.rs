//! Contradictions between settings, refused at start.

use super::{Environment, Settings};
use anyhow::ensure;

/// The secret of `config.example.yaml`: everyone knows it.
const EXAMPLE_SECRET: &str = "change-me-change-me-change-me-change-me";

pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    let Settings { environment, auth, redis, order_consumer, admission, transaction, kafka, scans, .. } = settings;
    ensure!(auth.token_secret.len() >= 32, "auth.token_secret must have at least 32 bytes, not {}", auth.token_secret.len());
    ensure!(
        *environment == Environment::Development || auth.token_secret != EXAMPLE_SECRET,
        "auth.token_secret is the example's: production needs one of its own"
    );
    ensure!(auth.token_ttl_s > 0, "auth.token_ttl_s must be at least 1");
    ensure!(
        redis.stock.urls.len() == 1,
        "redis.stock.urls must name one node, not {} (a cluster is not supported yet)",
        redis.stock.urls.len()
    );
    ensure!(
        matches!(redis.lock.urls.len(), 1 | 3),
        "redis.lock.urls must name 1 or 3 independent nodes, not {}",
        redis.lock.urls.len()
    );
    ensure!(!kafka.brokers.trim().is_empty(), "kafka.brokers must name at least one host:port");
    ensure!((1..=1_000).contains(&kafka.orders_partitions), "kafka.orders_partitions must be between 1 and 1000");
    ensure!(
        (1..=1_000_000).contains(&order_consumer.max_in_flight),
        "order_consumer.max_in_flight must be between 1 and 1000000"
    );
    ensure!(!order_consumer.group.is_empty(), "order_consumer.group must not be empty");
    ensure!(admission.max_in_flight > 0, "admission.max_in_flight must be at least 1");
    ensure!(admission.held_max > 0, "admission.held_max must be at least 1");
    ensure!((1..=1_000).contains(&transaction.batch_size), "transaction.batch_size must be between 1 and 1000");
    ensure!((1..=64).contains(&transaction.batches_in_flight), "transaction.batches_in_flight must be between 1 and 64");
    ensure!(
        transaction.queue >= transaction.batch_size,
        "transaction.queue ({}) must hold at least one batch (transaction.batch_size is {})",
        transaction.queue,
        transaction.batch_size
    );
    for (key, seconds) in [
        ("scans.overdue_reservations_s", scans.overdue_reservations_s),
        ("scans.unfinished_transactions_s", scans.unfinished_transactions_s),
        ("scans.fence_watch_s", scans.fence_watch_s),
        ("scans.compare_s", scans.compare_s),
    ] {
        ensure!((1..=3_600).contains(&seconds), "{key} must be between 1 and 3600");
    }
    let lock_ttl = settings.sale_lock.ttl_ms;
    ensure!((1_000..=60_000).contains(&lock_ttl), "sale_lock.ttl_ms must be between 1000 and 60000, not {lock_ttl}");
    Ok(())
}
