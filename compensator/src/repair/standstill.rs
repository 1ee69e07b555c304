//! The intake stands still: told in the log at once, and to people where it lasts and MySQL answers. Of MySQL's own silence the
//! courier tells.

use super::Tools;
use compensation::alerts::{Alert, Severity};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

/// A rebalance, a lock or a deadlock is over sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why, and for how long. One from the first trouble until what was to be taken in is.
#[derive(Default)]
pub(super) struct Standstill {
    why: Option<String>,
    since: Option<Instant>,
    told: Option<Uuid>,
}

impl Standstill {
    /// It was tried in vain.
    pub async fn note(&mut self, tools: &Tools, cause: &anyhow::Error) {
        let why = format!("{cause:#}");
        if self.why.as_ref() != Some(&why) {
            warn!("What failed is not taken in, it stays on its topic and is tried again: {why}");
        }
        self.why = Some(why);
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.told.is_some() || since.elapsed() < PATIENCE {
            return;
        }
        let occasion = Uuid::now_v7();
        let title = "Nothing that failed is taken in";
        let alert = Alert::new("system", Severity::Urgent, "intake", title)
            .text("A message stands in the way. All of them stay on their topics, nothing is lost, and none is tried again until it can be read.")
            .fact("why", self.why.as_deref().unwrap_or_default())
            .fact("seen by", &tools.worker)
            .once(&format!("{occasion}: stands still"));
        if tell(tools, &alert).await {
            self.told = Some(occasion);
        }
    }

    /// It was taken in.
    pub async fn over(self, tools: &Tools) {
        let (Some(occasion), Some(since)) = (self.told, self.since) else {
            return;
        };
        let seconds = since.elapsed().as_secs();
        let alert = Alert::new(
            "system",
            Severity::Info,
            "intake",
            "What failed is taken in again",
        )
        .fact("stood still for", format!("{seconds} s"))
        .once(&format!("{occasion}: over"))
        .resolves();
        tell(tools, &alert).await;
    }
}

/// `false` where MySQL does not take it: the next try tells.
async fn tell(tools: &Tools, alert: &Alert) -> bool {
    let telling = async {
        let mut tx = tools.db.begin().await?;
        tools.tell(&mut tx, alert).await?;
        tx.commit().await
    };
    telling.await.is_ok()
}
