//! How far the file has the table's rows: kept beside the file, so that they are lost together or not at all.
//!
//! Ids are given before rows are committed, so a lower id may be seen later than a higher one. What is missing between the ids that were
//! seen is a gap; it is looked at again until it is filled, or older than any transaction can be.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// No transaction that writes a try is open for longer: the server ends sessions that are silent, and each step has its time.
const FILLED_WITHIN: Duration = Duration::from_mins(1);

/// Ids that were not seen below one that was.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: i64,
    to: i64,
    since: Instant,
    given_up: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cursor {
    tail: i64,
    gaps: Vec<Gap>,
    /// Where in the gaps the next turn begins.
    next: usize,
}

impl Cursor {
    /// Everything up to `id` is in the file.
    pub const fn at(id: i64) -> Self {
        Self {
            tail: id,
            gaps: Vec::new(),
            next: 0,
        }
    }

    /// As it was stored; `None` where nothing was.
    pub fn read(file: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(path(file)) {
            Ok(text) => {
                let id = text.trim().parse().map_err(io::Error::other)?;
                Ok(Some(Self::at(id)))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Stores it whole or not at all. A stored one is behind what it stands for: some lines may be there twice after a restart.
    pub fn store(&self, file: &Path) -> io::Result<()> {
        let path = path(file);
        let new = path.with_extension("cursor-new");
        fs::write(&new, self.whole().to_string())?;
        fs::rename(new, path)
    }

    /// Up to here nothing is missing.
    fn whole(&self) -> i64 {
        self.gaps.first().map_or(self.tail, |gap| gap.from - 1)
    }

    /// The ids to look at: so many gaps at most, in turn, then everything that is newer.
    pub fn ranges(&mut self, gaps_at_most: usize) -> Vec<(i64, i64)> {
        let looked_at = gaps_at_most.min(self.gaps.len());
        let from = self.next.checked_rem(self.gaps.len()).unwrap_or(0);
        self.next = if looked_at < self.gaps.len() {
            from + looked_at
        } else {
            0
        };
        let in_turn = self.gaps.iter().cycle().skip(from).take(looked_at);
        let gaps = in_turn.map(|gap| (gap.from, gap.to));
        gaps.chain([(self.tail + 1, i64::MAX)]).collect()
    }

    /// These ids, sorted, were written, of those ranges that were looked at. A gap is given up when it is looked at and too old.
    pub fn written(&mut self, ids: &[i64], looked_at: &[(i64, i64)], now: Instant) {
        let looked_at = |gap: &Gap| looked_at.contains(&(gap.from, gap.to));
        self.gaps
            .iter_mut()
            .filter(|gap| now.duration_since(gap.since) >= FILLED_WITHIN)
            .for_each(|gap| gap.given_up = looked_at(gap));
        let mut gaps = Vec::new();
        for gap in &self.gaps {
            let mut from = gap.from;
            for id in ids.iter().filter(|id| (gap.from..=gap.to).contains(id)) {
                gaps.extend((from < *id).then_some(Gap {
                    from,
                    to: id - 1,
                    ..*gap
                }));
                from = id + 1;
            }
            gaps.extend((from <= gap.to).then_some(Gap { from, ..*gap }));
        }
        for id in ids {
            if *id > self.tail {
                let gap = Gap {
                    from: self.tail + 1,
                    to: id - 1,
                    since: now,
                    given_up: false,
                };
                gaps.extend((gap.from <= gap.to).then_some(gap));
                self.tail = *id;
            }
        }
        gaps.retain(|gap| !gap.given_up);
        self.gaps = gaps;
    }
}

fn path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".cursor");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at all, and finds these.
    fn found(cursor: &mut Cursor, ids: &[i64], now: Instant) {
        let looked_at = cursor.ranges(usize::MAX);
        cursor.written(ids, &looked_at, now);
    }

    #[test]
    fn what_is_missing_is_looked_at_until_it_comes_or_never_will() {
        let start = Instant::now();
        let mut cursor = Cursor::at(10);
        assert_eq!(cursor.ranges(9), [(11, i64::MAX)]);
        found(&mut cursor, &[11, 14, 15, 20], start);
        assert_eq!(cursor.ranges(9), [(12, 13), (16, 19), (21, i64::MAX)]);
        assert_eq!(cursor.whole(), 11);
        found(&mut cursor, &[12, 17], start + Duration::from_secs(30));
        assert_eq!(
            cursor.ranges(9),
            [(13, 13), (16, 16), (18, 19), (21, i64::MAX)]
        );
        found(&mut cursor, &[13, 23], start + Duration::from_secs(59));
        assert_eq!(cursor.whole(), 15);
        // The first gaps will not be filled any more; the youngest still may.
        found(&mut cursor, &[], start + Duration::from_secs(61));
        assert_eq!(cursor.ranges(9), [(21, 22), (24, i64::MAX)]);
        assert_eq!(cursor.whole(), 20);
    }

    /// Breaks when gaps grow old without having been looked at: here the third is filled, and seen only in the second turn.
    #[test]
    fn each_gap_is_looked_at_before_it_is_given_up() {
        let start = Instant::now();
        let mut cursor = Cursor::at(0);
        found(&mut cursor, &[2, 4, 6, 8], start);
        let late = start + FILLED_WITHIN;
        let first = cursor.ranges(2);
        assert_eq!(first, [(1, 1), (3, 3), (9, i64::MAX)]);
        cursor.written(&[], &first, late);
        let second = cursor.ranges(2);
        assert_eq!(second, [(5, 5), (7, 7), (9, i64::MAX)]);
        cursor.written(&[5], &second, late);
        assert_eq!(cursor.ranges(2), [(9, i64::MAX)]);
        assert_eq!(cursor.whole(), 8);
    }

    #[test]
    fn gaps_that_stay_have_their_turns() {
        let start = Instant::now();
        let mut cursor = Cursor::at(0);
        found(&mut cursor, &[2, 4, 6], start);
        let turns: Vec<_> = (0..4).map(|_| cursor.ranges(2)[..2].to_vec()).collect();
        assert_eq!(
            turns,
            [
                [(1, 1), (3, 3)],
                [(5, 5), (1, 1)],
                [(3, 3), (5, 5)],
                [(1, 1), (3, 3)]
            ]
        );
    }

    #[test]
    fn it_is_stored_where_nothing_is_missing_yet() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tries.log");
        assert!(Cursor::read(&file).unwrap().is_none());
        let mut cursor = Cursor::at(0);
        found(&mut cursor, &[1, 2, 4], Instant::now());
        cursor.store(&file).unwrap();
        let mut read = Cursor::read(&file).unwrap().unwrap();
        assert_eq!(read.ranges(9), [(3, i64::MAX)]);
    }
}
