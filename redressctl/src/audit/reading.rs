//! An export of the audit (`/audit.jsonl`), read piece by piece: a line of the chain each, and at the end the head.

use ::audit::{
    Head, Line,
    check::{Broken, Check, Whole},
};
use anyhow::bail;
use serde::Deserialize;

/// No line of the audit is longer than some 16 KiB.
const LINE_AT_MOST: usize = 1 << 20;

/// An export while it is read. What does not hold is kept, and the rest read all the same: only its end tells whether it is all there is.
pub(super) struct Reading {
    check: Check,
    left: Vec<u8>,
    lines: u64,
    found: Option<Found>,
    end: Option<End>,
}

/// Why the chain does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Found {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("content: line {0} of the export is no line of the audit")]
    Unreadable(u64),
}

/// What one line of an export is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Record {
    Line(Box<Line>),
    End(End),
}

/// The last line.
#[derive(Deserialize, Clone, Copy)]
struct End {
    head: Option<Head>,
    filtered: bool,
}

/// What came of it: the chain, or the first link that does not hold, and how many hold before it.
pub(super) type Came = Result<Whole, (Found, u64)>;

impl Reading {
    pub(super) fn new(noted: Option<Head>) -> Self {
        Self {
            check: Check::new(noted),
            left: Vec::new(),
            lines: 0,
            found: None,
            end: None,
        }
    }

    /// Takes the next piece, wherever it ends.
    ///
    /// # Errors
    /// When it is no export of the audit.
    pub(super) fn piece(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        self.left.extend_from_slice(piece);
        let mut read = 0;
        while let Some(length) = self.left[read..].iter().position(|byte| *byte == b'\n') {
            let line = self.left[read..read + length].to_vec();
            self.line(&line)?;
            read += length + 1;
        }
        self.left.drain(..read);
        if self.left.len() > LINE_AT_MOST {
            bail!("this is no export of the audit: it has a line of more than 1 MiB");
        }
        Ok(())
    }

    fn line(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.lines += 1;
        let record = serde_json::from_slice(text);
        if record.is_err() && self.lines == 1 {
            bail!("this is no export of the audit: take /audit.jsonl without a filter");
        }
        let unreadable = Found::Unreadable(self.lines);
        let found = match record {
            Ok(Record::End(end)) if self.end.is_none() => {
                self.end = Some(end);
                return Ok(());
            }
            Ok(Record::Line(line)) if self.end.is_none() => match self.found {
                None => self.check.line(&line).map_err(Found::from),
                Some(_) => Ok(()),
            },
            Ok(_) | Err(_) => Err(unreadable),
        };
        self.found = self.found.or(found.err());
        Ok(())
    }

    /// All is read.
    ///
    /// # Errors
    /// When it is an export of a part: nothing can be said of that.
    pub(super) fn end(mut self) -> anyhow::Result<Came> {
        if !self.left.is_empty() {
            self.piece(b"\n")?;
        }
        if self.end.is_some_and(|end| end.filtered) {
            bail!(
                "this is an export of a part: the chain can only be checked whole, take /audit.jsonl without a filter"
            );
        }
        let hold = self.check.lines();
        if let Some(found) = self.found {
            return Ok(Err((found, hold)));
        }
        let ended = self.check.end(self.end.and_then(|end| end.head));
        Ok(ended.map_err(|broken| (broken.into(), hold)))
    }
}
