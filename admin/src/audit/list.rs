//! The audit as a list, newest first.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};

/// Lines of one page.
pub(crate) const PER_PAGE: u32 = 50;

/// Which lines.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Search {
    /// What something was done to: an order's id, an operator's name.
    pub subject: Option<String>,
    /// Only lines before this one.
    pub before: Option<i64>,
}

/// One line.
#[derive(Debug, Clone, FromRow, Serialize)]
pub(crate) struct Line {
    pub id: i64,
    pub at: DateTime<Utc>,
    /// Empty before a log-in.
    pub operator: String,
    pub role: String,
    pub act: String,
    pub subject: String,
    pub outcome: String,
    pub detail: String,
    pub address: String,
}

impl Search {
    /// The subject looked for, if any.
    pub fn subject(&self) -> Option<&str> {
        self.subject
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
    }
}

/// The next lines, newest first.
///
/// # Errors
/// What the database says.
pub(crate) async fn lines(db: &MySqlPool, search: &Search, limit: u32) -> sqlx::Result<Vec<Line>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select id, at, operator, role, act, subject, outcome, detail, address from audit_log where true",
    );
    if let Some(subject) = search.subject() {
        query.push(" and subject = ").push_bind(subject.to_owned());
    }
    if let Some(before) = search.before {
        query.push(" and id < ").push_bind(before);
    }
    query.push(" order by id desc limit ").push_bind(limit);
    query.build_query_as().fetch_all(db).await
}
