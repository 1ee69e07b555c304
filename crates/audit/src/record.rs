//! Writing lines: at the end of the chain, under the lock of its head.
//!
//! Whoever writes holds the head until the end of the transaction, and waits for nothing else meanwhile: so it is the last thing a
//! transaction does, and all that are at it stand in one queue. A transaction that is undone leaves no line and no gap.

use crate::{
    chain::{Hash, Line},
    head::stored,
};
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, QueryBuilder};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Lines of one statement.
const RUNS: [usize; 3] = [100, 10, 1];

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// Not allowed.
    Denied,
    /// Allowed, and not possible.
    Refused,
    /// Something broke.
    Failed,
}

/// Not the name of an outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not done, denied, refused or failed")]
pub struct UnknownOutcome(String);

/// A line to be written. Longer texts than the table takes are cut.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Who; empty before a log-in.
    pub operator: &'a str,
    /// What the account is; empty where that is not known.
    pub role: &'a str,
    /// `noun.verb`.
    pub act: &'a str,
    /// What it was done to.
    pub subject: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// More about it.
    pub detail: &'a str,
    /// Where the request came from.
    pub address: &'a str,
    /// The operation it belongs to.
    pub operation: Option<Uuid>,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Done, Self::Denied, Self::Refused, Self::Failed];

    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// Writes one line. See [`record_all`].
///
/// # Errors
/// What the database says. Then the act must not be done either.
pub async fn record(db: &mut MySqlConnection, entry: Entry<'_>) -> sqlx::Result<()> {
    record_all(db, &[entry]).await
}

/// Writes lines in the caller's transaction, in this order. Locks the head of the chain until that ends: the caller takes no lock after
/// it, writes nothing more, and commits at once.
///
/// # Errors
/// What the database says. Then what the lines tell of must not be done either.
pub async fn record_all(db: &mut MySqlConnection, entries: &[Entry<'_>]) -> sqlx::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut end = lock(&mut *db).await?;
    let lines: Vec<Line> = entries.iter().map(|entry| end.next(entry)).collect();
    let mut left = &lines[..];
    while let Some(size) = RUNS.iter().find(|size| **size <= left.len()) {
        let (run, rest) = left.split_at(*size);
        insert(&mut *db, run).await?;
        left = rest;
    }
    sqlx::query!(
        "update audit_head set last_id = ?, hash = ?, at = ? where id = 1",
        end.id,
        end.hash.as_bytes(),
        end.at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The end of the chain, while its head is locked.
struct End {
    id: i64,
    /// The highest number there is. A line somebody put in by hand is passed by, for the check to find: it stops nobody's act.
    top: i64,
    hash: Hash,
    at: DateTime<Utc>,
}

async fn lock(db: &mut MySqlConnection) -> sqlx::Result<End> {
    let head = sqlx::query!(
        r#"select last_id, hash, at as "at: DateTime<Utc>", utc_timestamp(3) as "now!: DateTime<Utc>",
                  (select coalesce(max(id), 0) from audit_log) as "top!: i64"
           from audit_head where id = 1 for update"#
    )
    .fetch_one(&mut *db)
    .await?;
    Ok(End {
        id: head.last_id,
        top: head.top,
        hash: stored(&head.hash)?,
        // The statement's time is from before it waited.
        at: head.now.max(head.at),
    })
}

impl End {
    fn next(&mut self, entry: &Entry<'_>) -> Line {
        let line = Line {
            id: self.id.max(self.top) + 1,
            at: self.at,
            operator: cut(entry.operator, 64),
            role: cut(entry.role, 16),
            act: cut(entry.act, 64),
            subject: cut(entry.subject, 128),
            outcome: entry.outcome.as_str().to_owned(),
            detail: cut(entry.detail, 1000),
            address: cut(entry.address, 64),
            operation_id: entry.operation,
            prev: None,
            hash: None,
        }
        .after(self.hash);
        self.id = line.id;
        self.hash = line.hash.unwrap_or(self.hash);
        line
    }
}

async fn insert(db: &mut MySqlConnection, lines: &[Line]) -> sqlx::Result<()> {
    let mut insert = QueryBuilder::<MySql>::new(
        "insert into audit_log (id, at, operator, role, act, subject, outcome, detail, address, operation_id, prev, hash) ",
    );
    insert.push_values(lines, |mut row, line| {
        row.push_bind(line.id)
            .push_bind(line.at)
            .push_bind(&line.operator)
            .push_bind(&line.role)
            .push_bind(&line.act)
            .push_bind(&line.subject)
            .push_bind(&line.outcome)
            .push_bind(&line.detail)
            .push_bind(&line.address)
            .push_bind(line.operation_id)
            .push_bind(line.prev.as_ref().map(Hash::as_bytes))
            .push_bind(line.hash.as_ref().map(Hash::as_bytes));
    });
    insert.build().execute(db).await?;
    Ok(())
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("", 3), "");
    }
}
