//! Reservations that nobody settled in time: published again, once it is sure that their message is not just waiting its turn.
//!
//! When a reservation is first seen overdue the end of `orders` is noted. A message that reached Kafka lies before that end; once
//! the group has committed past it and the reservation still stands, the message was lost, or never sent. Until then publishing
//! again would only double a backlog. What is noted lives in this process alone: after a restart it is noted anew.
//!
//! Orders with an open compensation are left alone: they are worked on already.

use crate::{
    findings::Findings,
    metrics::RESERVATIONS_PUBLISHED_AGAIN_TOTAL,
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
use compensation::queue;
use coordinator::Gid;
use futures::{StreamExt as _, stream};
use metrics::counter;
use ordering::{
    SaleId,
    leases::Leases,
    message::OrderMessage,
    sales,
    stock::{OverdueReservation, Stock, StockError},
};
use rdkafka::message::{Header, OwnedHeaders};
use service_kit::kafka::{Offsets, Producer, committed_offsets, end_offsets};
use sqlx::MySqlPool;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tracing::error;

/// How long a reservation that was published again is left alone.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Reservations of one sale that a turn looks at, the oldest first.
const OF_A_SALE: u32 = 2_000;
/// Reservations that are noted at the same time; more wait until these are settled.
const NOTED_AT_MOST: usize = 100_000;
/// Sales a page.
const SALES: u32 = 1_000;
/// Calls, or messages, under way at once.
const AT_ONCE: usize = 200;

/// Where orders are published, and who reads them.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The brokers' addresses.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group that settles orders.
    pub group: String,
}

/// Publishes overdue reservations again.
pub struct Overdue {
    db: MySqlPool,
    stock: Stock,
    orders: Orders,
    producer: Producer,
    leases: Leases,
    /// Where `orders` ended when each was first seen overdue.
    noted: HashMap<(SaleId, Gid), Arc<Offsets>>,
}

impl Overdue {
    /// Looks at all sales' reservations in `stock`.
    #[must_use]
    pub fn new(
        db: MySqlPool,
        stock: Stock,
        orders: Orders,
        producer: Producer,
        leases: Leases,
    ) -> Self {
        Self {
            db,
            stock,
            orders,
            producer,
            leases,
            noted: HashMap::new(),
        }
    }

    /// Reservations that are noted: they are published again once the group has passed the end that was noted with them.
    #[must_use]
    pub fn noted(&self) -> usize {
        self.noted.len()
    }

    async fn look(&mut self) -> anyhow::Result<Findings> {
        let overdue = self.overdue().await?;
        let still: HashSet<(SaleId, Gid)> = overdue.iter().copied().collect();
        self.noted
            .retain(|reservation, _| still.contains(reservation));
        let due = self.passed().await?;
        self.note(&overdue).await?;
        let findings = self.findings(overdue.len());
        if due.is_empty() {
            return Ok(findings);
        }
        if let Err(wait) = self.producer.check() {
            anyhow::bail!(
                "Kafka takes no messages, {} reservations wait; asked again in {} ms",
                due.len(),
                wait.as_millis()
            );
        }
        let mut published = 0;
        let mut trouble = None;
        for (sale, gids) in due {
            match self.publish(sale, &gids).await {
                Ok(count) => published += count,
                Err(cause) => trouble = Some(cause),
            }
        }
        if published > 0 {
            counter!(RESERVATIONS_PUBLISHED_AGAIN_TOTAL).increment(published);
        }
        if let Some(cause) = trouble {
            return Err(cause)
                .with_context(|| format!("{published} overdue reservations were published again"));
        }
        Ok(self
            .findings(overdue.len())
            .count("published_again", published)
            .did(format!("Published {published} overdue reservations again")))
    }

    fn findings(&self, overdue: usize) -> Findings {
        let (overdue, noted) = (overdue as u64, self.noted.len() as u64);
        let findings = Findings::nothing()
            .count("overdue", overdue)
            .count("noted", noted)
            .count("published_again", 0);
        if overdue == 0 {
            findings.found("No reservation is overdue")
        } else {
            findings.found(format!(
                "{overdue} reservations are overdue, {noted} of them noted: their message may still wait its turn on the topic"
            ))
        }
    }

    /// All that is overdue now.
    async fn overdue(&self) -> anyhow::Result<Vec<(SaleId, Gid)>> {
        let mut overdue = Vec::new();
        let mut last = None;
        loop {
            let page = sales::after(&self.db, last, SALES)
                .await
                .context("MySQL does not list the sales")?;
            last = page.last().copied();
            let full = page.len() == SALES as usize;
            let looks = page
                .into_iter()
                .map(|sale| async move { (sale, self.overdue_of(sale).await) });
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some((sale, found)) = looks.next().await {
                match found {
                    Ok(gids) => overdue.extend(gids.into_iter().map(|gid| (sale, gid))),
                    Err(cause) => return Err(cause),
                }
            }
            if !full {
                return Ok(overdue);
            }
        }
    }

