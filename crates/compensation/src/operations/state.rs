//! The life of an operation: every state, every move, nothing else. A single replay begins `running` and only ever finishes.

use std::{fmt, str::FromStr};

/// What is done to each item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It is tried again, as its next generation.
    Replay,
    /// It is given up for good: nothing is left to do.
    Discard,
    /// What is written of it is made to agree. Of one order at a time.
    Reconcile,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its items are being selected, and it can be undone: nothing is done to any of them.
    Waiting,
    /// Its items are more than one person may have done: another one has to confirm it. Nothing is done to any of them.
    Unconfirmed,
    /// Items are begun, as fast as its rate and its ladder let them.
    Running,
    /// No item is begun until somebody resumes it. What was begun goes on.
    Paused,
    /// Every item has ended. Final.
    Finished,
    /// No further item is begun. What was begun goes on. Final.
    Cancelled,
    /// Recalled before anything was done. Final.
    Undone,
    /// Nobody confirmed it in time, and nothing was done. Final.
    Expired,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its items are selected, and the time to undo it is over.
    GraceOver,
    /// Its items are selected, and more than one person may have done.
    TooManyForOne,
    /// A second operator confirms it.
    Confirmed,
    /// No second operator did.
    NotConfirmedInTime,
    /// Too many of its items failed.
    FailedTooOften,
    /// An operator pauses it.
    AskedToPause,
    /// An operator lets it go on.
    Resumed,
    /// An operator ends it.
    AskedToCancel,
    /// An operator recalls it.
    AskedToUndo,
    /// The last of its items has ended.
    AllEnded,
}

/// Store and code disagree about what may happen next, or somebody was late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operation that is {from} cannot take {event:?}")]
pub struct IllegalMove {
    /// The state it is in.
    pub from: State,
    /// What was to happen.
    pub event: Event,
}

/// Not the name of any state, or kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not known of operations")]
pub struct Unknown(String);

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Unconfirmed,
        Self::Running,
        Self::Paused,
        Self::Finished,
        Self::Cancelled,
        Self::Undone,
        Self::Expired,
    ];

    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] for every move that is not listed.
    pub fn on(self, event: Event) -> Result<Self, IllegalMove> {
        Ok(match (self, event) {
            (Self::Waiting, Event::GraceOver) | (Self::Paused, Event::Resumed) => Self::Running,
            (Self::Running, Event::FailedTooOften | Event::AskedToPause) => Self::Paused,
            (Self::Running | Self::Paused, Event::AskedToCancel) => Self::Cancelled,
            (Self::Running | Self::Paused, Event::AllEnded) => Self::Finished,
            (Self::Waiting, Event::TooManyForOne) => Self::Unconfirmed,
            (Self::Unconfirmed, Event::Confirmed) => Self::Waiting,
            (Self::Unconfirmed, Event::NotConfirmedInTime) => Self::Expired,
            (Self::Waiting | Self::Unconfirmed, Event::AskedToUndo) => Self::Undone,
            (from, event) => return Err(IllegalMove { from, event }),
        })
    }

    /// Whether nothing more is begun, ever.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Cancelled | Self::Undone | Self::Expired
        )
    }

    /// How it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unconfirmed => "unconfirmed",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Undone => "undone",
            Self::Expired => "expired",
        }
    }
}

impl Kind {
    /// What happens to a row, for sentences and as a code.
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Replay => "replaying",
            Self::Discard => "discarding",
            Self::Reconcile => "reconciling",
        }
    }

    /// The same of the row.
    #[must_use]
    pub const fn being_done(self) -> &'static str {
        match self {
            Self::Replay => "being replayed",
            Self::Discard => "being discarded",
            Self::Reconcile => "being reconciled",
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Replay, Self::Discard, Self::Reconcile];

    /// One that can be asked for on many orders at once.
    ///
    /// # Errors
    /// [`Unknown`], of any other name.
    pub fn of_many(name: &str) -> Result<Self, Unknown> {
        match name.parse()? {
            kind @ (Self::Replay | Self::Discard) => Ok(kind),
            Self::Reconcile => Err(Unknown(name.to_owned())),
        }
    }

    /// How it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Reconcile => "reconcile",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Unknown(text.to_owned()))
    }
}

impl FromStr for Kind {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 10] = [
        Event::GraceOver,
        Event::TooManyForOne,
        Event::Confirmed,
        Event::NotConfirmedInTime,
        Event::FailedTooOften,
        Event::AskedToPause,
        Event::Resumed,
        Event::AskedToCancel,
        Event::AskedToUndo,
        Event::AllEnded,
    ];

    #[test]
    fn what_is_final_takes_nothing_more() {
        for state in State::ALL {
            let moves = EVENTS.into_iter().filter(|event| state.on(*event).is_ok());
            assert_eq!(moves.count() == 0, state.is_final(), "{state}");
        }
    }

    #[test]
    fn only_what_has_not_begun_can_be_undone() {
        let undoable = State::ALL.map(|state| state.on(Event::AskedToUndo).is_ok());
        let waits = |state| matches!(state, State::Waiting | State::Unconfirmed);
        assert_eq!(undoable, State::ALL.map(waits));
    }

    #[test]
    fn every_name_is_read_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("stopped".parse::<State>().is_err());
        assert_eq!(Kind::of_many("discard"), Ok(Kind::Discard));
        assert!(Kind::of_many("reconcile").is_err());
    }
}
