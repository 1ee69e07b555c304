//! The life of a transaction: every state, every move, nothing else. SQL and pages only store and show it.
//!
//! A decision happens inside one database transaction, so its row is first seen `committing` or `rolling_back`;
//! `begun` and `prepared` are seen only where a participant outside this system needs them logged before it is asked.

use std::{fmt, str::FromStr};

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TxState {
    /// Logged; participants are being asked.
    Begun,
    /// All participants voted yes; not decided yet.
    Prepared,
    /// Decided to commit; at least one branch has not answered.
    Committing,
    /// Committed on every branch. Final.
    Committed,
    /// Decided to roll back; at least one branch has not answered.
    RollingBack,
    /// Rolled back on every branch. Final.
    RolledBack,
    /// Decided to commit, and every attempt to complete it failed. A person must look; it can only go on committing.
    StuckCommitting,
    /// Decided to roll back, and every attempt to complete it failed. A person must look; it can only go on rolling back.
    StuckRollingBack,
}

/// What happens to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Every participant voted yes.
    AllVotedYes,
    /// The last resource granted it, and the decision is durable.
    DecidedToCommit,
    /// A participant voted no, or the last resource refused it.
    Refused,
    /// Nobody decided it in time.
    TimedOut,
    /// An operator asked.
    AskedToRollBack,
    /// Every branch answered its completing call.
    AllBranchesDone,
    /// Recovery gave up for now.
    AttemptsExhausted,
    /// An operator asked that it be left as it is.
    AskedToStop,
    /// An operator, or a participant that came back, started it again.
    Resumed,
}

/// Store and code disagree about what may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transaction that is {from} cannot take {event:?}")]
pub struct IllegalMove {
    /// The state it is in.
    pub from: TxState,
    /// What was to happen.
    pub event: Event,
}

/// Not the name of any state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a transaction state")]
pub struct UnknownState(String);

impl TxState {
    /// All of them, in the order of a transaction's life.
    pub const ALL: [Self; 8] = [
        Self::Begun,
        Self::Prepared,
        Self::Committing,
        Self::Committed,
        Self::RollingBack,
        Self::RolledBack,
        Self::StuckCommitting,
        Self::StuckRollingBack,
    ];

    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] for every move that is not listed. Not retried: a person must look.
    pub fn on(self, event: Event) -> Result<Self, IllegalMove> {
        use Event::{
            AllBranchesDone, AllVotedYes, AskedToRollBack, AskedToStop, AttemptsExhausted,
            DecidedToCommit, Refused, Resumed, TimedOut,
        };
        Ok(match (self, event) {
            (Self::Begun, AllVotedYes) => Self::Prepared,
            (Self::Begun | Self::Prepared, DecidedToCommit) | (Self::StuckCommitting, Resumed) => {
                Self::Committing
            }
            (Self::Begun | Self::Prepared, Refused | TimedOut | AskedToRollBack)
            | (Self::StuckRollingBack, Resumed) => Self::RollingBack,
            (Self::Committing, AllBranchesDone) => Self::Committed,
            (Self::RollingBack, AllBranchesDone) => Self::RolledBack,
            (Self::Committing, AttemptsExhausted | AskedToStop) => Self::StuckCommitting,
            (Self::RollingBack, AttemptsExhausted | AskedToStop) => Self::StuckRollingBack,
            (from, event) => return Err(IllegalMove { from, event }),
        })
    }

    /// How it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Prepared => "prepared",
            Self::Committing => "committing",
            Self::Committed => "committed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::StuckCommitting => "stuck_committing",
            Self::StuckRollingBack => "stuck_rolling_back",
        }
    }

    /// Which way it was decided; `None` before the decision.
    #[must_use]
    pub const fn direction(self) -> Option<Direction> {
        match self {
            Self::Begun | Self::Prepared => None,
            Self::Committing | Self::Committed | Self::StuckCommitting => Some(Direction::Commit),
            Self::RollingBack | Self::RolledBack | Self::StuckRollingBack => {
                Some(Direction::RollBack)
            }
        }
    }
}

/// Which way a transaction was decided. It never turns round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Every branch is to be applied.
    Commit,
    /// Every branch is to be undone.
    RollBack,
}

impl Direction {
    /// The state of a transaction just decided this way.
    #[must_use]
    pub const fn decided(self) -> TxState {
        match self {
            Self::Commit => TxState::Committing,
            Self::RollBack => TxState::RollingBack,
        }
    }

    /// The state once every branch has answered.
    #[must_use]
    pub const fn finished(self) -> TxState {
        match self {
            Self::Commit => TxState::Committed,
            Self::RollBack => TxState::RolledBack,
        }
    }
}

impl fmt::Display for TxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TxState {
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
        Event::AllVotedYes,
        Event::DecidedToCommit,
        Event::Refused,
        Event::TimedOut,
        Event::AskedToRollBack,
        Event::AllBranchesDone,
        Event::AttemptsExhausted,
        Event::AskedToStop,
        Event::Resumed,
    ];

    #[test]
    fn a_decision_is_never_turned_round() {
        for state in TxState::ALL {
            for event in EVENTS {
                if let (Some(direction), Ok(next)) = (state.direction(), state.on(event)) {
                    assert_eq!(next.direction(), Some(direction), "{state} on {event:?}");
                }
            }
        }
    }

    #[test]
    fn a_finished_transaction_takes_nothing_more() {
        for event in EVENTS {
            assert!(
                TxState::Committed.on(event).is_err() && TxState::RolledBack.on(event).is_err()
            );
        }
    }

    #[test]
    fn a_decided_transaction_moves_to_its_finished_state() {
        for direction in [Direction::Commit, Direction::RollBack] {
            assert_eq!(
                direction.decided().on(Event::AllBranchesDone),
                Ok(direction.finished())
            );
        }
    }

    #[test]
    fn every_state_is_stored_under_its_own_name() {
        for state in TxState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("commited".parse::<TxState>().is_err());
    }
}
