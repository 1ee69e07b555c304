//! Who did what, and who was not allowed to. Rows are only ever inserted, in the transaction of the act where that is in MySQL.

pub(crate) mod api;
mod list;
pub(crate) mod page;

pub(crate) use list::{Line, Search, lines};

use crate::access::Who;
use sqlx::MySqlExecutor;

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Not allowed.
    Denied,
    /// Allowed, and not possible.
    Refused,
    /// Something broke.
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One line to be written. Longer texts are cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub act: &'a str,
    /// What it was done to.
    pub subject: &'a str,
    pub outcome: Outcome,
    pub detail: &'a str,
}

/// Writes one line.
///
/// # Errors
/// What the database says. Then the act must not be done either.
pub(crate) async fn record(
    db: impl MySqlExecutor<'_>,
    who: &Who,
    entry: Entry<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit_log (at, operator, role, act, subject, outcome, detail, address) values (utc_timestamp(3), ?, ?, ?, ?, ?, ?, ?)",
        cut(&who.name, 64),
        who.role.map_or("", identity::OperatorRole::as_str),
        cut(entry.act, 64),
        cut(entry.subject, 128),
        entry.outcome.as_str(),
        cut(entry.detail, 1000),
        cut(&who.address, 64)
    )
    .execute(db)
    .await
    .map(drop)
}

fn cut(text: &str, characters: usize) -> &str {
    text.char_indices()
        .nth(characters)
        .map_or(text, |(end, _)| &text[..end])
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
