//! What came of the checks, for people and for programs.

use super::{
    check::{Check, Expected},
    verify::Form,
};
use crate::Report;
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    /// An answer, after so long.
    Status(u16, Duration),
    /// None, and why.
    Nothing(String),
    /// It was not asked, and why.
    NotMade(&'static str),
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) check: Check,
    pub(super) came: Came,
}

/// All checks of one receiver.
pub(super) struct Suite {
    pub(super) place: String,
    pub(super) rows: Vec<Row>,
}

impl Row {
    fn holds(&self) -> bool {
        match self.came {
            Came::Status(status, _) => self.check.expected().is_met_by(status),
            Came::Nothing(_) | Came::NotMade(_) => false,
        }
    }

    fn came(&self) -> String {
        match &self.came {
            Came::Status(status, took) => format!("{status} in {} ms", took.as_millis()),
            Came::Nothing(why) => why.clone(),
            Came::NotMade(why) => (*why).to_owned(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.came {
            Came::NotMade(_) => "open",
            _ if self.holds() => "holds",
            _ => "FAILS",
        }
    }

    /// What to do; nothing when it holds.
    fn advice(&self) -> Option<&'static str> {
        if self.holds() {
            return None;
        }
        Some(match &self.came {
            Came::NotMade(_) => return None,
            Came::Nothing(_) => {
                "is it running, and reachable from here? It must answer within 15 s, over TLS with a certificate that this machine trusts where the url begins with https://"
            }
            Came::Status(300..=399, _) => {
                "redirects are not followed: give the address that this one leads to"
            }
            Came::Status(429, _) => {
                "it wants fewer requests: run this again when it has calmed down"
            }
            Came::Status(404 | 410, _) if self.check == Check::Good => {
                "nothing listens at this path: look at the url"
            }
            Came::Status(401 | 403, _) if self.check == Check::Good => {
                "either --secret is not the receiver's, or it makes another signature: v1, and the base64 of HMAC-SHA256 over {webhook-id}.{webhook-timestamp}.{raw body}, with the bytes after whsec_ as key"
            }
            Came::Status(500..=599, _) if self.check.expected() == Expected::Refused => {
                "it noticed, but 5xx says that it is its own fault and asks to be sent the same again: answer 4xx"
            }
            Came::Status(..) => self.check.advice(),
        })
    }

    fn json(&self) -> Value {
        let status = match self.came {
            Came::Status(status, took) => Some((status, took.as_millis())),
            _ => None,
        };
        json!({
            "check": self.check,
            "expected": self.check.expected().as_str(),
            "status": status.map(|(status, _)| status),
            "took_ms": status.map(|(_, ms)| ms),
            "came": self.came(),
            "holds": match self.came { Came::NotMade(_) => None, _ => Some(self.holds()) },
            "advice": self.advice(),
        })
    }
}

impl Suite {
    /// Only when every check was made, and holds.
    pub(super) fn told(&self, form: Form) -> Report {
        let holds = self.rows.iter().all(Row::holds);
        let text = match form {
            Form::Table => self.table(),
            Form::Json => {
                let checks: Vec<_> = self.rows.iter().map(Row::json).collect();
                let all = json!({"kind": "webhook", "receiver": self.place, "holds": holds, "checks": checks});
                format!("{all:#}\n")
            }
        };
        Report { holds, text }
    }

    fn table(&self) -> String {
        let mut table = format!("Standard Webhooks at {}\n\n", self.place);
        let came_width = self.rows.iter().map(|row| row.came().chars().count());
        let came_width = came_width.max().unwrap_or_default();
        let mut line = |words: [&str; 4]| {
            let [check, expected, came, verdict] = words;
            let line = format!("{check:<28} {expected:<8}  {came:<came_width$}  {verdict}");
            table.push_str(line.trim_end());
            table.push('\n');
        };
        line(["request", "expected", "came", ""]);
        for row in &self.rows {
            line([
                row.check.name(),
                row.check.expected().as_str(),
                &row.came(),
                row.verdict(),
            ]);
        }
        let advice: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| Some(format!("- {}: {}", row.check.name(), row.advice()?)))
            .collect();
        if !advice.is_empty() {
            let _ = write!(table, "\nWhat to do:\n{}\n", advice.join("\n"));
        }
        let held = self.rows.iter().filter(|row| row.holds()).count();
        let open = self
            .rows
            .iter()
            .filter(|row| row.verdict() == "open")
            .count();
        let _ = write!(table, "\n{held} of {} hold", self.rows.len());
        if open > 0 {
            let _ = write!(table, ", {open} open");
        }
        table.push_str(".\n");
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(check: Check, status: u16) -> Row {
        Row {
            check,
            came: Came::Status(status, Duration::from_millis(7)),
        }
    }

    #[test]
    fn a_status_is_met_or_has_advice() {
        for (check, status, holds) in [
            (Check::Good, 204, true),
            (Check::Good, 302, false),
            (Check::Good, 401, false),
            (Check::WrongSignature, 401, true),
            (Check::WrongSignature, 400, true),
            (Check::WrongSignature, 200, false),
            (Check::WrongSignature, 429, false),
            (Check::WrongSignature, 500, false),
            (Check::LargeBody, 413, false),
        ] {
            let row = row(check, status);
            assert_eq!(row.holds(), holds, "{row:?}");
            assert_eq!(row.advice().is_none(), holds, "{row:?}");
        }
        assert!(row(Check::Good, 401).advice().unwrap().contains("--secret"));
        assert!(
            row(Check::Good, 307)
                .advice()
                .unwrap()
                .contains("redirects")
        );
    }

    #[test]
    fn the_table_says_what_came_and_what_to_do() {
        let suite = Suite {
            place: "https://a.example".to_owned(),
            rows: vec![
                row(Check::Good, 204),
                row(Check::MissingSignature, 200),
                Row {
                    check: Check::OldTimestamp,
                    came: Came::NotMade("not made"),
                },
            ],
        };
        let report = suite.told(Form::Table);
        assert!(!report.holds);
        assert_eq!(
            report.text,
            "Standard Webhooks at https://a.example

request                      expected  came
good request                 2xx       204 in 7 ms  holds
no signature                 4xx       200 in 7 ms  FAILS
signed ten minutes ago       4xx       not made     open

What to do:
- no signature: whoever leaves the signature out is let in: answer 401 when webhook-signature is missing

1 of 3 hold, 1 open.
"
        );
    }
}
