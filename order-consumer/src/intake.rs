//! The loop that takes orders off Kafka, has them decided, and commits what is settled.
//!
//! One task, no task per message: what is in hand is a set of futures it drives itself. It keeps polling while it takes nothing,
//! for rebalances are served by polling. Nothing is committed before its outcome is durable, or Kafka has it for the compensator.

use crate::{
    gate::{Closed, Gate},
    membership::{Member, Membership},
    metrics::{CONSUMER_MESSAGES_TOTAL, CONSUMER_PAUSED},
    offsets::Ticket,
    work::{Done, InHand, Job, Read, Tools, read},
};
use anyhow::Context as _;
use coordinator::{NotPromised, SubmitError};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use metrics::{Counter, counter, gauge};
use ordering::OrderOutcome;
use rdkafka::{
    Message as _,
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use service_kit::{kafka::Original, settings::Settings};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often settled offsets are committed, waits looked at and the gate tried.
const TICK: Duration = Duration::from_millis(100);
/// How long a stop waits for what is in hand.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How long an order that failed alone is kept before it is handed on: time to see whether others fail alike.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);
/// How often an order may fail while others fail alike, before it is handed on all the same.
const FAILURES_AT_MOST: u32 = 2;
/// The pause after an error of the client, which goes on by itself.
const AFTER_CLIENT_ERROR: Duration = Duration::from_millis(100);

/// Takes orders until it is stopped.
pub struct Intake {
    group: String,
    max_in_flight: usize,
    membership: Membership,
    member: Arc<Member>,
    tools: Tools,
    gate: Gate,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Orders that failed alone and why, by when they are handed on.
    waiting: BTreeMap<(Instant, u64), (InHand, String)>,
    /// Orders that wait for the gate.
    held: VecDeque<InHand>,
    /// Messages of a newer build; while there are any, nothing is taken.
    newer: Vec<Ticket>,
    /// Orders that may be taken although the gate is closed: one for each try.
    taken_on_trial: usize,
    fetching: bool,
    stopping: bool,
    /// The hand is full and nothing in it moves.
    stuck: bool,
    finished_since_tick: usize,
    sequence: u64,
    counters: Counters,
}

struct Counters {
    decided: Counter,
    failed_alone: Counter,
    handed_on: Counter,
    dead_letter: Counter,
}

impl Intake {
    /// Joins the group.
    ///
    /// # Errors
    /// When the settings make no consumer.
    pub(crate) fn new(settings: &Settings, tools: Tools) -> anyhow::Result<Self> {
        let (membership, member) =
            Membership::join(settings).context("joining the consumer group")?;
        gauge!(CONSUMER_PAUSED).set(0.0);
        Ok(Self {
            group: settings.order_consumer.group.clone(),
            max_in_flight: settings.order_consumer.max_in_flight,
            membership,
            member,
            tools,
            gate: Gate::default(),
            jobs: FuturesUnordered::new(),
            waiting: BTreeMap::new(),
            held: VecDeque::new(),
            newer: Vec::new(),
            taken_on_trial: 0,
            fetching: true,
            stopping: false,
            stuck: false,
            finished_since_tick: 0,
            sequence: 0,
            counters: Counters {
                decided: counter!(CONSUMER_MESSAGES_TOTAL, "outcome" => "decided"),
                failed_alone: counter!(CONSUMER_MESSAGES_TOTAL, "outcome" => "failed_alone"),
                handed_on: counter!(CONSUMER_MESSAGES_TOTAL, "outcome" => "handed_on"),
                dead_letter: counter!(CONSUMER_MESSAGES_TOTAL, "outcome" => "dead_letter"),
            },
        })
    }

    /// What the group gave this process.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.membership.clone()
    }

    /// Takes and settles orders until `stop`; then takes no more, waits up to 10 s for what is in hand, commits, and leaves the
    /// group.
    ///
    /// # Errors
    /// When Kafka expels this member for good, as when another one came under its `instance_id`.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let member = Arc::clone(&self.member);
        let mut messages = member.stream();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut give_up_at = None;
        while !(self.stopping
            && (self.jobs.is_empty() || give_up_at.is_some_and(|at| Instant::now() >= at)))
        {
            // A full hand stops polling until something in it finishes. When nothing does for a tick, fetching is paused and polling
            // goes on; pausing at once would throw away what was fetched ahead.
            let polls = !self.fetching || self.in_hand() < self.max_in_flight;
            tokio::select! {
                () = stop.cancelled(), if !self.stopping => {
                    self.stopping = true;
                    give_up_at = Some(Instant::now() + DRAIN_WITHIN);
                    self.adjust();
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.on_done(done),
                Some(message) = messages.next(), if polls => self.on_message(message).await?,
                _ = ticks.tick() => self.on_tick(),
            }
        }
        if !self.jobs.is_empty() {
            warn!(
                "{} orders in hand are left to the next holder of their partitions",
                self.jobs.len()
            );
        }
        drop(messages);
        // Committing and leaving wait for the brokers.
        tokio::task::spawn_blocking(move || self.membership.commit_now(&self.member))
            .await
            .context("the last commit")
    }

    fn in_hand(&self) -> usize {
        self.jobs.len() + self.waiting.len() + self.held.len()
    }

    async fn on_message(
        &mut self,
        message: KafkaResult<BorrowedMessage<'_>>,
    ) -> anyhow::Result<()> {
        match message {
            Ok(message) => self.take(&message),
            Err(cause @ KafkaError::MessageConsumptionFatal(_)) => {
                return Err(cause).context("Kafka expelled this member of the group");
            }
            Err(cause) => {
                warn!("Kafka client: {cause}");
                sleep(AFTER_CLIENT_ERROR).await;
            }
        }
        Ok(())
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let Some(ticket) = self.membership.take(message.partition(), message.offset()) else {
            return;
        };
        match read(message, &self.group) {
            Read::Order(order) => {
                let tried_for_the_gate = self.taken_on_trial > 0;
                let in_hand = InHand {
                    ticket,
                    order,
                    original: Original::of(message),
                    failures: 0,
                    tried_for_the_gate,
                };
                if self.gate.is_open() || tried_for_the_gate {
                    self.taken_on_trial = 0;
                    self.start(Job::Decide(in_hand));
                } else {
                    self.held.push_back(in_hand);
                }
            }
            Read::Poison(letter) => self.start(Job::Bury(ticket, letter)),
            Read::NewerVersion(version) => {
                error!(
                    "Message at {}/{} is of version {version}: intake pauses until a newer build replaces this process",
                    ticket.partition(),
                    ticket.offset()
                );
                self.newer.push(ticket);
            }
        }
        if !self.should_fetch() {
            self.adjust();
        }
    }

    fn start(&mut self, job: Job) {
        self.jobs.push(Box::pin(self.tools.clone().work(job)));
    }

    fn on_done(&mut self, done: Done) {
        self.finished_since_tick += 1;
        match done {
            Done::Buried(ticket) => {
                self.counters.dead_letter.increment(1);
                self.membership.finish(ticket);
            }
            Done::HandedOn(ticket) => {
                self.counters.handed_on.increment(1);
                self.membership.finish(ticket);
            }
            Done::Decided(in_hand, Ok(outcome)) => self.on_decided(&in_hand, &outcome),
            Done::Decided(in_hand, Err(SubmitError::CannotDecide(why))) => {
                self.on_failed_alone(in_hand, &why);
            }
            Done::Decided(in_hand, Err(SubmitError::NotPromised(why))) => {
                self.on_not_promised(in_hand, why);
            }
            Done::Decided(in_hand, Err(SubmitError::Unavailable(why))) => {
                self.on_unavailable(in_hand, &why);
            }
            // Only after a drain; its offset stays unfinished.
            Done::Decided(_, Err(SubmitError::Stopped)) => {}
        }
    }

    fn on_decided(&mut self, in_hand: &InHand, _outcome: &OrderOutcome) {
        self.counters.decided.increment(1);
        self.membership.finish(in_hand.ticket);
        self.gate.decided(in_hand.id());
        if in_hand.tried_for_the_gate {
            self.open_gate();
        }
    }

    /// The order is handed on soon, unless others turn out to fail alike; its neighbours go on.
    fn on_failed_alone(&mut self, mut in_hand: InHand, why: &str) {
        self.counters.failed_alone.increment(1);
        if in_hand.tried_for_the_gate && self.gate.why() == Some(&Closed::Unavailable) {
            self.open_gate();
        }
        if self.gate.order_failed(in_hand.id(), why, Instant::now()) {
            error!("Most orders fail alike, intake pauses: {why}");
            self.adjust();
        }
        in_hand.failures += 1;
        in_hand.tried_for_the_gate = false;
        self.sequence += 1;
        self.waiting.insert(
            (Instant::now() + SETTLES_WITHIN, self.sequence),
            (in_hand, why.to_owned()),
        );
    }

    /// A participant of its sale has not promised: that is no trouble of other sales, and the compensator asks again.
    fn on_not_promised(&mut self, in_hand: InHand, open: NotPromised) {
        self.counters.failed_alone.increment(1);
        if in_hand.tried_for_the_gate && self.gate.why() == Some(&Closed::Unavailable) {
            self.open_gate();
        }
        self.hand_on(in_hand, open.why, open.retry_after);
    }

    fn hand_on(&mut self, in_hand: InHand, why: String, retry_after: Option<Duration>) {
        warn!(order.id = %in_hand.id(), "Order {} fails by itself, it is handed on to be tried again: {why}", in_hand.id());
        self.start(Job::HandOn(in_hand, why, retry_after));
    }

    fn on_unavailable(&mut self, mut in_hand: InHand, why: &str) {
        if self.gate.unavailable(Instant::now()) {
            warn!("Nothing can be decided, intake pauses: {why}");
            self.adjust();
        }
        in_hand.tried_for_the_gate = false;
        self.held.push_back(in_hand);
    }

    fn open_gate(&mut self) {
        if self.gate.open() {
            info!("Orders are decided again, intake goes on");
            self.taken_on_trial = 0;
            while let Some(in_hand) = self.held.pop_front() {
                self.start(Job::Decide(in_hand));
            }
            // They failed while others did: that may have been no fault of theirs.
            for (_, (in_hand, why)) in std::mem::take(&mut self.waiting) {
                if in_hand.failures < FAILURES_AT_MOST {
                    self.start(Job::Decide(in_hand));
                } else {
                    self.hand_on(in_hand, why, None);
                }
            }
            self.adjust();
        }
    }

    fn on_tick(&mut self) {
        self.membership.commit(&self.member);
        self.forget_what_was_revoked();
        if self.stopping {
            return;
        }
        let in_hand = self.in_hand();
        let standstill =
            std::mem::take(&mut self.finished_since_tick) == 0 && in_hand >= self.max_in_flight;
        self.stuck = standstill || (self.stuck && in_hand > self.max_in_flight / 2);
        let now = Instant::now();
        if self.gate.is_open() {
            while let Some(next) = self
                .waiting
                .first_entry()
                .filter(|next| next.key().0 <= now)
            {
                let (in_hand, why) = next.remove();
                self.hand_on(in_hand, why, None);
            }
        } else if self.gate.may_try(now) {
            self.try_gate();
        }
        self.adjust();
    }

    /// One order in hand is tried. When orders fail alike, one that was not seen yet is let in besides.
    fn try_gate(&mut self) {
        let alike = matches!(self.gate.why(), Some(Closed::FailingAlike(_)));
        let in_hand = self
            .held
            .pop_front()
            .or_else(|| self.waiting.pop_first().map(|(_, (in_hand, _))| in_hand));
        match in_hand {
            Some(in_hand) => self.start(Job::Decide(InHand {
                tried_for_the_gate: true,
                ..in_hand
            })),
            // Whoever was tried is still at it, or all were revoked: then the next order will tell.
            None if self.jobs.is_empty() => self.open_gate(),
            None => {}
        }
        if alike {
            self.taken_on_trial = 1;
        }
    }

    fn forget_what_was_revoked(&mut self) {
        let membership = &self.membership;
        self.held
            .retain(|in_hand| membership.is_valid(in_hand.ticket));
        self.waiting
            .retain(|_, (in_hand, _)| membership.is_valid(in_hand.ticket));
        self.newer.retain(|ticket| membership.is_valid(*ticket));
    }

    fn should_fetch(&self) -> bool {
        !self.stopping
            && self.newer.is_empty()
            && !self.stuck
            && (self.gate.is_open() || self.taken_on_trial > 0)
    }

    /// Pauses or resumes fetching, as things are now.
    fn adjust(&mut self) {
        let closed = !self.gate.is_open() || !self.newer.is_empty();
        gauge!(CONSUMER_PAUSED).set(f64::from(u8::from(closed)));
        let should_fetch = self.should_fetch();
        if should_fetch == self.fetching {
            return;
        }
        self.fetching = should_fetch;
        if should_fetch {
            self.membership.resume(&self.member);
        } else {
            self.membership.pause(&self.member);
        }
    }
}
