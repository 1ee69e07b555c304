//! One thing that people must know.

use super::shorten::shortened;
use crate::personal::{self, Sight};
use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use uuid::Uuid;

/// The table's columns hold so much, in characters.
const KIND_AT_MOST: usize = 32;
const SUBJECT_AT_MOST: usize = 128;
const TITLE_AT_MOST: usize = 200;
const GROUP_AT_MOST: usize = 160;

/// How soon someone has to look.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum Severity {
    /// Now: something was given up, or nothing goes on.
    Urgent,
    /// Today: something goes wrong and is still tried by itself.
    Warning,
    /// Good to know: something is over.
    Info,
}

impl Severity {
    /// As it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that people must know. It leaves the house: it holds ids, never names, addresses or contents. What an error it quotes holds of
/// them is hidden when the alert is made ([`crate::personal`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The same on every try and every channel: receivers recognise a repeat by it.
    pub id: Uuid,
    /// What happened, as a word for programs: `dead_letter`, `archived`, `system`.
    pub kind: String,
    /// How soon someone has to look.
    pub severity: Severity,
    /// What it is about: an order id, a topic, a server.
    pub subject: String,
    /// One line for people.
    pub title: String,
    /// A few plain lines for people; channels that know markup escape them.
    pub text: String,
    /// Names and values, in this order.
    #[serde(default)]
    pub facts: Vec<(String, String)>,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Where to look.
    #[serde(default)]
    pub link: Option<String>,
    /// Alerts of one group and severity are one incident. See [`Alert::group_key`].
    #[serde(default)]
    pub group: String,
    /// Whether it tells that what its group tells of is over.
    #[serde(default)]
    pub resolves: bool,
}

impl Alert {
    /// An alert that happened now, under a new id. What is longer than its column is cut.
    #[must_use]
    pub fn new(kind: &str, severity: Severity, subject: &str, title: &str) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind: shortened(kind, KIND_AT_MOST),
            severity,
            subject: shortened(subject, SUBJECT_AT_MOST),
            title: shortened(&personal::text(title, Sight::Masked), TITLE_AT_MOST),
            text: String::new(),
            facts: Vec::new(),
            at: Utc::now().trunc_subsecs(3),
            link: None,
            group: String::new(),
            resolves: false,
        }
    }

    /// Gives it the id that this occasion always has, for work that may be repeated: a repeat then raises no second alert.
    /// `occasion` tells this alert from others of its kind and subject, for instance a generation and an attempt.
    #[must_use]
    pub fn once(mut self, occasion: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [&self.kind, &self.subject, occasion] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        self.id = uuid::Builder::from_custom_bytes(id).into_uuid();
        self
    }

    /// With these plain lines.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = personal::text(&text.into(), Sight::Masked).into_owned();
        self
    }

    /// With one more fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl fmt::Display) -> Self {
        let value = personal::text(&value.to_string(), Sight::Masked).into_owned();
        self.facts.push((name.to_owned(), value));
        self
    }

    /// Of this group, instead of the one that its kind and subject make. What is longer than its column is cut.
    #[must_use]
    pub fn group(mut self, key: &str) -> Self {
        self.group = shortened(key, GROUP_AT_MOST);
        self
    }

    /// It tells that what its group tells of is over, which is good to know.
    #[must_use]
    pub const fn resolves(mut self) -> Self {
        self.resolves = true;
        self.severity = Severity::Info;
        self
    }

    /// The group it is of: the one it was given, else kind and subject.
    #[must_use]
    pub fn group_key(&self) -> String {
        if self.group.is_empty() {
            shortened(&format!("{}/{}", self.kind, self.subject), GROUP_AT_MOST)
        } else {
            self.group.clone()
        }
    }

    /// With a page to look at.
    #[must_use]
    pub fn link(mut self, link: impl Into<String>) -> Self {
        self.link = Some(link.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_occasion_has_the_same_id_and_another_has_not() {
        let alert =
            |occasion| Alert::new("archived", Severity::Urgent, "7", "given up").once(occasion);
        assert_eq!(alert("1").id, alert("1").id);
        assert_ne!(alert("1").id, alert("2").id);
        assert!(!alert("1").id.to_string().contains('.'));
    }

    #[test]
    fn what_is_too_long_for_its_column_is_cut() {
        let alert = Alert::new("k", Severity::Info, &"ü".repeat(300), &"t".repeat(300));
        assert_eq!(alert.subject.chars().count(), 128);
        assert!(alert.title.chars().count() == 200 && alert.title.ends_with('…'));
    }

    #[test]
    fn its_group_is_what_it_is_about_unless_it_was_given_one() {
        let alert = Alert::new("system", Severity::Urgent, "mysql", "down");
        assert_eq!(alert.group_key(), "system/mysql");
        assert_eq!(alert.group("archived/7").group_key(), "archived/7");
        let long = Alert::new(&"k".repeat(40), Severity::Info, &"s".repeat(300), "t");
        assert_eq!(long.group_key().chars().count(), 160);
    }

    /// Breaks when a title, a text or a fact is kept as it came.
    #[test]
    fn nothing_personal_leaves_the_house() {
        let alert = Alert::new("k", Severity::Info, "7", "for ann@shop.example")
            .text("call +49 30 1234567")
            .fact("error", "remark=ring twice");
        let json = serde_json::to_string(&alert).unwrap();
        for never in ["ann@", "1234567", "ring twice"] {
            assert!(!json.contains(never), "{json}");
        }
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let alert = Alert::new("system", Severity::Warning, "mysql", "down")
            .text("one\ntwo")
            .fact("since", "now")
            .link("http://admin/");
        let json = serde_json::to_string(&alert).unwrap();
        assert_eq!(serde_json::from_str::<Alert>(&json).unwrap(), alert);
    }
}
