//! One channel's work: what is due is claimed, sent and written down. Each channel has its lane, so that a slow or broken one
//! delays no other.
//!
//! How the channel is, all processes know from MySQL: its bucket, whether it rests, whether it is off. While MySQL takes nothing each has a
//! bucket of its own, a third as large, and goes by what it sees itself.

use super::{
    Channel, Delivered, Notice, Policy,
    backlog::Backlog,
    bucket::Bucket,
    metrics::ALERTS_TOTAL,
    outbox::{self, Claimed, Looked, Terms, Tried},
};
use anyhow::{Context as _, anyhow};
use futures::{FutureExt as _, future::join_all};
use metrics::counter;
use sqlx::MySqlPool;
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

/// Requests under way at once to one receiver.
const AT_ONCE: u32 = 4;
/// A statement that is not answered by then is not waited for.
pub(super) const MYSQL_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Tries to write down what came of a request.
const RECORD_TRIES: u32 = 3;
/// How often it is looked for what became too old while its channel is off.
const GIVEN_UP_EVERY: Duration = Duration::from_mins(1);

/// What all lanes share.
pub(super) struct Desk {
    pub(super) db: MySqlPool,
    pub(super) backlog: Backlog,
    pub(super) policy: Policy,
    /// Where operators look, without a slash at its end.
    pub(super) pages: Option<String>,
    /// Whether MySQL takes alerts; while it does not the spool is sent from.
    pub(super) mysql_takes: AtomicBool,
    /// Whether MySQL knows all that was said to what went from the spool.
    pub(super) mysql_knows: AtomicBool,
}

/// See the module.
pub(super) struct Lane {
    name: String,
    channel: Arc<dyn Channel>,
    desk: Arc<Desk>,
    /// What this process knows while MySQL takes nothing.
    apart: Mutex<Apart>,
    given_up_at: Mutex<Option<Instant>>,
}

/// What the last tries from the spool say of the receiver, and what may be sent from there.
struct Apart {
    bucket: Bucket,
    refilled_at: Instant,
    failures: u32,
    /// Nothing is sent before.
    rests_until: Option<Instant>,
    /// Gone, as MySQL or the receiver said last.
    is_off: bool,
}

impl Lane {
    pub(super) fn new(name: &str, channel: Arc<dyn Channel>, desk: Arc<Desk>) -> Self {
        let apart = Apart {
            bucket: Bucket::full(channel.rate().apart()),
            refilled_at: Instant::now(),
            failures: 0,
            rests_until: None,
            is_off: false,
        };
        Self {
            name: name.to_owned(),
            channel,
            desk,
            apart: Mutex::new(apart),
            given_up_at: Mutex::default(),
        }
    }

    /// Sends all that is due and that there is room for, and stops when the receiver fails; how many were tried. A panic is an error like
    /// others: it would end the channel's deliveries, and nobody would know.
    pub(super) async fn turn(&self) -> anyhow::Result<usize> {
        let turn = AssertUnwindSafe(self.send_all()).catch_unwind().await;
        turn.unwrap_or_else(|_| Err(anyhow!("channel {} panicked: see above", self.name)))
    }

    async fn send_all(&self) -> anyhow::Result<usize> {
        let mut tried = 0;
        loop {
            let sent = if self.desk.mysql_takes.load(Ordering::Relaxed) {
                self.send_from_outbox().await?
            } else {
                self.send_from_spool().await?
            };
            if sent == 0 {
                return Ok(tried);
            }
            tried += sent;
        }
    }

