//! What people are told at one time: an incident as it stands, or what stands for many of them.

use super::{Alert, Severity};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Why people are told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum Status {
    /// It is new.
    Firing,
    /// More of it happened since.
    Changed,
    /// It still stands, and nothing was said for long.
    Repeated,
    /// Nobody acknowledged it in time.
    Escalated,
    /// It is over.
    Resolved,
    /// Somebody looks after it. Said only to receivers that call people until they know.
    Acknowledged,
    /// Many notices that a channel had no room for, in one.
    Digest,
    /// An operator asked whether the channel works.
    Test,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Firing,
        Self::Changed,
        Self::Repeated,
        Self::Escalated,
        Self::Resolved,
        Self::Digest,
        Self::Test,
        Self::Acknowledged,
    ];

    /// As it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Changed => "changed",
            Self::Repeated => "repeated",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
            Self::Acknowledged => "acknowledged",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

/// One line of a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How the incident stands.
    pub status: Status,
    /// How soon someone has to look.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// Alerts of it.
    pub count: u64,
    /// Where to look.
    #[serde(default)]
    pub link: Option<String>,
}

/// See the module. It leaves the house, as [`Alert`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Why people are told now.
    pub status: Status,
    /// The incident's latest alert. Its id is the notice's: the same on every try and every channel. An incident's first notice has the
    /// id of the alert that opened it, so that one sent from the spool is not sent again.
    pub alert: Alert,
    /// Nothing of tests, digests and what is sent while MySQL takes nothing.
    #[serde(default)]
    pub incident: Option<Uuid>,
    /// Of the incident's notices, from 1; 0 where there is no incident.
    #[serde(default)]
    pub sequence: u32,
    /// Alerts of the incident so far.
    pub count: u64,
    /// When its first alert was raised.
    pub first_at: DateTime<Utc>,
    /// When its latest was.
    pub last_at: DateTime<Utc>,
    /// How it ended, in words.
    #[serde(default)]
    pub resolution: Option<String>,
    /// When it ended.
    #[serde(default)]
    pub resolved_at: Option<DateTime<Utc>>,
    /// When this was to be said; nothing of notices that were written before it was kept.
    #[serde(default)]
    pub made_at: Option<DateTime<Utc>>,
    /// Who looks after it.
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    /// Of a digest.
    #[serde(default)]
    pub lines: Vec<Line>,
}

impl Notice {
    /// An alert that is told of alone: that something fires, or is over.
    #[must_use]
    pub fn of(alert: Alert) -> Self {
        Self {
            status: if alert.resolves {
                Status::Resolved
            } else {
                Status::Firing
            },
            incident: None,
            sequence: 0,
            count: 1,
            first_at: alert.at,
            last_at: alert.at,
            resolution: None,
            resolved_at: None,
            made_at: Some(alert.at),
            acknowledged_by: None,
            lines: Vec::new(),
            alert,
        }
    }

    /// When this was to be said, on every try the same.
    #[must_use]
    pub fn made_at(&self) -> DateTime<Utc> {
        self.made_at.unwrap_or(self.last_at)
    }

    /// The same on every try and every channel.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.alert.id
    }

    /// What a receiver opens and closes by: the same for all notices of a group and severity, also for those that are sent while MySQL
    /// takes nothing and nobody knows of which incident they will be. A test or a digest is one of its own.
    #[must_use]
    pub fn key(&self) -> Uuid {
        self.thread().unwrap_or(self.alert.id)
    }

    /// The same of what is of a group.
    pub(super) fn thread(&self) -> Option<Uuid> {
        if matches!(self.status, Status::Digest | Status::Test) {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update(b"thread ");
        hash.update(self.alert.severity.as_str());
        hash.update(b" ");
        hash.update(self.alert.group_key());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Some(uuid::Builder::from_custom_bytes(id).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks when the key is the alert's, or the incident's: what was told of from the spool would stay open for ever, and with it
    /// what others told of the same from theirs.
    #[test]
    fn what_was_sent_from_the_spool_has_the_key_of_its_incidents_end() {
        let alert = || Alert::new("system", Severity::Urgent, "mysql", "MySQL does not answer");
        let (first, other) = (Notice::of(alert()), Notice::of(alert()));
        let end = Alert {
            severity: Severity::Urgent,
            ..Alert::new("system", Severity::Info, "mysql", "MySQL answers again").resolves()
        };
        let end = Notice {
            incident: Some(Uuid::now_v7()),
            sequence: 2,
            ..Notice::of(end)
        };
        assert_eq!(end.status, Status::Resolved);
        assert_eq!([first.key(), other.key()], [end.key(); 2]);
        let milder = Notice::of(Alert {
            severity: Severity::Warning,
            ..alert()
        });
        assert_ne!(milder.key(), first.key(), "an incident of its own");
        for status in [Status::Digest, Status::Test] {
            let alone = Notice {
                status,
                ..Notice::of(alert())
            };
            assert_eq!(alone.key(), alone.id());
        }
    }
}
