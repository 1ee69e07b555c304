//! As much of a notice as there is room for.

use crate::alerts::{
    Line, Notice,
    shorten::{CUT, shortened},
};

/// Facts beyond these, and letters of each beyond those, are left to the page the alert links to.
const FACTS_AT_MOST: usize = 20;
const FACT_AT_MOST: usize = 200;
/// In characters.
const RESOLUTION_AT_MOST: usize = 300;
/// Lines beyond these are counted, however much room there is.
const LINES_AT_MOST: usize = 500;
/// What a fact or a line costs besides its letters, in bytes.
const EACH: usize = 8;

/// What of a notice can be cut. The rest (title, times, counts, the link to the page) is short, and always told.
pub(in crate::alerts) struct Portion<'a> {
    /// How it ended.
    pub(in crate::alerts) resolution: Option<String>,
    /// Names and values.
    pub(in crate::alerts) facts: Vec<(&'a str, String)>,
    /// Of a digest, the first ones.
    pub(in crate::alerts) lines: &'a [Line],
    /// How many lines are left out.
    pub(in crate::alerts) more: usize,
    /// It ends in … where anything but lines was left out.
    pub(in crate::alerts) text: String,
}

impl<'a> Portion<'a> {
    /// What `room` bytes hold, the most telling first.
    pub(in crate::alerts) fn of(notice: &'a Notice, room: usize) -> Self {
        let mut room = Room(room);
        let resolution = notice.resolution.as_deref().and_then(|words| {
            let words = shortened(words, RESOLUTION_AT_MOST);
            room.takes(words.len()).then_some(words)
        });
        let lines = notice.lines.iter().take(LINES_AT_MOST);
        let lines = lines.take_while(|line| room.takes(cost(line))).count();
        let all = notice.alert.facts.iter().take(FACTS_AT_MOST);
        let facts: Vec<_> = all
            .clone()
            .map(|(name, value)| (name.as_str(), shortened(value, FACT_AT_MOST)))
            .take_while(|(name, value)| room.takes(name.len() + value.len()))
            .collect();
        let whole = facts.len() == all.len() && resolution.is_some() == notice.resolution.is_some();
        Self {
            resolution,
            lines: &notice.lines[..lines],
            more: notice.lines.len() - lines,
            text: room.rest_of(&notice.alert.text, whole),
            facts,
        }
    }

    /// Bytes that hold the whole of it, or `limit` where it is longer.
    pub(in crate::alerts) fn most(notice: &Notice, limit: usize) -> usize {
        let resolution = notice.resolution.iter().map(String::len);
        let facts = notice
            .alert
            .facts
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let lines = notice.lines.iter().map(cost);
        let costs = resolution
            .chain(facts)
            .chain(lines)
            .map(|bytes| bytes + EACH);
        costs
            .fold(notice.alert.text.len(), usize::saturating_add)
            .min(limit)
    }
}

fn cost(line: &Line) -> usize {
    line.title.len() + line.link.as_deref().map_or(0, str::len)
}

struct Room(usize);

impl Room {
    /// Whether so many bytes fit; what is longer leaves no room for what comes after it.
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes + EACH);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }

    fn rest_of(&self, text: &str, whole: bool) -> String {
        if text.len() <= self.0 && whole {
            return text.to_owned();
        }
        let start = &text[..text.floor_char_boundary(self.0)];
        format!("{start}{CUT}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Status, texts::example::example};

    #[test]
    fn with_enough_room_nothing_is_cut() {
        for notice in Status::ALL.map(example) {
            let whole = Portion::of(&notice, Portion::most(&notice, usize::MAX));
            assert_eq!(whole.text, notice.alert.text);
            assert_eq!(whole.resolution, notice.resolution);
            assert_eq!((whole.lines, whole.more), (&notice.lines[..], 0));
            assert_eq!(whole.facts.len(), notice.alert.facts.len());
        }
    }

    /// Breaks when what is left out is not told of.
    #[test]
    fn with_less_room_it_says_that_more_was_there() {
        for notice in Status::ALL.map(example) {
            for room in 0..Portion::most(&notice, usize::MAX) {
                let part = Portion::of(&notice, room);
                assert!(part.text.ends_with(CUT) || part.more > 0, "{room}");
                assert_eq!(part.lines.len() + part.more, notice.lines.len());
            }
        }
    }
}
