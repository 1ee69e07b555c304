//! How an operation feels its way: one item, then ten, then a hundred, then all of them; and when it stops itself.
//!
//! A failure is an item that came back to the archive, or was refused. One that was rejected with a reason is not: that is the
//! buyer's answer, and the replay did what it was for.

/// Items of each rung; above the last one the rate alone counts.
pub const RUNGS: [u32; 3] = [1, 10, 100];
/// Items that are judged together above the ladder.
pub const BLOCK: u32 = 100;

/// The items that are judged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Which of [`RUNGS`]; one more than there are: above them.
    pub rung: u8,
    /// Begun in it.
    pub begun: u32,
    /// Ended in it.
    pub ended: u32,
    /// Of those, failures.
    pub failed: u32,
}

/// What follows from a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on with this one.
    GoOn(Window),
    /// Too many failed.
    Stop,
}

impl Window {
    /// Where an operation begins: on the lowest rung with a ladder, above it without.
    #[must_use]
    pub fn first(canary: bool) -> Self {
        Self::at(if canary { 0 } else { Self::ABOVE })
    }

    /// An empty window on the same rung, for one that was paused and goes on.
    #[must_use]
    pub const fn anew(self) -> Self {
        Self::at(self.rung)
    }

    /// Above the ladder.
    pub const ABOVE: u8 = 3;

    const fn at(rung: u8) -> Self {
        Self {
            rung,
            begun: 0,
            ended: 0,
            failed: 0,
        }
    }

    /// The items of its rung; `None` above the ladder.
    #[must_use]
    pub fn rung_size(&self) -> Option<u32> {
        RUNGS.get(usize::from(self.rung)).copied()
    }

    /// How many more items may begin in it.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.rung_size()
            .map_or(u32::MAX, |size| size.saturating_sub(self.begun))
    }

    /// Judges it: it stops once so many failed that it is above `percent` whatever becomes of the rest. The next rung begins when
    /// all items of this one were begun and nothing is under way.
    #[must_use]
    pub fn judged(self, percent: u32, under_way: u32) -> Verdict {
        let size = self.rung_size().unwrap_or(BLOCK);
        let of = u64::from(size.max(self.ended));
        if u64::from(self.failed) * 100 > u64::from(percent) * of {
            return Verdict::Stop;
        }
        Verdict::GoOn(match self.rung_size() {
            Some(size) if self.begun >= size && under_way == 0 => Self::at(self.rung + 1),
            None if self.ended >= BLOCK => Self::at(self.rung),
            _ => self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(rung: u8, begun: u32, ended: u32, failed: u32) -> Window {
        Window {
            rung,
            begun,
            ended,
            failed,
        }
    }

    #[test]
    fn a_rung_waits_for_all_of_the_one_below() {
        let first = Window::first(true);
        assert_eq!(first.room(), 1);
        let under_way = window(0, 1, 0, 0);
        assert_eq!(under_way.room(), 0);
        assert_eq!(under_way.judged(10, 1), Verdict::GoOn(under_way));
        assert_eq!(
            window(0, 1, 1, 0).judged(10, 0),
            Verdict::GoOn(window(1, 0, 0, 0))
        );
        let nearly = window(1, 10, 9, 1);
        assert_eq!(nearly.judged(10, 1), Verdict::GoOn(nearly));
        assert_eq!(
            window(2, 100, 100, 10).judged(10, 0),
            Verdict::GoOn(window(3, 0, 0, 0))
        );
        assert_eq!(window(3, 5, 5, 0).room(), u32::MAX);
        assert_eq!(Window::first(false).room(), u32::MAX);
        assert_eq!(usize::from(Window::ABOVE), RUNGS.len());
    }

    #[test]
    fn it_stops_as_soon_as_the_rest_cannot_save_it() {
        assert_eq!(window(0, 1, 1, 1).judged(99, 0), Verdict::Stop);
        assert_eq!(window(1, 10, 3, 2).judged(10, 7), Verdict::Stop);
        assert!(matches!(
            window(2, 100, 10, 10).judged(10, 90),
            Verdict::GoOn(_)
        ));
        assert_eq!(window(3, 300, 50, 11).judged(10, 250), Verdict::Stop);
        assert_eq!(window(3, 300, 250, 26).judged(10, 50), Verdict::Stop);
    }

    #[test]
    fn at_a_hundred_percent_it_never_stops_and_at_none_at_the_first_failure() {
        assert!(matches!(
            window(0, 1, 1, 1).judged(100, 0),
            Verdict::GoOn(_)
        ));
        assert_eq!(window(3, 1, 1, 1).judged(0, 0), Verdict::Stop);
    }

    #[test]
    fn above_the_ladder_each_block_is_judged_by_itself() {
        assert_eq!(
            window(3, 400, 120, 5).judged(10, 280),
            Verdict::GoOn(window(3, 0, 0, 0))
        );
    }
}
