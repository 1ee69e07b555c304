//! Takes admitted orders off Kafka and has them settled by the coordinator.
//!
//! An order that cannot be decided by itself is handed on to the compensator, which tries it again, while its neighbours go on; what
//! can never be an order goes to the dead letters; what is wrong with everything pauses intake. It leaves out HTTP for buyers, and
//! repair.

pub mod gate;
pub mod intake;
pub mod membership;
pub mod metrics;
pub mod offsets;
pub mod start;
mod work;

use anyhow::{Context as _, ensure};
use intake::Intake;
use membership::Membership;
use ordering::{engine::OrderEngine, faults::Faults, foreign::Foreign, stock::Stock};
use service_kit::{
    kafka::{Producer, Topic, ensure_topics},
    settings::Settings,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use work::{Tools, Topics};

/// How long a stop waits for completions that are under way; recovery does what is left.
const COMPLETE_WITHIN: Duration = Duration::from_secs(5);

/// The consumer with its engine, ready to run.
pub struct Consumer {
    intake: Intake,
    engine: OrderEngine,
}

impl Consumer {
    /// Makes missing topics and joins the group.
    ///
    /// # Errors
    /// When Kafka does not answer, or the settings make no client.
    pub async fn start(settings: &Settings, stock: Stock) -> anyhow::Result<Self> {
        ensure!(
            settings.order_consumer.max_in_flight > 0,
            "order_consumer.max_in_flight must be at least 1"
        );
        let topics = [
            Topic {
                name: &settings.kafka.orders_topic,
                partitions: settings.kafka.orders_partitions,
            },
            Topic {
                name: &settings.compensation.topic,
                partitions: settings.kafka.orders_partitions,
            },
            Topic {
                name: &settings.compensation.dlq_topic,
                partitions: 1,
            },
        ];
        ensure_topics(&settings.kafka.brokers, &topics).await?;
        let foreign = Foreign::from_settings(&settings.participants)?;
        let engine = OrderEngine::of_process(settings, stock, foreign);
        let tools = Tools {
            engine: engine.clone(),
            producer: Producer::new(&settings.kafka.brokers)
                .context("making the producer of dead letters")?,
            topics: Arc::new(Topics {
                orders: settings.kafka.orders_topic.clone(),
                group: settings.order_consumer.group.clone(),
                compensation: settings.compensation.topic.clone(),
                dead_letters: settings.compensation.dlq_topic.clone(),
            }),
            faults: Arc::new(Faults::parse(&settings.faults)?),
        };
        Ok(Self {
            intake: Intake::new(settings, tools)?,
            engine,
        })
    }

    /// What the group gave this process.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.intake.membership()
    }

    /// Runs until `stop`, then finishes what is in hand: up to 10 s for decisions, 5 s for completions.
    ///
    /// # Errors
    /// When Kafka expels this member for good.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let ended = self.intake.run(stop).await;
        if tokio::time::timeout(COMPLETE_WITHIN, self.engine.drain())
            .await
            .is_err()
        {
            warn!("Completions under way are left to recovery");
        }
        ended
    }
}
