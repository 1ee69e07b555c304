//! Rows and facts as people read them in a terminal.
//!
//! What came from outside may hold anything: control characters, which a terminal would obey, and marks that turn the direction of
//! text are shown as what they are, `\u{1b}`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::fmt::Write as _;

/// A column of a table, or a fact of a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub title: &'static str,
    /// Where its value is in a row, as a JSON pointer.
    pub at: &'static str,
    /// Characters of a cell; the rest is cut off with a `…`.
    pub most: usize,
}

/// A column.
pub(crate) const fn column(title: &'static str, at: &'static str, most: usize) -> Column {
    Column { title, at, most }
}

/// A line of titles, and a line for each row.
pub(crate) fn table(columns: &[Column], rows: &[Value]) -> String {
    let titles: Vec<String> = columns.iter().map(|it| it.title.to_owned()).collect();
    let cells = rows.iter().map(|row| {
        let cell = |it: &Column| cut(&text(row.pointer(it.at)), it.most);
        columns.iter().map(cell).collect::<Vec<_>>()
    });
    let lines: Vec<_> = std::iter::once(titles).chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let widths = lines.iter().map(|line| line[at].chars().count());
            widths.max().unwrap_or_default()
        })
        .collect();
    let mut table = String::new();
    for line in lines {
        let mut written = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(written, "{cell:<width$}  ");
        }
        table.push_str(written.trim_end());
        table.push('\n');
    }
    table
}

/// A line for each fact that is known.
pub(crate) fn facts(columns: &[Column], whole: &Value) -> String {
    let width = columns.iter().map(|it| it.title.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for it in columns {
        let value = text(whole.pointer(it.at));
        if !value.is_empty() {
            let _ = writeln!(lines, "{:<width$}  {}", it.title, cut(&value, it.most));
        }
    }
    lines
}

/// Everything, a line for each value, named by its path: `dlq.max_retries`.
pub(crate) fn flat(value: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    flatten(String::new(), value, &mut lines);
    lines
}

fn flatten(path: String, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(path, value, lines);
            }
        }
        other => lines.push((path, text(Some(other)))),
    }
}

/// A value as a person reads it.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::String(text)) => moment(text).unwrap_or_else(|| visible(text)),
        Some(other) => visible(&other.to_string()),
    }
}

/// A time to the second, in UTC.
fn moment(text: &str) -> Option<String> {
    let is_one = text.len() >= 20 && text.as_bytes()[10] == b'T';
    let time: DateTime<Utc> = is_one.then(|| text.parse().ok()).flatten()?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The same text, with nothing in it that a terminal would obey.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, letter| {
        if letter.is_control() || turns(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
        shown
    })
}

/// Marks that turn the direction of text, or cannot be seen at all.
const fn turns(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: [Column; 3] = [
        column("ID", "/id", 9),
        column("WHEN", "/at", 30),
        column("WHY", "/cause/text", 8),
    ];

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            json!({"id": 7, "at": "2026-07-03T10:00:00.123Z", "cause": {"text": "äöü no more"}}),
            json!({"id": 18_446_744_073_709_551_615_u64, "at": null, "cause": null}),
        ];
        let lines = "ID         WHEN                  WHY\n\
                     7          2026-07-03T10:00:00Z  äöü no …\n\
                     18446744…\n";
        assert_eq!(table(&COLUMNS, &rows), lines);
        assert_eq!(
            facts(&COLUMNS, &rows[0]),
            "ID    7\nWHEN  2026-07-03T10:00:00Z\nWHY   äöü no …\n"
        );
    }

    /// Meant to catch a text that moves the cursor, colours the terminal or turns what stands behind it.
    #[test]
    fn nothing_from_outside_is_obeyed_by_the_terminal() {
        assert_eq!(
            visible("a\u{1b}[2J\r\n\u{202e}b\u{9b}é"),
            "a\\u{1b}[2J\\u{d}\\u{a}\\u{202e}b\\u{9b}é"
        );
    }

    #[test]
    fn a_whole_is_flattened_by_its_paths() {
        let whole = json!({"a": {"b": 1, "c": {"d": "x"}}, "e": [1, 2], "f": {}});
        let pairs = flat(&whole);
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        assert_eq!(
            pairs,
            [("a.b", "1"), ("a.c.d", "x"), ("e", "[1,2]"), ("f", "{}")]
        );
    }
}
