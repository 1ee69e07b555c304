//! Values that are fine alone and wrong together, or outside what makes sense.

use super::{Auth, Environment, Settings, SettingsError};

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        self.contradictions().map_or(Ok(()), |line| Err(SettingsError::Contradiction(line)))
    }

    fn contradictions(&self) -> Option<String> {
        let Self { auth, redis, kafka, transaction, admission, scans, seckill_api, .. } = self;
        let secret = auth.token_secret.expose();
        let positive = [
            ("auth.token_ttl_s", auth.token_ttl_s),
            ("sale_lock.ttl_ms", self.sale_lock.ttl_ms),
            ("admission.max_in_flight", admission.max_in_flight as u64),
            ("admission.held_max", admission.held_max.into()),
            ("order_consumer.max_in_flight", self.order_consumer.max_in_flight as u64),
            ("database.mysql.max_connections", self.database.mysql.max_connections.into()),
            ("transaction.batches_in_flight", transaction.batches_in_flight as u64),
            ("transaction.queue", transaction.queue as u64),
            ("transaction.retry_policy.max_attempts", transaction.retry_policy.max_attempts.into()),
            ("transaction.retry_policy.backoff_factor", transaction.retry_policy.backoff_factor.into()),
            ("scans.overdue_reservations_s", scans.overdue_reservations_s),
            ("scans.unfinished_transactions_s", scans.unfinished_transactions_s),
            ("scans.fence_watch_s", scans.fence_watch_s),
            ("scans.compare_s", scans.compare_s),
        ];
        let named = [
            ("database.mysql.host", &self.database.mysql.host),
            ("database.mysql.name", &self.database.mysql.name),
            ("kafka.brokers", &kafka.brokers),
            ("kafka.orders_topic", &kafka.orders_topic),
            ("kafka.compensation_topic", &kafka.compensation_topic),
            ("compensation.dlq_topic", &self.compensation.dlq_topic),
            ("order_consumer.group", &self.order_consumer.group),
            ("transaction.lock_prefix", &transaction.lock_prefix),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Some(format!("{key} must be at least 1"));
        }
        if let Some((key, _)) = named.into_iter().find(|(_, value)| value.trim().is_empty()) {
            return Some(format!("{key} must not be empty"));
        }
        if secret.len() < 32 {
            return Some("auth.token_secret must have at least 32 bytes".to_owned());
        }
        if self.environment == Environment::Production && secret == Auth::DEVELOPMENT_SECRET {
            return Some("auth.token_secret must be set in production: the default is public".to_owned());
        }
        if redis.stock.urls.len() != 1 {
            return Some(format!("redis.stock.urls must have exactly one url, not {}", redis.stock.urls.len()));
        }
        if !matches!(redis.lock.urls.len(), 1 | 3) {
            return Some(format!("redis.lock.urls must have 1 or 3 urls, not {}", redis.lock.urls.len()));
        }
        if let Some(url) = redis.lock.urls.iter().find(|url| redis.lock.urls.iter().filter(|other| other == url).count() > 1) {
            return Some(format!("redis.lock.urls names {url} twice: three independent nodes make a majority"));
        }
        if let Some(url) = redis.stock.urls.iter().chain(&redis.lock.urls).find(|url| ::redis::Client::open(url.as_str()).is_err()) {
            return Some(format!("{url:?} in redis is not of the form redis://host:port"));
        }
        if kafka.orders_topic == kafka.compensation_topic
            || kafka.orders_topic == self.compensation.dlq_topic
            || kafka.compensation_topic == self.compensation.dlq_topic
        {
            return Some("kafka.orders_topic, kafka.compensation_topic and compensation.dlq_topic must differ".to_owned());
        }
        if kafka.orders_partitions < 1 {
            return Some("kafka.orders_partitions must be at least 1".to_owned());
        }
        if !(1..=1000).contains(&transaction.batch_size) {
            return Some("transaction.batch_size must be between 1 and 1000".to_owned());
        }
        if transaction.queue < transaction.batch_size {
            return Some("transaction.queue must hold a batch: at least transaction.batch_size".to_owned());
        }
        let staff = &seckill_api.first_staff;
        if !staff.username.is_empty() && staff.password.expose().chars().count() < 8 {
            return Some("seckill_api.first_staff.password must have at least 8 characters".to_owned());
        }
        None
    }
}