    async fn send_from_outbox(&self) -> anyhow::Result<usize> {
        // What the receiver said to this process alone holds, until all processes know of it.
        if !self.desk.mysql_knows.load(Ordering::Relaxed) && self.apart().rests() {
            return Ok(0);
        }
        let terms = Terms {
            rate: self.channel.rate(),
            at_once: AT_ONCE,
            lease: self.desk.policy.lease,
            digests: self.channel.digests(),
            together: self.channel.together(),
        };
        let claimed_at = Instant::now();
        let claiming = outbox::claim_due(&self.desk.db, &self.name, terms);
        let Some(Looked { messages, off }) = answered(claiming)
            .await
            .context("no alerts can be claimed")?
        else {
            return Ok(0);
        };
        self.apart().is_off = off.is_some();
        if let Some(why) = off {
            self.give_up_while_off(&why).await;
        }
        // Who slept meanwhile lets it come back: others may have told more by then, and this would be told after it.
        if claimed_at.elapsed() >= self.desk.policy.lease / 2 {
            return Ok(0);
        }
        let sends = messages.iter().map(|message| async move {
            let notices: Vec<&Notice> = message.iter().map(|it| &it.notice).collect();
            let (what, took) = self.send(&notices).await;
            for it in message {
                if let Err(cause) = self.record(it, &what, took).await {
                    warn!(alert.id = %it.notice.id(), channel = %self.name, "What became of an alert is not written down, it is tried again: {cause:#}");
                }
            }
            what
        });
        let outcomes = join_all(sends).await;
        if let Some(first) = messages.iter().flatten().next() {
            self.note(&outcomes, first.failures).await;
        }
        Ok(outcomes.len())
    }

    async fn send_from_spool(&self) -> anyhow::Result<usize> {
        let Some(limit) = self.apart().room(self.channel.rate().apart()) else {
            return Ok(0);
        };
        let backlog = &self.desk.backlog;
        let due = backlog
            .take_due(&self.name, limit as usize, self.desk.policy.lease)
            .await?;
        self.apart().take(due.len());
        let sends = due.iter().map(|it| async move {
            let (what, took) = self.send(&[&Notice::of(it.alert.clone())]).await;
            let wait = self.wait(it.attempts + 1, &what);
            let recorded = backlog.record(it.alert.id, &self.name, &what, took, wait);
            if let Err(cause) = recorded.await {
                warn!(alert.id = %it.alert.id, channel = %self.name, "{cause:#}");
            }
            what
        });
        let outcomes = join_all(sends).await;
        if !outcomes.is_empty() {
            self.note_apart(trouble(&outcomes));
        }
        Ok(outcomes.len())
    }

    /// Sends these in one message.
    async fn send(&self, notices: &[&Notice]) -> (Delivered, Duration) {
        let notices: Vec<Notice> = notices.iter().map(|it| self.linked(it)).collect();
        let begun = Instant::now();
        let delivering = AssertUnwindSafe(async {
            match &notices[..] {
                [one] => self.channel.deliver(one).await,
                several => self.channel.deliver_together(several).await,
            }
        });
        let what = delivering.catch_unwind().await.unwrap_or_else(|_| {
            Delivered::Unknown("this program panicked over it: see its log".to_owned())
        });
        let took = begun.elapsed();
        for notice in &notices {
            counter!(ALERTS_TOTAL, "channel" => self.name.clone(), "outcome" => what.outcome())
                .increment(1);
            self.log(notice, &what);
        }
        (what, took)
    }

    fn log(&self, notice: &Notice, what: &Delivered) {
        let (id, kind, channel) = (notice.id(), &notice.alert.kind, &self.name);
        match what.error() {
            None => {
                info!(alert.id = %id, channel = %channel, "Delivered {kind} alert {id} to {channel}");
            }
            Some(why) if what.has_arrived() => {
                warn!(alert.id = %id, channel = %channel, "Alert {id} was delivered to {channel} in part: {why}");
            }
            Some(why) if matches!(what, Delivered::Gone(_)) => {
                error!(alert.id = %id, channel = %channel, "Channel {channel} is off until somebody switches it on, what waits is kept: {why}");
            }
            Some(why) => {
                warn!(alert.id = %id, channel = %channel, "Alert {id} was not delivered to {channel}, it is tried again: {why}");
            }
        }
    }

