//! Values that are fine alone and wrong together, or outside what makes sense.

use super::{Auth, Environment, Settings, SettingsError, participants, seconds};

/// Beyond it a schedule is longer than anyone waits.
const RETRIES_AT_MOST: u32 = 20;

/// Hours for which Kafka keeps messages, unless it is told otherwise. A transaction must be known for longer than its message.
const KAFKA_KEEPS_H: u64 = 168;
/// Ten years: beyond it a time cannot be reckoned.
const KEPT_AT_MOST_H: u64 = 87_600;
/// A minute, for less is no time to pay in, to 30 days.
const UNPAID_AFTER_S: std::ops::RangeInclusive<u64> = 60..=2_592_000;

/// The first complaint, or none.
type Complaint = Option<String>;

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let complaint = self
            .not_positive()
            .or_else(|| self.empty())
            .or_else(|| self.secrets())
            .or_else(|| self.redis_nodes())
            .or_else(|| self.topics())
            .or_else(|| self.batches())
            .or_else(|| self.completions())
            .or_else(|| self.retention())
            .or_else(|| self.retries())
            .or_else(|| self.unpaid_orders())
            .or_else(|| self.faults_in_production())
            .or_else(|| participants::complaint(&self.participants, self.environment))
            .or_else(|| self.alerts.complaint(self.environment))
            .or_else(|| self.alerts.dlq_complaint(&self.dlq, self.environment))
            .or_else(|| self.alerts.routes_complaint(&self.dlq))
            .or_else(|| self.dlq.archive_complaint())
            .or_else(|| self.watch.complaint())
            .or_else(|| self.retention.complaint())
            .or_else(|| self.admin.complaint(self.environment));
        complaint.map_or(Ok(()), |line| Err(SettingsError::Contradiction(line)))
    }

    fn not_positive(&self) -> Complaint {
        let Self {
            auth,
            admission,
            scans,
            transaction,
            ..
        } = self;
        let positive = [
            ("auth.token_ttl_s", auth.token_ttl_s),
            ("sale_lock.ttl_ms", self.sale_lock.ttl_ms),
            ("admission.max_in_flight", admission.max_in_flight as u64),
            ("admission.held_max", admission.held_max.into()),
            (
                "order_consumer.max_in_flight",
                self.order_consumer.max_in_flight as u64,
            ),
            (
                "database.mysql.max_connections",
                self.database.mysql.max_connections.into(),
            ),
            (
                "transaction.batches_in_flight",
                transaction.batches_in_flight as u64,
            ),
            ("transaction.queue", transaction.queue as u64),
            ("scans.overdue_reservations_s", scans.overdue_reservations_s),
            (
                "scans.unfinished_transactions_s",
                scans.unfinished_transactions_s,
            ),
            ("scans.fence_watch_s", scans.fence_watch_s),
            ("scans.compare_s", scans.compare_s),
            ("scans.unpaid_orders_s", scans.unpaid_orders_s),
        ];
        let (key, _) = positive.into_iter().find(|(_, value)| *value == 0)?;
        Some(format!("{key} must be at least 1"))
    }

    fn unpaid_orders(&self) -> Complaint {
        let after_s = self.scans.unpaid_after_s;
        (after_s != 0 && !UNPAID_AFTER_S.contains(&after_s)).then(|| {
            format!(
                "scans.unpaid_after_s must be 0, which cancels no order, or {} to {}",
                UNPAID_AFTER_S.start(),
                UNPAID_AFTER_S.end()
            )
        })
    }

    fn empty(&self) -> Complaint {
        let named = [
            ("database.mysql.host", &self.database.mysql.host),
            ("database.mysql.name", &self.database.mysql.name),
            ("kafka.brokers", &self.kafka.brokers),
            ("kafka.orders_topic", &self.kafka.orders_topic),
            ("compensation.topic", &self.compensation.topic),
            ("compensation.dlq_topic", &self.compensation.dlq_topic),
            ("order_consumer.group", &self.order_consumer.group),
            ("compensator.group", &self.compensator.group),
            ("transaction.lock_prefix", &self.transaction.lock_prefix),
        ];
        let (key, _) = named
            .into_iter()
            .find(|(_, value)| value.trim().is_empty())?;
        Some(format!("{key} must not be empty"))
    }

    fn secrets(&self) -> Complaint {
        let secret = self.auth.token_secret.expose();
        let staff = &self.seckill_api.first_staff;
        if secret.len() < 32 {
            return Some("auth.token_secret must have at least 32 bytes".to_owned());
        }
        if self.environment == Environment::Production && secret == Auth::DEVELOPMENT_SECRET {
            return Some(
                "auth.token_secret must be set in production: the default is public".to_owned(),
            );
        }
        (!staff.username.is_empty() && staff.password.expose().chars().count() < 8)
            .then(|| "seckill_api.first_staff.password must have at least 8 characters".to_owned())
    }

    fn redis_nodes(&self) -> Complaint {
        let (stock, lock) = (&self.redis.stock.urls, &self.redis.lock.urls);
        if stock.len() != 1 {
            return Some(format!(
                "redis.stock.urls must have exactly one url, not {}",
                stock.len()
            ));
        }
        if !matches!(lock.len(), 1 | 3) {
            return Some(format!(
                "redis.lock.urls must have 1 or 3 urls, not {}",
                lock.len()
            ));
        }
        if let Some(url) = lock
            .iter()
            .find(|url| lock.iter().filter(|other| other == url).count() > 1)
        {
            return Some(format!(
                "redis.lock.urls names {url} twice: three independent nodes make a majority"
            ));
        }
        let url = stock
            .iter()
            .chain(lock)
            .find(|url| ::redis::Client::open(url.as_str()).is_err())?;
        Some(format!(
            "{url:?} in redis is not of the form redis://host:port"
        ))
    }

    fn topics(&self) -> Complaint {
        let topics = [
            ("kafka.orders_topic", &self.kafka.orders_topic),
            ("compensation.topic", &self.compensation.topic),
            ("compensation.dlq_topic", &self.compensation.dlq_topic),
        ];
        for (at, (key, topic)) in topics.iter().enumerate() {
            if let Some((other, _)) = topics[at + 1..].iter().find(|(_, other)| other == topic) {
                return Some(format!("{key} and {other} must differ"));
            }
        }
        (self.kafka.orders_partitions < 1)
            .then(|| "kafka.orders_partitions must be at least 1".to_owned())
    }

    fn batches(&self) -> Complaint {
        let transaction = &self.transaction;
        if !(1..=1000).contains(&transaction.batch_size) {
            return Some("transaction.batch_size must be between 1 and 1000".to_owned());
        }
        if !(transaction.batch_size..=1000).contains(&transaction.batch_at_most) {
            return Some(
                "transaction.batch_at_most must be between transaction.batch_size and 1000"
                    .to_owned(),
            );
        }
        if !(10..=86_400).contains(&transaction.timeout_s) {
            return Some("transaction.timeout_s must be between 10 and 86400".to_owned());
        }
        (transaction.queue < transaction.batch_at_most).then(|| {
            "transaction.queue must hold a batch: at least transaction.batch_at_most".to_owned()
        })
    }

    fn completions(&self) -> Complaint {
        let policy = &self.transaction.retry_policy;
        let key = |name| format!("transaction.retry_policy.{name}");
        if !(1..=1000).contains(&policy.max_attempts) {
            return Some(format!(
                "{} must be between 1 and 1000",
                key("max_attempts")
            ));
        }
        if !(50..=3_600_000).contains(&policy.first_wait_ms) {
            return Some(format!(
                "{} must be between 50 and 3600000",
                key("first_wait_ms")
            ));
        }
        if !(1.0..=10.0).contains(&policy.backoff_factor) {
            return Some(format!(
                "{} must be between 1 and 10",
                key("backoff_factor")
            ));
        }
        if policy.max_wait_s > 86_400 || policy.max_wait_s * 1000 < policy.first_wait_ms {
            return Some(format!(
                "{} must be at most 86400, and at least the first wait",
                key("max_wait_s")
            ));
        }
        (!(0.0..=0.9).contains(&policy.jitter))
            .then(|| format!("{} must be between 0 and 0.9", key("jitter")))
    }

    fn retention(&self) -> Complaint {
        let kept = KAFKA_KEEPS_H..=KEPT_AT_MOST_H;
        (!kept.contains(&self.transaction.keep_finished_h)).then(|| {
            format!(
                "transaction.keep_finished_h must be between {KAFKA_KEEPS_H}, for so long Kafka may deliver an order again, and {KEPT_AT_MOST_H}"
            )
        })
    }

    fn retries(&self) -> Complaint {
        let Self {
            compensation, dlq, ..
        } = self;
        for (key, delays) in [
            ("compensation.retry_delay", &compensation.retry_delay),
            ("dlq.retry_delay", &dlq.retry_delay),
        ] {
            if delays.is_empty() {
                return Some(format!("{key} must name at least one wait, in seconds"));
            }
            if let Some(bad) = delays.iter().find(|delay| seconds(delay).is_none()) {
                return Some(format!(
                    "{key}: {bad:?} is not a number of seconds between 0.05 and 86400"
                ));
            }
        }
        for (key, retries) in [
            ("compensation.max_retries", compensation.max_retries),
            ("dlq.max_retries", dlq.max_retries),
        ] {
            if retries > RETRIES_AT_MOST {
                return Some(format!("{key} must be at most {RETRIES_AT_MOST}"));
            }
        }
        (!(0.0..=0.9).contains(&compensation.jitter))
            .then(|| "compensation.jitter must be between 0 and 0.9".to_owned())
    }

    fn faults_in_production(&self) -> Complaint {
        (self.environment == Environment::Production && !self.faults.is_empty()).then(|| {
            "faults breaks orders on purpose and is refused in production: remove it".to_owned()
        })
    }
}
