//! How many retries begin at once: few at first, and after any trouble; twice as many after each batch that went well. A cause that is
//! still there fells few before its breaker and the budget know, and a backlog whose cause is gone soon goes as fast as it can. Pure.

/// The fewest at once.
pub const AT_LEAST: u32 = 16;
/// The most at once: what one statement claims and one transaction writes. Bounds memory.
pub const AT_MOST: u32 = 512;
/// Of so many tries one may fail without any effect on the others.
const ONE_MAY_FAIL_OF: u32 = 8;

/// Of one process.
#[derive(Debug)]
pub struct SlowStart(u32);

impl Default for SlowStart {
    fn default() -> Self {
        Self(AT_LEAST)
    }
}

impl SlowStart {
    /// How many may begin together.
    #[must_use]
    pub const fn at_once(&self) -> u32 {
        self.0
    }

    /// A batch of so many tries ended, of which so many failed, or came too late. What else was no try is in neither.
    pub fn ended(&mut self, tries: u32, failed: u32) {
        if failed.saturating_mul(2) >= tries && failed > 0 {
            self.0 = AT_LEAST;
        } else if failed.saturating_mul(ONE_MAY_FAIL_OF) > tries {
            self.0 = (self.0 / 2).max(AT_LEAST);
        } else if tries.saturating_mul(2) >= self.0 {
            // A batch that was far from full says nothing about a larger one.
            self.0 = (self.0 * 2).min(AT_MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_well_is_at_full_speed_after_five_batches() {
        let mut start = SlowStart::default();
        let mut batches = 0;
        while start.at_once() < AT_MOST {
            start.ended(start.at_once(), 0);
            batches += 1;
        }
        assert_eq!(batches, 5);
        start.ended(AT_MOST, AT_MOST / ONE_MAY_FAIL_OF);
        assert_eq!(start.at_once(), AT_MOST, "a few that fail are their own");
    }

    /// Breaks when a failure does not make it smaller: the first batch of a cause that came back would be of hundreds.
    #[test]
    fn what_fails_begins_anew_and_what_fails_now_and_then_goes_slower() {
        let mut start = SlowStart(AT_MOST);
        start.ended(AT_MOST, AT_MOST / 4);
        assert_eq!(start.at_once(), AT_MOST / 2);
        start.ended(AT_MOST / 2, AT_MOST / 4);
        assert_eq!(start.at_once(), AT_LEAST);
        start.ended(1, 1);
        assert_eq!(start.at_once(), AT_LEAST);
    }

    #[test]
    fn what_was_hardly_tried_says_nothing() {
        let mut start = SlowStart::default();
        start.ended(0, 0);
        start.ended(AT_LEAST / 2 - 1, 0);
        assert_eq!(start.at_once(), AT_LEAST);
    }
}
