//! Going along the chain from its beginning to its head, to the first link that does not hold.
//!
//! What comes after a broken link is not looked at: it hangs on what is not known.

use crate::{
    chain::{Hash, Line},
    head::Head,
};
use serde::Serialize;

/// How far away the place is looked for where a line once stood.
const NEAR: i64 = 1_000;

/// Goes along the chain.
#[derive(Debug)]
pub struct Check {
    last: Option<Head>,
    lines: u64,
    noted: Option<Head>,
}

/// A chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// How many lines it has.
    pub lines: u64,
    /// Where it ends: worth to be noted.
    pub head: Head,
}

/// The first link that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Broken {
    /// Its texts do not give its hash.
    #[error("content: line {id} was altered after it was written")]
    Content {
        /// The line.
        id: i64,
    },
    /// It was written as another one.
    #[error("order: line {id} was written as line {was}")]
    Moved {
        /// Where it stands.
        id: i64,
        /// Where it stood.
        was: i64,
    },
    /// It stands before a line it must follow.
    #[error("order: line {id} comes after line {last}")]
    Order {
        /// The line.
        id: i64,
        /// The one before it.
        last: i64,
    },
    /// The line it follows is not there.
    #[error("gap: line {id} does not follow on {}, {}", after(*last), missing(*last, *id))]
    Gap {
        /// The line.
        id: i64,
        /// The one before it; 0 where it is the first.
        last: i64,
    },
    /// It was never chained: it was not written as acts are.
    #[error("content: line {id} was put in by hand, it has no place in the chain")]
    NotChained {
        /// The line.
        id: i64,
    },
    /// The last lines are gone.
    #[error("end: the head is line {head}, and nothing is there after {}", after(*last))]
    CutOff {
        /// The last line; 0 where there is none.
        last: i64,
        /// The line that the head names.
        head: i64,
    },
    /// The head names no line that ends the chain.
    #[error("head: it is not that of line {last}, where the chain ends")]
    WrongHead {
        /// The last line.
        last: i64,
    },
    /// Nobody says where it ends.
    #[error("head: it is missing, nobody knows what came after {}", after(*last))]
    MissingHead {
        /// The last line; 0 where there is none.
        last: i64,
    },
    /// It holds, and is another chain than the one whose head was noted.
    #[error("head: line {id} is not the one whose hash was noted: the chain was made anew")]
    MadeAnew {
        /// The line.
        id: i64,
    },
}

fn after(last: i64) -> String {
    match last {
        0 => "the beginning".to_owned(),
        last => format!("line {last}"),
    }
}

fn missing(last: i64, id: i64) -> String {
    match id - last {
        1 => "which is another one than it followed".to_owned(),
        2 => format!("line {} is not in its place", last + 1),
        _ => format!("lines {} to {} are not in their place", last + 1, id - 1),
    }
}

impl Check {
    /// At the beginning; `noted` is a head from an earlier time that the chain must still have.
    #[must_use]
    pub const fn new(noted: Option<Head>) -> Self {
        Self {
            last: None,
            lines: 0,
            noted,
        }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// [`Broken`], the first time; nothing after it says anything.
    pub fn line(&mut self, line: &Line) -> Result<(), Broken> {
        let id = line.id;
        let last = self.last_id();
        let (Some(prev), Some(hash)) = (line.prev, line.hash) else {
            return Err(Broken::NotChained { id });
        };
        if Hash::of(prev, line) != hash {
            return Err(match stood(prev, hash, line) {
                Some(was) => Broken::Moved { id, was },
                None => Broken::Content { id },
            });
        }
        if self.last.is_some() && id <= last {
            return Err(Broken::Order { id, last });
        }
        if prev != self.hash() {
            return Err(Broken::Gap { id, last });
        }
        if self.noted.is_some_and(|it| it.id == id && it.hash != hash) {
            return Err(Broken::MadeAnew { id });
        }
        self.last = Some(Head { id, hash });
        self.lines += 1;
        Ok(())
    }

    /// How many lines hold so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// All lines were taken.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn end(self, head: Option<Head>) -> Result<Whole, Broken> {
        let last = self.last_id();
        let head = head.ok_or(Broken::MissingHead { last })?;
        let reaches = |head: Head| {
            if head.id > last {
                Err(Broken::CutOff {
                    last,
                    head: head.id,
                })
            } else {
                Ok(())
            }
        };
        reaches(head)?;
        if head.id != last || head.hash != self.hash() {
            return Err(Broken::WrongHead { last });
        }
        self.noted.map_or(Ok(()), reaches)?;
        Ok(Whole {
            lines: self.lines,
            head,
        })
    }

    fn last_id(&self) -> i64 {
        self.last.map_or(0, |last| last.id)
    }

    fn hash(&self) -> Hash {
        self.last.map_or(Hash::BEGINNING, |last| last.hash)
    }
}

