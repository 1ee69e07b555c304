//! Who is next: callers wait for their turn in the order they came, and are sent away together when there is nothing to wait for.

use super::{
    destination::{Change, Destination, Ended, Leave, Turn},
    metrics::{FOREIGN_BREAKER_OPEN, FOREIGN_IN_FLIGHT},
};
use metrics::gauge;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

/// What whoever had no turn is told.
pub(super) const TOO_LATE: &str = "its turn did not come in time";

/// Nothing is sent to the destination: why, and for how long where that is known.
pub(super) type Away = (&'static str, Option<Duration>);

/// What somebody who waits is told.
type Told<T> = Result<T, Away>;

/// The turns at one destination. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    queue: Mutex<Queue>,
    came_back: watch::Sender<u64>,
}

#[derive(Debug)]
struct Queue {
    destination: Destination,
    /// As long as there are callers: they bound it.
    waiting: VecDeque<oneshot::Sender<Told<Permit>>>,
}

/// Leave to send one call. Dropped before it was [used](Permit::ended), it goes to the next.
#[derive(Debug)]
pub(super) struct Permit {
    turns: Turns,
    leave: Option<Leave>,
}

impl Turns {
    pub(super) fn new(name: Arc<str>, limit: usize, opens_after: u32) -> Self {
        gauge!(FOREIGN_BREAKER_OPEN, "participant" => Arc::clone(&name)).set(0.0);
        Self(Arc::new(Shared {
            name,
            queue: Mutex::new(Queue {
                destination: Destination::new(limit, opens_after),
                waiting: VecDeque::new(),
            }),
            came_back: watch::Sender::new(0),
        }))
    }

    /// Waits for a turn, at most until then.
    ///
    /// # Errors
    /// When there is none, and while nothing is sent: then at once.
    pub(super) async fn next(&self, until: Instant) -> Told<Permit> {
        let turn = {
            let mut queue = self.queue();
            // Nobody goes before those who wait. While nothing is sent, nobody waits.
            let turn = if queue.has_someone_waiting() {
                Turn::Later
            } else {
                queue.destination.turn(Instant::now())
            };
            match turn {
                Turn::Now(leave) => {
                    self.show(&queue);
                    return Ok(self.permit(leave));
                }
                Turn::Away(why, wait) => return Err((why, wait)),
                Turn::Later => {
                    let (tell, turn) = oneshot::channel();
                    queue.waiting.push_back(tell);
                    turn
                }
            }
        };
        match timeout_at(until, turn).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => Err((TOO_LATE, None)),
        }
    }

    /// Whether a call made now would be sent away at once.
    pub(super) fn is_away(&self) -> bool {
        self.queue().destination.away(Instant::now()).is_some()
    }

    /// Whether the destination answers, as far as is known.
    pub(super) fn answers(&self) -> bool {
        self.queue().destination.is_closed()
    }

    /// Counts how often the destination came back.
    pub(super) fn came_back(&self) -> watch::Receiver<u64> {
        self.0.came_back.subscribe()
    }

    fn ended(&self, leave: Leave, how: Ended) {
        let now = Instant::now();
        let mut told = Vec::new();
        {
            let mut queue = self.queue();
            let change = queue.destination.ended(leave, how, now, rand::random());
            while let Some(one) = queue.next_one(now) {
                told.push(one);
            }
            self.show(&queue);
            self.say(change);
        }
        // Outside the lock: a permit that nobody takes any more is dropped, and comes back here.
        for (waiting, turn) in told {
            drop(waiting.send(turn.map(|leave| self.permit(leave))));
        }
    }

    fn permit(&self, leave: Leave) -> Permit {
        Permit {
            turns: self.clone(),
            leave: Some(leave),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, queue: &Queue) {
        gauge!(FOREIGN_IN_FLIGHT, "participant" => Arc::clone(&self.0.name))
            .set(queue.destination.in_flight() as f64);
    }

    fn say(&self, change: Change) {
        let name = &self.0.name;
        let open = gauge!(FOREIGN_BREAKER_OPEN, "participant" => Arc::clone(name));
        match change {
            Change::None => {}
            Change::Opened(wait) => {
                open.set(1.0);
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                warn!(participant = %name, wait_ms, "Participant {name} does not answer: left alone for {wait_ms} ms");
            }
            Change::Closed => {
                open.set(0.0);
                info!(participant = %name, "Participant {name} answers again");
                self.0.came_back.send_modify(|times| *times += 1);
            }
        }
    }
}

impl Queue {
    /// Whoever gave up waiting is forgotten once it is at the front.
    fn has_someone_waiting(&mut self) -> bool {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
        !self.waiting.is_empty()
    }

    /// Who need not wait any longer, with what to tell.
    fn next_one(&mut self, now: Instant) -> Option<(oneshot::Sender<Told<Permit>>, Told<Leave>)> {
        if !self.has_someone_waiting() {
            return None;
        }
        let turn = match self.destination.turn(now) {
            Turn::Later => return None,
            Turn::Now(leave) => Ok(leave),
            Turn::Away(why, wait) => Err((why, wait)),
        };
        Some((self.waiting.pop_front()?, turn))
    }
}

impl Permit {
    /// Gives it back, and says how the call ended.
    pub(super) fn ended(mut self, how: Ended) {
        if let Some(leave) = self.leave.take() {
            self.turns.ended(leave, how);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            self.turns.ended(leave, Ended::Unsaid);
        }
    }
}