    /// What leads nowhere by itself (a digest, a test, what goes from the spool) leads to its own page.
    fn linked(&self, notice: &Notice) -> Notice {
        let mut linked = notice.clone();
        if let (Some(pages), None) = (&self.desk.pages, &notice.alert.link) {
            linked.alert.link = Some(format!("{pages}/alerts/{}", notice.id()));
        }
        linked
    }

    async fn record(&self, it: &Claimed, what: &Delivered, took: Duration) -> anyhow::Result<()> {
        let Desk { db, policy, .. } = &*self.desk;
        let outcome = Tried {
            what,
            took,
            wait: self.wait(it.attempts + 1, what),
            rest: self.wait(it.failures + 1, what),
        };
        let mut tries = 1;
        loop {
            let writing = outbox::record(db, &self.name, it, outcome, policy.give_up_after);
            match answered(writing).await {
                Err(_) if tries < RECORD_TRIES => tries += 1,
                written => return written,
            }
        }
    }

    /// A receiver that took anything is well; one that took nothing rests, for all processes. That it asked for fewer, or that a person
    /// must change something, each try has written down itself.
    async fn note(&self, outcomes: &[Delivered], failures: u32) {
        let Some(trouble) = trouble(outcomes) else {
            return;
        };
        let Desk { db, policy, .. } = &*self.desk;
        let error = trouble.error().unwrap_or_default();
        if matches!(trouble, Delivered::Unknown(_)) {
            let wait = self.wait(failures + 1, trouble);
            let resting = outbox::rest(db, &self.name, &error, failures, wait);
            if let Err(cause) = answered(resting).await {
                warn!(channel = %self.name, "That a channel fails is not written down: {cause:#}");
            }
        }
        let giving_up = outbox::give_up(db, &self.name, &error, policy.give_up_after);
        if let Err(cause) = answered(giving_up).await {
            warn!(channel = %self.name, failures, "Old alerts are not given up yet: {cause:#}");
        }
    }

    /// Nothing is tried while a channel is off, so that nothing fails: what becomes too old is given up all the same, and shown.
    async fn give_up_while_off(&self, why: &str) {
        {
            let mut given_up_at = locked(&self.given_up_at);
            if given_up_at.is_some_and(|at| at.elapsed() < GIVEN_UP_EVERY) {
                return;
            }
            *given_up_at = Some(Instant::now());
        }
        let error = format!("the channel is off: {why}");
        let Desk { db, policy, .. } = &*self.desk;
        let giving_up = outbox::give_up(db, &self.name, &error, policy.give_up_after);
        if let Err(cause) = answered(giving_up).await {
            warn!(channel = %self.name, "Old alerts are not given up yet: {cause:#}");
        }
    }

    fn note_apart(&self, trouble: Option<&Delivered>) {
        let failures = trouble.map_or(0, |_| self.apart().failures.saturating_add(1));
        let rest = trouble.map(|trouble| self.wait(failures, trouble));
        let mut apart = self.apart();
        apart.failures = failures;
        apart.rests_until = rest.map(|rest| Instant::now() + rest);
        apart.is_off |= matches!(trouble, Some(Delivered::Gone(_)));
    }

    fn apart(&self) -> MutexGuard<'_, Apart> {
        locked(&self.apart)
    }

    fn wait(&self, failures: u32, what: &Delivered) -> Duration {
        self.desk.policy.wait(failures, what, rand::random())
    }
}

impl Apart {
    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| until > Instant::now())
    }

    /// How many may be sent now; `None`: none. A receiver that failed is tried with one alert.
    fn room(&mut self, rate: super::Rate) -> Option<u32> {
        let now = Instant::now();
        self.bucket = self.bucket.refilled(rate, now - self.refilled_at);
        self.refilled_at = now;
        let at_once = match self.rests_until {
            _ if self.is_off => 0,
            Some(until) if until > now => 0,
            Some(_) => 1,
            None => AT_ONCE,
        };
        Some(at_once.min(self.bucket.whole())).filter(|room| *room > 0)
    }

    fn take(&mut self, taken: usize) {
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        self.bucket = self.bucket.without(taken);
    }
}

