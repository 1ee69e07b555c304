//! What a scan found and did, in words and numbers: one home for what the log says of a turn and what `compensator scan` prints.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one look found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Whether another process was at it, so that nothing was looked at.
    pub elsewhere: bool,
    /// What was done, a sentence each. The log has these.
    pub did: Vec<String>,
    /// What there is, a sentence each: for who asks.
    pub found: Vec<String>,
    /// The same as numbers.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Nothing was found, and nothing done.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Another process was at it.
    #[must_use]
    pub fn elsewhere() -> Self {
        Self {
            elsewhere: true,
            ..Self::default()
        }
    }

    /// With one more thing that was done.
    #[must_use]
    pub fn did(mut self, sentence: impl Into<String>) -> Self {
        self.did.push(sentence.into());
        self
    }

    /// With one more thing that there is.
    #[must_use]
    pub fn found(mut self, sentence: impl Into<String>) -> Self {
        self.found.push(sentence.into());
        self
    }

    /// With a number.
    #[must_use]
    pub fn count(mut self, name: &'static str, number: u64) -> Self {
        self.counts.insert(name, number);
        self
    }

    /// What several turns of one scan found and did: all that was done, and what there was at the last.
    #[must_use]
    pub fn and_then(mut self, later: Self) -> Self {
        self.did.extend(later.did);
        Self {
            did: self.did,
            ..later
        }
    }

    /// For people: a sentence a line.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self
            .did
            .iter()
            .chain(&self.found)
            .map(String::as_str)
            .collect();
        if lines.is_empty() {
            "Nothing was found.".to_owned()
        } else {
            lines.join("\n")
        }
    }

    /// For programs: one object.
    #[must_use]
    pub fn json(&self, scan: &str) -> Value {
        json!({ "scan": scan, "did": self.did, "found": self.found, "counts": self.counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_turns_all_that_was_done_counts_and_what_there_is_at_the_last() {
        let first = Findings::nothing()
            .did("one")
            .found("two wait")
            .count("waiting", 2);
        let last = Findings::nothing()
            .did("two")
            .found("none waits")
            .count("waiting", 0);
        let both = first.and_then(last);
        assert_eq!(both.text(), "one\ntwo\nnone waits");
        assert_eq!(
            both.json("some").to_string(),
            r#"{"counts":{"waiting":0},"did":["one","two"],"found":["none waits"],"scan":"some"}"#
        );
        assert_eq!(Findings::nothing().text(), "Nothing was found.");
    }
}