/// The number under which the line's texts give its hash.
fn stood(prev: Hash, hash: Hash, line: &Line) -> Option<i64> {
    let mut line = line.clone();
    (line.id - NEAR..=line.id + NEAR).find(|id| {
        line.id = *id;
        Hash::of(prev, &line) == hash
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: i64) -> (Vec<Line>, Head) {
        let mut head = Head {
            id: 0,
            hash: Hash::BEGINNING,
        };
        let mut lines = Vec::new();
        for id in 1..=count {
            let line = Line {
                id,
                at: "2026-07-03T10:00:00Z".parse().unwrap(),
                operator: "ann".to_owned(),
                role: "admin".to_owned(),
                act: "order.replay".to_owned(),
                subject: id.to_string(),
                outcome: "done".to_owned(),
                detail: String::new(),
                address: "::1".to_owned(),
                operation_id: None,
                prev: None,
                hash: None,
            }
            .after(head.hash);
            head = Head {
                id,
                hash: line.hash.unwrap(),
            };
            lines.push(line);
        }
        (lines, head)
    }

    fn checked(lines: &[Line], head: Option<Head>) -> Result<Whole, Broken> {
        let mut check = Check::new(None);
        for line in lines {
            check.line(line)?;
        }
        check.end(head)
    }

    #[test]
    fn a_chain_holds_with_none_one_and_many() {
        for count in [0, 1, 9] {
            let (lines, head) = chain(count);
            let whole = Whole {
                lines: count.unsigned_abs(),
                head,
            };
            assert_eq!(checked(&lines, Some(head)), Ok(whole));
        }
    }

    /// Caught: each comparison of [`Check`] left out in turn.
    #[test]
    fn the_first_broken_link_is_named() {
        let (good, head) = chain(9);
        let broken = |change: &dyn Fn(&mut Vec<Line>)| {
            let mut lines = good.clone();
            change(&mut lines);
            checked(&lines, Some(head)).expect_err("it is broken")
        };
        assert_eq!(
            broken(&|lines| lines[3].detail.push('x')),
            Broken::Content { id: 4 }
        );
        let rehashed = |lines: &mut Vec<Line>| {
            let mut line = lines[3].clone();
            line.detail.push('x');
            lines[3] = line.after(lines[2].hash.unwrap());
        };
        assert_eq!(broken(&rehashed), Broken::Gap { id: 5, last: 4 });
        let taken_out = |lines: &mut Vec<Line>| drop(lines.remove(3));
        assert_eq!(broken(&taken_out), Broken::Gap { id: 5, last: 3 });
        let beginning = |lines: &mut Vec<Line>| drop(lines.drain(..2));
        assert_eq!(broken(&beginning), Broken::Gap { id: 3, last: 0 });
        assert_eq!(
            broken(&|lines| lines.swap(3, 4)),
            Broken::Gap { id: 5, last: 3 }
        );
        let renumbered = |lines: &mut Vec<Line>| {
            lines.swap(3, 4);
            (lines[3].id, lines[4].id) = (4, 5);
        };
        assert_eq!(broken(&renumbered), Broken::Moved { id: 4, was: 5 });
        let twice = |lines: &mut Vec<Line>| lines.insert(4, lines[3].clone());
        assert_eq!(broken(&twice), Broken::Order { id: 4, last: 4 });
        assert_eq!(
            broken(&|lines| lines[3].hash = None),
            Broken::NotChained { id: 4 }
        );
        let cut_off = |lines: &mut Vec<Line>| lines.truncate(7);
        assert_eq!(broken(&cut_off), Broken::CutOff { last: 7, head: 9 });
        assert_eq!(
            broken(&|lines| lines.clear()),
            Broken::CutOff { last: 0, head: 9 }
        );
        assert_eq!(checked(&good, None), Err(Broken::MissingHead { last: 9 }));
        let other = Head {
            hash: Hash::BEGINNING,
            ..head
        };
        assert_eq!(
            checked(&good, Some(other)),
            Err(Broken::WrongHead { last: 9 })
        );
        let (_, earlier) = chain(8);
        assert_eq!(
            checked(&good, Some(earlier)),
            Err(Broken::WrongHead { last: 9 })
        );
    }

    /// Caught: a noted head that is not compared, or only where the chain reaches it.
    #[test]
    fn a_chain_that_was_made_anew_is_noticed_by_who_noted_its_head() {
        let (good, head) = chain(9);
        let noted = Head {
            id: 5,
            hash: good[4].hash.unwrap(),
        };
        let with = |noted: Head, lines: &[Line], head: Head| {
            let mut check = Check::new(Some(noted));
            for line in lines {
                check.line(line)?;
            }
            check.end(Some(head))
        };
        assert!(with(noted, &good, head).is_ok());
        let anew = Head {
            hash: Hash::BEGINNING,
            ..noted
        };
        assert_eq!(with(anew, &good, head), Err(Broken::MadeAnew { id: 5 }));
        let (shorter, its_head) = chain(4);
        assert_eq!(
            with(noted, &shorter, its_head),
            Err(Broken::CutOff { last: 4, head: 5 })
        );
    }

    #[test]
    fn it_is_told_in_words() {
        for (broken, words) in [
            (
                Broken::Gap { id: 5, last: 3 },
                "gap: line 5 does not follow on line 3, line 4 is not in its place",
            ),
            (
                Broken::Gap { id: 5, last: 4 },
                "gap: line 5 does not follow on line 4, which is another one than it followed",
            ),
            (
                Broken::Gap { id: 5, last: 0 },
                "gap: line 5 does not follow on the beginning, lines 1 to 4 are not in their place",
            ),
            (
                Broken::CutOff { last: 7, head: 9 },
                "end: the head is line 9, and nothing is there after line 7",
            ),
        ] {
            assert_eq!(broken.to_string(), words);
        }
    }
}
