//! What an incident is, and what it may become. Everything that is allowed stands in [`State::on`]; rows and pages only store and
//! show it.

use serde::{Serialize, Serializer};
use std::fmt;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It stands, and people are told again now and then.
    Firing,
    /// It stands, and somebody looks after it.
    Acknowledged,
    /// It stands, and nobody is told for a while.
    Silenced,
    /// Both.
    AcknowledgedAndSilenced,
    /// It is over. More of the same is another incident, unless it had only just ended by itself.
    Resolved,
}

/// What happens to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Another alert of its group.
    MoreCame,
    /// Somebody says that they look after it.
    Acknowledge,
    /// Somebody is to look after it.
    Assign,
    /// Nothing is to be sent for a while, or for another while.
    Silence,
    /// Something is to be sent again.
    Unsilence,
    /// The while is over.
    SilenceEnds,
    /// What it tells of is over, or somebody says so.
    Over,
    /// It had ended by itself, and more of the same came soon: it was not over. What people did of it holds, as it did before.
    CameBack,
}

/// A move that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is {from} cannot be told to {event}")]
pub struct IllegalMove {
    /// Where it stands.
    pub from: State,
    /// What was to happen.
    pub event: Event,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Firing,
        Self::Acknowledged,
        Self::Silenced,
        Self::AcknowledgedAndSilenced,
        Self::Resolved,
    ];

    /// Where it stands, by what is stored of it.
    #[must_use]
    pub const fn of(over: bool, acknowledged: bool, silenced: bool) -> Self {
        match (over, acknowledged, silenced) {
            (true, _, _) => Self::Resolved,
            (false, true, true) => Self::AcknowledgedAndSilenced,
            (false, true, false) => Self::Acknowledged,
            (false, false, true) => Self::Silenced,
            (false, false, false) => Self::Firing,
        }
    }

    /// Where it stands afterwards.
    ///
    /// # Errors
    /// [`IllegalMove`] where that cannot happen to it.
    pub fn on(self, event: Event) -> Result<Self, IllegalMove> {
        use Event::{
            Acknowledge, Assign, CameBack, MoreCame, Over, Silence, SilenceEnds, Unsilence,
        };
        use State::{Acknowledged, AcknowledgedAndSilenced, Firing, Resolved, Silenced};
        Ok(match (self, event) {
            (Silenced, Unsilence | SilenceEnds) | (Resolved, CameBack) => Firing,
            (Firing, Acknowledge) | (AcknowledgedAndSilenced, Unsilence | SilenceEnds) => {
                Acknowledged
            }
            (Firing | Silenced, Silence) => Silenced,
            (Silenced, Acknowledge) | (Acknowledged | AcknowledgedAndSilenced, Silence) => {
                AcknowledgedAndSilenced
            }
            (
                state @ (Firing | Acknowledged | Silenced | AcknowledgedAndSilenced),
                MoreCame | Assign,
            ) => state,
            (Firing | Acknowledged | Silenced | AcknowledgedAndSilenced, Over) => Resolved,
            (from, event) => return Err(IllegalMove { from, event }),
        })
    }

    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Silenced => "silenced",
            Self::AcknowledgedAndSilenced => "acknowledged and silenced",
            Self::Resolved => "resolved",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MoreCame => "count more",
            Self::Acknowledge => "be acknowledged",
            Self::Assign => "be assigned",
            Self::Silence => "be silent",
            Self::Unsilence => "speak again",
            Self::SilenceEnds => "end its silence",
            Self::Over => "be over",
            Self::CameBack => "come back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 8] = [
        Event::MoreCame,
        Event::Acknowledge,
        Event::Assign,
        Event::Silence,
        Event::Unsilence,
        Event::SilenceEnds,
        Event::Over,
        Event::CameBack,
    ];

    /// The whole table: what is missing in a row is refused.
    #[test]
    fn every_move_is_listed_or_refused() {
        let shown = |from: State| {
            let moves = EVENTS.map(|event| match from.on(event) {
                Ok(to) => to.as_str(),
                Err(_) => "-",
            });
            moves.join(", ")
        };
        let (both, none) = ("acknowledged and silenced", "-");
        let expected = [
            format!("firing, acknowledged, firing, silenced, {none}, {none}, resolved, {none}"),
            format!("acknowledged, {none}, acknowledged, {both}, {none}, {none}, resolved, {none}"),
            format!("silenced, {both}, silenced, silenced, firing, firing, resolved, {none}"),
            format!("{both}, {none}, {both}, {both}, acknowledged, acknowledged, resolved, {none}"),
            format!("{}, firing", [none; 7].join(", ")),
        ];
        assert_eq!(State::ALL.map(shown), expected);
    }
}
