//! Sampling conservation while a sale runs: an error that mends itself before the end would otherwise never be seen.

use crate::{checks::Check, database, endpoints::Endpoints, redis_node::Node, verdict::Tally};
use std::time::Duration;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// Between two samples of every sale.
const PAUSE: Duration = Duration::from_millis(200);

/// A sampler that runs beside the sale.
pub struct Watch {
    stop: oneshot::Sender<()>,
    sampling: JoinHandle<Tally>,
    rounds: watch::Receiver<u64>,
}

impl Watch {
    /// Begins to sample. Servers that do not answer are asked again later: they are being killed on purpose.
    #[must_use]
    pub fn start(endpoints: Endpoints) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let (round, rounds) = watch::channel(0);
        let sampling = tokio::spawn(async move {
            let mut tally = Tally::default();
            while matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
                // Whatever was sampled before a server went away counts.
                let _ = sample(&endpoints, &mut tally).await;
                round.send_modify(|rounds| *rounds += 1);
                tokio::time::sleep(PAUSE).await;
            }
            tally
        });
        Self {
            stop,
            sampling,
            rounds,
        }
    }

    /// Returns once every sale was looked at `rounds` times, or could not be.
    pub async fn sampled(&self, rounds: u64) {
        // An error means that the sampler broke, which `finish` tells.
        let _ = self.rounds.clone().wait_for(|done| *done >= rounds).await;
    }

    /// Ends it and adds what it saw.
    ///
    /// # Errors
    /// The sampler itself broke.
    pub async fn finish(self, tally: &mut Tally) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        tally.merge(self.sampling.await?);
        Ok(())
    }
}

/// Looks at every sale once, in MySQL and in Redis. The two are not compared: they agree at rest only.
async fn sample(endpoints: &Endpoints, tally: &mut Tally) -> anyhow::Result<()> {
    let mut db = database::connect(&endpoints.mysql).await?;
    let sales = database::sales(&mut db).await?;
    for sale in &sales {
        tally.note(Check::ConservedMeanwhile, sale.is_conserved(), || {
            sale.describe()
        });
    }
    let mut node = Node::connect(&endpoints.redis_stock).await?;
    for sale in &sales {
        // A closed hash is being rebuilt; its numbers are not used.
        if let Some(levels) = node.levels(sale.id).await?.filter(|levels| !levels.fenced) {
            tally.note(Check::ConservedMeanwhile, levels.is_conserved(), || {
                format!("sale {}: {}", sale.id, levels.describe())
            });
        }
    }
    Ok(())
}
