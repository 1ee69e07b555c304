//! The intake stands still: told in the log at once, and to people where it lasts and MySQL answers. Of MySQL's own silence the
//! courier tells. One that begins tells that it is over, too, for one that died before it could.

use super::Tools;
use compensation::alerts::{Alert, Severity, incidents};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

/// A rebalance, a lock or a deadlock is over sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the alerts are about.
const SUBJECT: &str = "intake";
/// Their group.
const GROUP: &str = "system/intake";

/// Why, and for how long.
#[derive(Default)]
pub(super) struct Standstill {
    why: Option<String>,
    since: Option<Instant>,
    told: Option<Uuid>,
    /// Whether what a process before this one told of was looked for.
    knows_the_past: bool,
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
        let alert = Alert::new("system", Severity::Urgent, SUBJECT, title)
            .text("A message stands in the way. All of them stay on their topics, nothing is lost, and none is tried again until it can be read.")
            .fact("why", self.why.as_deref().unwrap_or_default())
            .fact("seen by", &tools.worker)
            .once(&format!("{occasion}: stands still"));
        if tell(tools, &alert).await {
            self.told = Some(occasion);
        }
    }

    /// It was taken in.
    pub async fn over(&mut self, tools: &Tools) {
        let title = "What failed is taken in again";
        let over = Alert::new("system", Severity::Info, SUBJECT, title).resolves();
        let alert = match (self.told, self.since) {
            (Some(occasion), Some(since)) => over
                .fact(
                    "stood still for",
                    format!("{} s", since.elapsed().as_secs()),
                )
                .once(&format!("{occasion}: over")),
            // MySQL has just taken something: where it does not answer here, the next batch asks again.
            _ if !self.knows_the_past => match incidents::stands(&tools.db, GROUP).await {
                Ok(true) => over,
                Ok(false) => return self.forget(),
                Err(_) => return,
            },
            _ => return self.forget(),
        };
        tell(tools, &alert).await;
        self.forget();
    }

    fn forget(&mut self) {
        *self = Self {
            knows_the_past: true,
            ..Self::default()
        };
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
