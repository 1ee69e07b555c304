//! What came of the checks, for people and for programs.

use super::verify::Form;
use crate::Report;
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};

/// What came of one check.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Its name for programs.
    pub(super) check: Value,
    /// For people.
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
    /// What the receiver said, or why it was not asked.
    pub(super) came: String,
    /// Of HTTP, where that alone decides.
    pub(super) status: Option<u16>,
    pub(super) took: Option<Duration>,
    /// Nothing where it was not asked.
    pub(super) holds: Option<bool>,
    /// What to do; nothing when it holds.
    pub(super) advice: Option<&'static str>,
}

/// All checks of one receiver.
pub(super) struct Suite {
    /// As `alerts.channels` names it.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) title: &'static str,
    pub(super) place: String,
    pub(super) lines: Vec<Line>,
}

impl Line {
    fn verdict(&self) -> &'static str {
        match self.holds {
            None => "open",
            Some(true) => "holds",
            Some(false) => "FAILS",
        }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.check,
            "expected": self.expected,
            "status": self.status,
            "took_ms": self.took.map(|took| took.as_millis()),
            "came": self.came,
            "holds": self.holds,
            "advice": self.advice,
        })
    }
}

impl Suite {
    /// Only when every check was made, and holds.
    pub(super) fn told(&self, form: Form) -> Report {
        let holds = self.lines.iter().all(|line| line.holds == Some(true));
        let text = match form {
            Form::Table => self.table(),
            Form::Json => {
                let checks: Vec<_> = self.lines.iter().map(Line::json).collect();
                let all = json!({"kind": self.kind, "receiver": self.place, "holds": holds, "checks": checks});
                format!("{all:#}\n")
            }
        };
        Report { holds, text }
    }

    fn table(&self) -> String {
        let mut table = format!("{} at {}\n\n", self.title, self.place);
        let width =
            |of: &dyn Fn(&Line) -> usize| self.lines.iter().map(of).max().unwrap_or_default();
        let came_width = width(&|line| line.came.chars().count());
        let expected_width = width(&|line| line.expected.len()).max("expected".len());
        let mut row = |words: [&str; 4]| {
            let [check, expected, came, verdict] = words;
            let line =
                format!("{check:<28} {expected:<expected_width$}  {came:<came_width$}  {verdict}");
            table.push_str(line.trim_end());
            table.push('\n');
        };
        row(["request", "expected", "came", ""]);
        for line in &self.lines {
            row([line.name, line.expected, &line.came, line.verdict()]);
        }
        let advice: Vec<_> = self
            .lines
            .iter()
            .filter_map(|line| Some(format!("- {}: {}", line.name, line.advice?)))
            .collect();
        if !advice.is_empty() {
            let _ = write!(table, "\nWhat to do:\n{}\n", advice.join("\n"));
        }
        let count = |of: Option<bool>| self.lines.iter().filter(|line| line.holds == of).count();
        let _ = write!(
            table,
            "\n{} of {} hold",
            count(Some(true)),
            self.lines.len()
        );
        if count(None) > 0 {
            let _ = write!(table, ", {} open", count(None));
        }
        table.push_str(".\n");
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &'static str, came: &str, holds: Option<bool>) -> Line {
        Line {
            check: name.into(),
            name,
            expected: "2xx",
            came: came.to_owned(),
            status: None,
            took: None,
            holds,
            advice: (holds == Some(false)).then_some("do otherwise"),
        }
    }

    #[test]
    fn the_table_says_what_came_and_what_to_do() {
        let suite = Suite {
            kind: "webhook",
            title: "Standard Webhooks",
            place: "https://a.example".to_owned(),
            lines: vec![
                line("good request", "204 in 7 ms", Some(true)),
                line("no signature", "200 in 7 ms", Some(false)),
                line("signed ten minutes ago", "not made", None),
            ],
        };
        let report = suite.told(Form::Table);
        assert!(!report.holds);
        assert_eq!(
            report.text,
            "Standard Webhooks at https://a.example

request                      expected  came
good request                 2xx       204 in 7 ms  holds
no signature                 2xx       200 in 7 ms  FAILS
signed ten minutes ago       2xx       not made     open

What to do:
- no signature: do otherwise

1 of 3 hold, 1 open.
"
        );
    }
}
