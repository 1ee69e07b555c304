//! Whose turn it is at a contended row: the last resource rules on batches of one label one after another. While it does, the next may
//! be prepared and written into the log already, so that nothing is left to do for it when its turn comes.

use super::BatchId;
use crate::ids::Label;
use std::collections::{HashMap, HashSet, VecDeque};

/// Batches of one label that are on their way to their decision, at most.
const AT_MOST: usize = 2;

/// For each label its batches, in the order they are decided. A batch stands behind older ones only, so that somebody's turn always comes.
#[derive(Default)]
pub(super) struct Turns(HashMap<Label, VecDeque<BatchId>>);

impl Turns {
    pub(super) fn is_free(&self, label: Label) -> bool {
        !self.0.contains_key(&label)
    }

    /// Whether one batch has it, and another one may follow.
    pub(super) fn has_room_behind(&self, label: Label) -> bool {
        self.0
            .get(&label)
            .is_some_and(|batches| batches.len() < AT_MOST)
    }

    pub(super) fn wait(&mut self, id: BatchId, labels: &HashSet<Label>) {
        for label in labels {
            self.0.entry(*label).or_default().push_back(id);
        }
    }

    pub(super) fn has_come(&self, id: BatchId, labels: &HashSet<Label>) -> bool {
        let first = |label| self.0.get(label).and_then(|batches| batches.front());
        labels.iter().all(|label| first(label) == Some(&id))
    }

    /// A batch lets its labels go, whether or not its turn had come: whoever stands first at them now.
    pub(super) fn let_go(&mut self, id: BatchId, labels: &HashSet<Label>) -> HashSet<BatchId> {
        let mut next = HashSet::new();
        for label in labels {
            let Some(batches) = self.0.get_mut(label) else {
                continue;
            };
            batches.retain(|batch| *batch != id);
            match batches.front() {
                Some(id) => _ = next.insert(*id),
                None => _ = self.0.remove(label),
            }
        }
        next
    }
}
