//! Reading a journal back, line by line, so that its length does not matter.

use super::Record;
use anyhow::{Context, ensure};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// Reads one journal from its beginning.
pub struct Reader {
    lines: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

/// What the next line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A whole record.
    Record(Record),
    /// The last line is torn: whoever wrote it was killed while writing.
    Torn,
    /// Nothing is left.
    End,
}

impl Reader {
    /// Opens a journal.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::open(path).with_context(|| format!("cannot open journal {}", path.display()))?;
        Ok(Self {
            lines: BufReader::with_capacity(1 << 18, file),
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next record. A line without its line feed can only be the last, and counts as torn even if it parses.
    ///
    /// # Errors
    /// A line in the middle is not a record: the journal is damaged, and nothing can be said of the run.
    pub fn read_next(&mut self) -> anyhow::Result<Read> {
        self.line.clear();
        self.number += 1;
        if self.lines.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(Read::End);
        }
        if self.line.last() != Some(&b'\n') {
            return Ok(Read::Torn);
        }
        match serde_json::from_slice(&self.line) {
            Ok(record) => Ok(Read::Record(record)),
            Err(cause) => {
                // A crash may also leave a block of zeroes that happens to end in a line feed; only at the end, though.
                ensure!(
                    self.lines.fill_buf()?.is_empty(),
                    "line {} of the journal is not a record: {cause}",
                    self.number
                );
                Ok(Read::Torn)
            }
        }
    }
}
