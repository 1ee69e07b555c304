//! What a template knows of a notice. Every text is escaped already, so that a template need not, and cannot forget to.

use super::{
    escape::{Style, short},
    portion::Portion,
    words,
};
use crate::alerts::{Line, Notice, Severity, Status};
use chrono::{DateTime, Utc};
use serde::Serialize;
use service_kit::settings::Language;

/// As long as the columns of the table are, in characters: an alert from the spool may be longer.
const TITLE_AT_MOST: usize = 200;
const SUBJECT_AT_MOST: usize = 128;
const WORD_AT_MOST: usize = 64;

/// The names that templates use.
#[derive(Serialize)]
pub(super) struct Shown {
    /// The title template's text; empty in that template itself.
    pub(super) heading: String,
    title: String,
    status: Status,
    status_word: &'static str,
    severity: Severity,
    severity_word: &'static str,
    kind: String,
    subject: String,
    id: String,
    incident: Option<String>,
    count: u64,
    first_at: String,
    last_at: String,
    resolution: Option<String>,
    acknowledged_by: Option<String>,
    facts: Vec<ShownFact>,
    lines: Vec<ShownLine>,
    more: usize,
    text: String,
    link: Option<String>,
}

#[derive(Serialize)]
struct ShownFact {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct ShownLine {
    status: Status,
    status_word: &'static str,
    severity: Severity,
    severity_word: &'static str,
    title: String,
    count: u64,
    link: Option<String>,
}

impl Shown {
    /// As much of the notice as `room` bytes hold.
    pub(super) fn of(
        notice: &Notice,
        room: usize,
        style: Style,
        between: &str,
        language: Language,
    ) -> Self {
        let alert = &notice.alert;
        let portion = Portion::of(notice, room);
        let facts = portion.facts.iter().map(|(name, value)| ShownFact {
            name: style.line(name),
            value: style.line(value),
        });
        let lines = portion
            .lines
            .iter()
            .map(|line| ShownLine::of(line, style, language));
        Self {
            heading: String::new(),
            title: short(style, &alert.title, TITLE_AT_MOST),
            status: notice.status,
            status_word: words::of_status(language, notice.status),
            severity: alert.severity,
            severity_word: words::of_severity(language, alert.severity),
            kind: short(style, &alert.kind, WORD_AT_MOST),
            subject: short(style, &alert.subject, SUBJECT_AT_MOST),
            id: notice.id().to_string(),
            incident: notice.incident.map(|id| id.to_string()),
            count: notice.count,
            first_at: moment(notice.first_at),
            last_at: moment(notice.last_at),
            resolution: portion.resolution.as_deref().map(|words| style.line(words)),
            acknowledged_by: notice
                .acknowledged_by
                .as_deref()
                .map(|name| short(style, name, WORD_AT_MOST)),
            facts: facts.collect(),
            lines: lines.collect(),
            more: portion.more,
            text: style.lines(&portion.text, between),
            link: alert.link.as_deref().and_then(|link| style.link(link)),
        }
    }
}

impl ShownLine {
    fn of(line: &Line, style: Style, language: Language) -> Self {
        Self {
            status: line.status,
            status_word: words::of_status(language, line.status),
            severity: line.severity,
            severity_word: words::of_severity(language, line.severity),
            title: short(style, &line.title, TITLE_AT_MOST),
            count: line.count,
            link: line.link.as_deref().and_then(|link| style.link(link)),
        }
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
