//! Who waits for a batch: label by label, in the order they came.

use super::turns::Turns;
use crate::{ids::Label, participant::Ballot};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// Waiting ballots. A label stands in the line once, however many wait for it.
pub(super) struct Line<W> {
    labels: VecDeque<Label>,
    waiting: HashMap<Label, VecDeque<Waiting<W>>>,
    len: usize,
}

struct Waiting<W> {
    ballot: Ballot<W>,
    since: Duration,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self {
            labels: VecDeque::new(),
            waiting: HashMap::new(),
            len: 0,
        }
    }
}

impl<W> Line<W> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, ballot: Ballot<W>, now: Duration) {
        let label = ballot.transaction.label;
        let waiting = self.waiting.entry(label).or_default();
        if waiting.is_empty() {
            self.labels.push_back(label);
        }
        waiting.push_back(Waiting { ballot, since: now });
        self.len += 1;
    }

    /// How many wait for labels nobody decides, and since when the first of them does. Stops counting at `enough`.
    pub(super) fn free(&self, turns: &Turns, enough: usize) -> (usize, Option<Duration>) {
        let (mut count, mut since) = (0, None);
        for label in self.labels.iter().filter(|label| turns.is_free(**label)) {
            let waiting = &self.waiting[label];
            count += waiting.len();
            let first = waiting.front().map(|first| first.since);
            since = since.min(first).or(first);
            if count >= enough {
                break;
            }
        }
        (count, since)
    }

    /// A label that one batch decides, whose next batch would be full.
    pub(super) fn crowded(&self, turns: &Turns, full: usize) -> Option<Label> {
        let crowded =
            |label: &Label| turns.has_room_behind(*label) && self.waiting[label].len() >= full;
        self.labels.iter().copied().find(crowded)
    }

    /// Takes up to `room` ballots of labels that `may` be taken.
    pub(super) fn take(&mut self, room: usize, may: impl Fn(Label) -> bool) -> Vec<Ballot<W>> {
        let mut taken = Vec::new();
        let mut stay = VecDeque::with_capacity(self.labels.len());
        while let Some(label) = self.labels.pop_front() {
            let left = room - taken.len();
            if left == 0 || !may(label) {
                stay.push_back(label);
                continue;
            }
            let Some(waiting) = self.waiting.get_mut(&label) else {
                continue;
            };
            let ready = waiting.drain(..left.min(waiting.len()));
            taken.extend(ready.map(|one| one.ballot));
            if waiting.is_empty() {
                self.waiting.remove(&label);
            } else {
                stay.push_back(label);
            }
        }
        self.labels = stay;
        self.len -= taken.len();
        taken
    }
}
