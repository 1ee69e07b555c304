//! The foreign participants of one process, by name.

use super::HttpParticipant;
use std::{collections::BTreeMap, sync::Arc};

/// Those that can be called. Cloning shares them; by default there are none.
///
/// One that takes part in nothing new stays among them as long as transactions with its branches are unfinished.
#[derive(Debug, Clone, Default)]
pub struct ForeignParticipants(Arc<BTreeMap<String, Arc<HttpParticipant>>>);

/// Two participants cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two foreign participants are named {0:?}")]
pub struct SameName(String);

impl ForeignParticipants {
    /// All of a process.
    ///
    /// # Errors
    /// When two have one name.
    pub fn new(participants: impl IntoIterator<Item = HttpParticipant>) -> Result<Self, SameName> {
        let mut by_name = BTreeMap::new();
        for participant in participants {
            let name = participant.name().to_owned();
            if by_name
                .insert(name.clone(), Arc::new(participant))
                .is_some()
            {
                return Err(SameName(name));
            }
        }
        Ok(Self(Arc::new(by_name)))
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<HttpParticipant>> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<HttpParticipant>> {
        self.0.values()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
