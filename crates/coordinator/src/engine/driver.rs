//! The task between the core and its hands: it feeds events in, several at once where several are there, and has effects carried
//! out, each in a task of its own.

use super::hands::Hands;
use crate::{
    core::{BatchId, Core, Effect, Event, Limits, NotWritten, Wanted},
    decision,
    metrics::TX_TOTAL,
    outside,
    trace::{Phase, span},
    transaction::{Outcome, SubmitError, Work},
};
use futures::FutureExt as _;
use metrics::counter;
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{Instrument as _, warn};

/// The pause before a decision whose reply was lost is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Who is told what became of a transaction.
pub(super) type Caller = oneshot::Sender<Result<Outcome, SubmitError>>;

/// Runs until nobody submits any more and all that was submitted is answered.
pub(super) async fn drive<W: Work>(
    limits: Limits,
    hands: Arc<Hands<W>>,
    mut submitted: mpsc::Receiver<Wanted<W, Caller>>,
) {
    let mut core: Core<W, Caller> = Core::new(limits);
    let (done, mut happened) = mpsc::unbounded_channel();
    let mut turns = HashMap::new();
    let started = Instant::now();
    let mut effects = Vec::new();
    let mut open = true;
    let warm = tokio::spawn(hands.sessions.clone().keep_warm());
    while open || !core.is_idle() {
        let wake_at = core.wake_at();
        let event = tokio::select! {
            Some(event) = happened.recv() => event,
            taken = submitted.recv(), if open && core.has_room() => if let Some(wanted) = taken {
                Event::Submitted(wanted)
            } else {
                open = false;
                Event::Tick
            },
            () = tokio::time::sleep_until(started + wake_at.unwrap_or_default()), if wake_at.is_some() => Event::Tick,
        };
        let now = started.elapsed();
        core.on(event, now, &mut effects);
        // What else is there already is taken together, so that a batch holds all who wait.
        while let Ok(event) = happened.try_recv() {
            core.on(event, now, &mut effects);
        }
        while core.has_room()
            && let Ok(wanted) = submitted.try_recv()
        {
            core.on(Event::Submitted(wanted), now, &mut effects);
        }
        core.start(now, &mut effects);
        for effect in effects.drain(..) {
            carry_out(&hands, effect, started, &mut turns, &done);
        }
    }
    warm.abort();
}

fn carry_out<W: Work>(
    hands: &Arc<Hands<W>>,
    effect: Effect<W, Caller>,
    started: Instant,
    turns: &mut HashMap<BatchId, oneshot::Sender<()>>,
    done: &mpsc::UnboundedSender<Event<W, Caller>>,
) {
    let (hands, done) = (Arc::clone(hands), done.clone());
    let report = move |event| {
        // Nobody listens only after the engine's task ended, which waits for everything in flight.
        let _ = done.send(event);
    };
    match effect {
        Effect::Answer(caller, result) => {
            counter!(TX_TOTAL, "outcome" => outcome_label(&result)).increment(1);
            // A caller that went away is told by the next repeat.
            let _ = caller.send(result);
        }
        Effect::Begin(to_begin) => {
            let span = span(
                Phase::Begin,
                None,
                to_begin.iter().map(|one| &one.transaction),
            );
            let work = async move {
                let writing = hands.outside.begin(to_begin, hands.overdue_after);
                let written = AssertUnwindSafe(writing).catch_unwind().await;
                report(Event::Begun(written.unwrap_or_else(|_| Err(panicked()))));
            };
            tokio::spawn(work.instrument(span));
        }
        Effect::Ask(transaction, names) => {
            let span = span(Phase::Ask, None, [&transaction]);
            let work = async move {
                let asking = hands.outside.ask(&transaction, names.clone());
                let calls = AssertUnwindSafe(asking).catch_unwind().await;
                let calls = calls.unwrap_or_else(|_| outside::nobody_knows(names));
                report(Event::Asked(transaction.gid, calls));
            };
            tokio::spawn(work.instrument(span));
        }
        Effect::Note(votes) => {
            let span = span::<W>(Phase::Note, None, []);
            let work = async move { report(Event::Noted(hands.outside.note(&votes).await)) };
            tokio::spawn(work.instrument(span));
        }
        Effect::Prepare(id, batch) => {
            let span = span(Phase::Prepare, Some(id), &batch);
            let work = async move { report(Event::Prepared(id, hands.prepare(&batch).await)) };
            tokio::spawn(work.instrument(span));
        }
        Effect::Turn(id) => {
            // Who ended before its turn came does not listen.
            let _ = turns.remove(&id).map(|turn| turn.send(()));
        }
        Effect::Decide(id, token, ballots) => {
            let (has_come, turn) = oneshot::channel();
            turns.insert(id, has_come);
            let span = span(
                Phase::Decide,
                Some(id),
                ballots.iter().map(|it| &it.transaction),
            );
            let work = async move {
                let Hands {
                    sessions,
                    last_resource,
                    epochs,
                    ..
                } = &*hands;
                let committing = || report(Event::Committing(id));
                let batch = (token, ballots);
                let tried = decision::try_once(
                    sessions,
                    &**last_resource,
                    epochs,
                    batch,
                    turn.map(drop),
                    committing,
                )
                .await;
                if let Some(why) = tried.why_not() {
                    warn!("A decision did not go through: {why}");
                }
                report(Event::Decided(id, tried));
            };
            tokio::spawn(work.instrument(span));
        }
        Effect::ReadBack(id, token, gids) => {
            tokio::spawn(async move {
                let read = decision::read_back(&hands.sessions, token, &gids).await;
                if let Err(why) = &read {
                    warn!("A decision whose reply was lost cannot be read back yet: {why}");
                    tokio::time::sleep(READ_AGAIN_AFTER).await;
                }
                report(Event::ReadBack(id, read));
            });
        }
        Effect::Complete(id, owed, prepared_at) => {
            let span = span(
                Phase::Complete,
                Some(id),
                owed.iter().map(|it| &it.transaction),
            );
            let prepared_at = started + prepared_at;
            let work = async move { report(hands.complete(id, owed, prepared_at).await) };
            tokio::spawn(work.instrument(span));
        }
    }
}

fn panicked() -> NotWritten {
    NotWritten::BadData("it panicked".to_owned())
}

const fn outcome_label(result: &Result<Outcome, SubmitError>) -> &'static str {
    match result {
        Ok(Outcome::Committed) => "committed",
        Ok(Outcome::RolledBack { .. }) => "rolled_back",
        Err(SubmitError::CannotDecide(_)) => "cannot_decide",
        Err(SubmitError::NotPromised(_)) => "not_promised",
        Err(SubmitError::Unavailable(_) | SubmitError::Stopped) => "unavailable",
    }
}
