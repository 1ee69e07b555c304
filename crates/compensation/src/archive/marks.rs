//! What operators say of a group: it is left alone, or what failed is put right; and who looks after it. The table `group_marks`.
//!
//! Whether a group that was resolved failed again since is never written down: its latest row tells, so no process can forget it.

use crate::fingerprint::Fingerprint;
use chrono::{DateTime, Utc};
use sqlx::MySqlConnection;
use std::{fmt, str::FromStr};

/// The longest reason, in characters.
pub const REASON_AT_MOST: usize = 500;

/// What is to become of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// Somebody has to look.
    #[default]
    Open,
    /// It is known, and left alone, also when it fails again.
    Ignored,
    /// Its cause is put right: when it fails again, it is open again.
    Resolved,
}

/// What was said of a group last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// As it was set; see [`super::groups::Group::status`] for what holds now.
    pub status: Status,
    /// Who looks after it.
    pub assignee: Option<String>,
    /// Why; empty where nothing was said.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Grows with each change.
    pub version: u32,
}

/// Who is to look after a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Assignee {
    /// Whoever does.
    #[default]
    AsItIs,
    /// Nobody.
    Nobody,
    /// An operator of this name.
    To(String),
}

impl From<&str> for Assignee {
    /// Nobody, where no name is given.
    fn from(name: &str) -> Self {
        match name.trim() {
            "" => Self::Nobody,
            name => Self::To(name.to_owned()),
        }
    }
}

/// What is to be said of it; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What is to become of it.
    pub status: Option<Status>,
    /// Who is to look after it.
    pub assignee: Assignee,
    /// Why.
    pub reason: String,
    /// The version that was seen, 0 where nothing had been said; `None` overrules whatever is there.
    pub seen: Option<u32>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotMarked {
    /// There is no such group.
    #[error("there is no such group")]
    NotFound,
    /// What is asked for is not fit.
    #[error("{0}")]
    Bad(&'static str),
    /// Somebody else changed it since it was seen.
    #[error("{by} changed it meanwhile")]
    Meanwhile {
        /// Who.
        by: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// What the database says.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// It is so now; before it was so.
    Now {
        /// What held before.
        before: (Status, Option<String>),
        /// What holds.
        now: (Status, Option<String>),
    },
    /// It was so, and nothing was written.
    Before,
}

/// Says it, in the caller's transaction, and locks the group's mark until that is over.
///
/// # Errors
/// [`NotMarked`]; then nothing was written.
pub async fn mark(
    db: &mut MySqlConnection,
    group: Fingerprint,
    change: &Change,
    by: &str,
) -> Result<Marked, NotMarked> {
    let reason = change.reason.trim();
    if reason.chars().count() > REASON_AT_MOST {
        return Err(NotMarked::Bad("a reason has at most 500 characters"));
    }
    if matches!(change.status, Some(Status::Ignored | Status::Resolved)) && reason.is_empty() {
        return Err(NotMarked::Bad("a reason is needed: the audit keeps it"));
    }
    let number = group.to_number();
    let last_seen_at = sqlx::query_scalar!(
        r#"select last_seen_at as "at: DateTime<Utc>" from failure_groups where fingerprint = ?"#,
        number
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(NotMarked::NotFound)?;
    // So that there is a row to be locked: of two one waits here. An `insert ignore` would let both share the row's lock, and then
    // neither have it alone.
    sqlx::query!(
        "insert into group_marks (fingerprint, status, reason, changed_by, changed_at, version)
         values (?, 'open', '', '', utc_timestamp(3), 0) on duplicate key update fingerprint = values(fingerprint)",
        number
    )
    .execute(&mut *db)
    .await?;
    let row = sqlx::query!(
        r#"select status as "status: String", assignee, changed_by, changed_at as "changed_at: DateTime<Utc>", version as "version: u32"
           from group_marks where fingerprint = ? for update"#,
        number
    )
    .fetch_one(&mut *db)
    .await?;
    if change.seen.is_some_and(|seen| seen != row.version) {
        return Err(NotMarked::Meanwhile {
            by: row.changed_by,
            at: row.changed_at,
        });
    }
    let stored = status_of(&row.status)?;
    let before = (stored.now(row.changed_at, last_seen_at), row.assignee);
    let now = (
        change.status.unwrap_or(before.0),
        match &change.assignee {
            Assignee::AsItIs => before.1.clone(),
            Assignee::Nobody => None,
            Assignee::To(name) => Some(name.clone()),
        },
    );
    if now == before {
        return Ok(Marked::Before);
    }
    sqlx::query!(
        "update group_marks set status = ?, assignee = ?, reason = ?, changed_by = ?, changed_at = utc_timestamp(3), version = version + 1
         where fingerprint = ?",
        now.0.as_str(),
        now.1,
        reason,
        by,
        number
    )
    .execute(&mut *db)
    .await?;
    Ok(Marked::Now { before, now })
}

pub(super) fn status_of(name: &str) -> sqlx::Result<Status> {
    name.parse()
        .map_err(|cause: NoStatus| sqlx::Error::Decode(cause.into()))
}

/// Not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a group is open, ignored or resolved")]
pub struct NoStatus;

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Ignored, Self::Resolved];

    /// Its stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ignored => "ignored",
            Self::Resolved => "resolved",
        }
    }

    /// What holds of a group that was marked so, and failed last then.
    pub(super) fn now(self, marked_at: DateTime<Utc>, failed_at: DateTime<Utc>) -> Self {
        if self == Self::Resolved && failed_at > marked_at {
            Self::Open
        } else {
            self
        }
    }
}

impl FromStr for Status {
    type Err = NoStatus;

    fn from_str(text: &str) -> Result<Self, NoStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(NoStatus)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn what_was_resolved_and_fails_again_is_open_and_what_is_ignored_stays_so() {
        let at = Utc::now();
        let (before, after) = (at - TimeDelta::seconds(1), at + TimeDelta::seconds(1));
        assert_eq!(Status::Resolved.now(at, before), Status::Resolved);
        assert_eq!(Status::Resolved.now(at, at), Status::Resolved);
        assert_eq!(Status::Resolved.now(at, after), Status::Open);
        assert_eq!(Status::Ignored.now(at, after), Status::Ignored);
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("".parse::<Status>(), Err(NoStatus));
    }
}
