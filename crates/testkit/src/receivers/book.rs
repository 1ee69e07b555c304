//! What a fake knows: its mood, its clock, and what came.

use super::{Limits, Mood, Received, Refusal, rate::Rate};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Shared by a fake's connections.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Pages>);

#[derive(Debug)]
struct Pages {
    mood: Mood,
    next: VecDeque<Mood>,
    ahead: TimeDelta,
    /// What the clock showed when it was stopped.
    stopped_at: Option<DateTime<Utc>>,
    /// How far the clock by which it counts is before the other.
    counts_ahead: TimeDelta,
    calls: usize,
    rate: Rate,
    received: Vec<Received>,
    refused: Vec<String>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            mood: Mood::Well,
            next: VecDeque::new(),
            ahead: TimeDelta::zero(),
            stopped_at: None,
            counts_ahead: TimeDelta::zero(),
            calls: 0,
            rate: Rate::default(),
            received: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl Book {
    pub(super) fn be(&self, mood: Mood) {
        let mut pages = self.pages();
        pages.next.clear();
        pages.mood = mood;
    }

    pub(super) fn next(&self, mood: Mood) {
        self.pages().next.push_back(mood);
    }

    /// The mood of one message, which uses it up.
    pub(super) fn mood(&self) -> Mood {
        let mut pages = self.pages();
        let next = pages.next.pop_front();
        next.unwrap_or(pages.mood)
    }

    /// The mood that the next message meets.
    pub(super) fn mood_now(&self) -> Mood {
        let pages = self.pages();
        pages.next.front().copied().unwrap_or(pages.mood)
    }

    pub(super) fn later(&self, by: Duration) {
        let by = TimeDelta::from_std(by).expect("a test's length of time");
        self.pages().ahead += by;
    }

    pub(super) fn counts_later(&self, by: Duration) {
        let by = TimeDelta::from_std(by).expect("a test's length of time");
        self.pages().counts_ahead += by;
    }

    pub(super) fn stand_still(&self) {
        self.pages().stopped_at.get_or_insert_with(Utc::now);
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        let pages = self.pages();
        pages.stopped_at.unwrap_or_else(Utc::now) + pages.ahead
    }

    pub(super) fn called(&self) {
        self.pages().calls += 1;
    }

    /// Whether one more is within the limits; if not, for how long none is. It counts when it is.
    pub(super) fn admit(&self, limits: &Limits) -> Result<(), Duration> {
        let now = self.now();
        let mut pages = self.pages();
        let now = now + pages.counts_ahead;
        pages.rate.admit(limits, now)
    }

    /// The same, and it counts nothing.
    pub(super) fn room(&self, limits: &Limits) -> Result<(), Duration> {
        let now = self.now();
        let pages = self.pages();
        pages.rate.room(limits, now + pages.counts_ahead)
    }

    pub(super) fn receive(&self, received: Received) {
        self.pages().received.push(received);
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.pages().refused.push(refusal.to_string());
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.pages().received.clone()
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.pages().refused.clone()
    }

    pub(super) fn calls(&self) -> usize {
        self.pages().calls
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
