//! The life of a compensation: every state, every move, nothing else.

use std::{fmt, str::FromStr};

/// Where work that failed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits in the retry queue.
    Scheduled,
    /// Retries are used up: a dead letter, tried a few times more.
    Dead,
    /// All tries are used up: being given up.
    Archiving,
    /// Given up without a decision, its units kept until an operator replays it.
    Held,
    /// Given up. Final; a replay is another generation, and another compensation.
    Archived,
    /// Settled by a decision, whoever made it. Final.
    Closed,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A try failed, and the retry queue has another one.
    FailedToRetry,
    /// A try failed, and it is a dead letter from here on, or still.
    FailedAsDeadLetter,
    /// The last try failed.
    FailedForGood,
    /// An operator has it given up, whatever tries are left.
    AskedToGiveUp,
    /// A decision is durable.
    Settled,
    /// It could not be given up now.
    FailedToArchive,
    /// The order is `failed`, and the archive has it.
    StoredInArchive,
    /// The archive has it, and its units stay held.
    StoredAndHeld,
    /// An operator replays what is held.
    Replayed,
}

/// Store and code disagree about what may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a compensation that is {from} cannot take {event:?}")]
pub struct IllegalMove {
    /// The state it is in.
    pub from: State,
    /// What was to happen.
    pub event: Event,
}

/// Not the name of any state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a compensation state")]
pub struct UnknownState(String);

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Dead,
        Self::Archiving,
        Self::Held,
        Self::Archived,
        Self::Closed,
    ];

    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] for every move that is not listed.
    pub fn on(self, event: Event) -> Result<Self, IllegalMove> {
        Ok(match (self, event) {
            (Self::Scheduled, Event::FailedToRetry) | (Self::Held, Event::Replayed) => {
                Self::Scheduled
            }
            (Self::Scheduled | Self::Dead, Event::FailedAsDeadLetter) => Self::Dead,
            (Self::Scheduled | Self::Dead, Event::FailedForGood)
            | (Self::Scheduled | Self::Dead | Self::Archiving, Event::AskedToGiveUp)
            | (Self::Archiving, Event::FailedToArchive) => Self::Archiving,
            (Self::Scheduled | Self::Dead | Self::Archiving | Self::Held, Event::Settled) => {
                Self::Closed
            }
            (Self::Archiving, Event::StoredInArchive) => Self::Archived,
            (Self::Archiving, Event::StoredAndHeld) => Self::Held,
            (from, event) => return Err(IllegalMove { from, event }),
        })
    }

    /// How it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Dead => "dead",
            Self::Archiving => "archiving",
            Self::Held => "held",
            Self::Archived => "archived",
            Self::Closed => "closed",
        }
    }

    /// Whether its units are held, and nobody else may publish it again.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Archived | Self::Closed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 9] = [
        Event::FailedToRetry,
        Event::FailedAsDeadLetter,
        Event::FailedForGood,
        Event::AskedToGiveUp,
        Event::Settled,
        Event::FailedToArchive,
        Event::StoredInArchive,
        Event::StoredAndHeld,
        Event::Replayed,
    ];

    #[test]
    fn what_is_final_takes_nothing_more() {
        for state in State::ALL {
            let moves = EVENTS.into_iter().filter(|event| state.on(*event).is_ok());
            assert_eq!(moves.count() == 0, !state.is_open(), "{state}");
        }
    }

    #[test]
    fn a_dead_letter_never_goes_back_to_the_retry_queue() {
        assert!(State::Dead.on(Event::FailedToRetry).is_err());
    }

    #[test]
    fn every_state_is_stored_under_its_own_name() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
