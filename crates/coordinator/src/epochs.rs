//! The epoch each label had last: a guess, so that a row that becomes what nearly all become is written once.
//!
//! What a row is left with is what the last resource reads under its lock; a wrong guess costs a second write of the row.

use crate::ids::Label;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Labels remembered, at most; beyond it all are forgotten.
const AT_MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Epochs(Mutex<HashMap<Label, i64>>);

impl Epochs {
    /// What it may be now; 0 where nothing is known.
    pub(crate) fn guess(&self, label: Label) -> i64 {
        self.known().get(&label).copied().unwrap_or_default()
    }

    pub(crate) fn saw(&self, label: Label, epoch: i64) {
        let mut known = self.known();
        if known.len() >= AT_MOST && !known.contains_key(&label) {
            known.clear();
        }
        known.insert(label, epoch);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Label, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