/// What is wrong with a receiver of which so much came; nothing where it took anything and asked for nothing.
fn trouble(outcomes: &[Delivered]) -> Option<&Delivered> {
    let said = outcomes.iter().find(|what| {
        matches!(
            what,
            Delivered::SlowDown(..) | Delivered::Broken(_) | Delivered::Gone(_)
        )
    });
    match said {
        None if outcomes.iter().any(Delivered::has_arrived) => None,
        None => outcomes.last(),
        said => said,
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What MySQL says, or that it says nothing.
pub(super) async fn answered<T>(
    asking: impl Future<Output = sqlx::Result<T>>,
) -> anyhow::Result<T> {
    Ok(timeout(MYSQL_ANSWERS_WITHIN, asking)
        .await
        .context("MySQL does not answer")??)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::alerts::{Alert, Severity, Spool};
    use futures::future::BoxFuture;
    use sqlx::mysql::MySqlPoolOptions;

    /// Keeps what it is told, or panics over it.
    #[derive(Default)]
    pub struct Told {
        pub notices: Mutex<Vec<Notice>>,
        pub panics: AtomicBool,
    }

    impl Channel for Told {
        fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
            locked(&self.notices).push(notice.clone());
            assert!(!self.panics.load(Ordering::Relaxed), "as it was told to");
            Box::pin(async { Delivered::Sent })
        }
    }

    /// A desk whose MySQL never answers.
    pub fn desk(folder: &std::path::Path) -> Arc<Desk> {
        let nowhere = "mysql://nobody@127.0.0.1:9/none";
        desk_at(
            MySqlPoolOptions::new().connect_lazy(nowhere).unwrap(),
            folder,
        )
    }

    /// One that has not asked its MySQL anything yet.
    pub fn desk_at(db: MySqlPool, folder: &std::path::Path) -> Arc<Desk> {
        Arc::new(Desk {
            db,
            backlog: Backlog::new(Spool::new(folder)),
            policy: Policy {
                silence: Duration::from_hours(1),
                ..Policy::default()
            },
            pages: Some("https://admin.example".to_owned()),
            mysql_takes: AtomicBool::new(false),
            mysql_knows: AtomicBool::new(false),
        })
    }

    /// Breaks when a panic is not caught where it happens: then the try is written down nowhere, and comes again at once.
    #[tokio::test]
    async fn a_channel_that_panics_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, channel) = (desk(folder.path()), Arc::new(Told::default()));
        let alert = Alert::new("system", Severity::Urgent, "mysql", "MySQL does not answer");
        desk.backlog.spool().put(&alert).await.unwrap();
        channel.panics.store(true, Ordering::Relaxed);
        let lane = Lane::new("ops", channel.clone(), desk.clone());
        assert_eq!(lane.turn().await.unwrap(), 1);
        let entry = desk.backlog.spool().read(alert.id).unwrap().unwrap();
        let error = entry.progress["ops"].last_error.as_deref().unwrap();
        assert!(error.contains("panicked"), "{error}");
        assert_eq!(lane.turn().await.unwrap(), 0, "it rests");
    }

    /// Breaks when what has no page of its own goes out without any.
    #[tokio::test]
    async fn what_goes_from_the_spool_leads_to_its_page() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, channel) = (desk(folder.path()), Arc::new(Told::default()));
        let lost = Alert::new("system", Severity::Urgent, "mysql", "MySQL does not answer");
        let order = Alert::new("archived", Severity::Warning, "7", "Order 7 was given up")
            .link("https://admin.example/archives/7");
        for alert in [&lost, &order] {
            desk.backlog.spool().put(alert).await.unwrap();
        }
        let lane = Lane::new("ops", channel.clone(), desk);
        assert_eq!(lane.turn().await.unwrap(), 2);
        let told = locked(&channel.notices);
        let links: Vec<_> = told.iter().filter_map(|it| it.alert.link.clone()).collect();
        let own = format!("https://admin.example/alerts/{}", lost.id);
        assert_eq!(links, [own, order.link.unwrap()]);
    }
}