    /// What is overdue of one sale and has no open compensation. A fenced sale has its turn when it is open again.
    async fn overdue_of(&self, sale: SaleId) -> anyhow::Result<Vec<Gid>> {
        let mut overdue = Vec::new();
        let mut seen = 0;
        loop {
            let page = match self.stock.overdue(sale, seen, OF_A_SALE).await {
                Ok(page) => page,
                Err(StockError::Fenced) => return Ok(Vec::new()),
                Err(cause) => {
                    return Err(cause).context("the stock node does not tell what is overdue");
                }
            };
            let gids: Vec<_> = page.iter().map(|gid| gid.as_uuid()).collect();
            let open = queue::open_among(&self.db, &gids)
                .await
                .context("MySQL does not tell what is tried again")?;
            let full = page.len() == OF_A_SALE as usize;
            seen += OF_A_SALE;
            overdue.extend(
                page.into_iter()
                    .filter(|gid| !open.contains(&gid.as_uuid())),
            );
            if !full || overdue.len() >= OF_A_SALE as usize {
                return Ok(overdue);
            }
        }
    }

    /// Notes the end of `orders` for those that are new.
    async fn note(&mut self, overdue: &[(SaleId, Gid)]) -> anyhow::Result<()> {
        let room = NOTED_AT_MOST.saturating_sub(self.noted.len());
        let new: Vec<_> = overdue
            .iter()
            .filter(|it| !self.noted.contains_key(it))
            .take(room)
            .copied()
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let end = Arc::new(
            end_offsets(&self.orders.brokers, &self.orders.topic)
                .await
                .context("Kafka does not tell where orders end")?,
        );
        self.noted
            .extend(new.into_iter().map(|it| (it, Arc::clone(&end))));
        Ok(())
    }

    /// Those whose message the group would have met by now, by sale. They are noted no longer.
    async fn passed(&mut self) -> anyhow::Result<HashMap<SaleId, Vec<Gid>>> {
        let mut due: HashMap<SaleId, Vec<Gid>> = HashMap::new();
        if self.noted.is_empty() {
            return Ok(due);
        }
        let Orders {
            brokers,
            topic,
            group,
        } = &self.orders;
        let committed = committed_offsets(brokers, group, topic)
            .await
            .context("Kafka does not tell how far orders were settled")?;
        for (&(sale, gid), _) in self
            .noted
            .iter()
            .filter(|(_, end)| committed.have_passed(end))
        {
            due.entry(sale).or_default().push(gid);
        }
        Ok(due)
    }

    /// Marks reservations and publishes their messages; how many were acknowledged. The others are overdue again in 10 s.
    async fn publish(&mut self, sale: SaleId, gids: &[Gid]) -> anyhow::Result<u64> {
        let messages = match self.stock.publish_again(sale, gids, LOOK_AGAIN_AFTER).await {
            Ok(messages) => messages,
            Err(StockError::Fenced) => return Ok(0),
            Err(cause) => {
                return Err(cause)
                    .context("the stock node does not give the messages of overdue reservations");
            }
        };
        for gid in gids {
            self.noted.remove(&(sale, *gid));
        }
        let mut sent = stream::iter(messages.into_iter().map(|message| self.send(message)))
            .buffer_unordered(AT_ONCE);
        let (mut published, mut trouble) = (0, None);
        while let Some(sent) = sent.next().await {
            match sent {
                Ok(count) => published += count,
                Err(cause) => trouble = Some(cause),
            }
        }
        trouble.map_or(Ok(published), Err)
    }

    async fn send(&self, overdue: OverdueReservation) -> anyhow::Result<u64> {
        let message = match OrderMessage::parse(&overdue.message) {
            Ok(message) => message,
            Err(cause) => {
                error!(gid = %overdue.gid, "The message kept with reservation {} cannot be read, its units stay held: {cause}", overdue.gid);
                return Ok(0);
            }
        };
        let generation = message.generation.to_string();
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header {
                key: "attempt",
                value: Some("1"),
            })
            .insert(Header {
                key: "generation",
                value: Some(&generation),
            });
        self.producer
            .send(
                &self.orders.topic,
                message.order_id.to_string().as_bytes(),
                &overdue.message,
                headers,
            )
            .await
            .context(
                "Kafka did not take overdue reservations again: they are tried again in 10 s",
            )?;
        Ok(1)
    }
}

impl Scan for Overdue {
    const NAME: &'static str = "overdue_reservations";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let leases = self.leases.clone();
        under_lease(&leases, Self::NAME, self.look()).await
    }
}
