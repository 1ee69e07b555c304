//! Reading lines: newest first for people, oldest first for whoever takes them away.

use crate::{
    chain::{Hash, Line},
    head::stored,
    record::Outcome,
};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};
use uuid::Uuid;

const COLUMNS: &str = "select id, at, operator, role, act, subject, outcome, detail, address, operation_id, prev, hash from audit_log";

/// Which lines; what is not said filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who.
    pub operator: Option<String>,
    /// What was done.
    pub act: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What it was done to.
    pub subject: Option<String>,
    /// The operation it belongs to.
    pub operation: Option<Uuid>,
    /// No earlier.
    pub from: Option<DateTime<Utc>>,
    /// Before that.
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    /// What was done to one thing.
    #[must_use]
    pub fn of_subject(subject: &impl ToString) -> Self {
        Self {
            subject: Some(subject.to_string()),
            ..Self::default()
        }
    }

    /// Whether it keeps something back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The next lines before `before`, newest first.
///
/// # Errors
/// What the database says.
pub async fn newest(
    db: &MySqlPool,
    filter: &Filter,
    before: Option<i64>,
    limit: u32,
) -> sqlx::Result<Vec<Line>> {
    let Some(mut query) = filtered(db, filter).await? else {
        return Ok(Vec::new());
    };
    if let Some(before) = before {
        query.push(" and id < ").push_bind(before);
    }
    query.push(" order by id desc limit ").push_bind(limit);
    read(query.build_query_as().fetch_all(db).await?)
}

/// The next lines after `after`, up to `up_to`, oldest first.
///
/// # Errors
/// What the database says.
pub async fn oldest(
    db: &MySqlPool,
    filter: &Filter,
    after: i64,
    up_to: i64,
    limit: u32,
) -> sqlx::Result<Vec<Line>> {
    let Some(mut query) = filtered(db, filter).await? else {
        return Ok(Vec::new());
    };
    query.push(" and id > ").push_bind(after);
    query.push(" and id <= ").push_bind(up_to);
    query.push(" order by id limit ").push_bind(limit);
    read(query.build_query_as().fetch_all(db).await?)
}

/// The lines of a filter. `None`: none is of that time.
async fn filtered(db: &MySqlPool, filter: &Filter) -> sqlx::Result<Option<QueryBuilder<MySql>>> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push(" where true");
    for (column, value) in [
        (" and operator = ", &filter.operator),
        (" and act = ", &filter.act),
        (" and subject = ", &filter.subject),
    ] {
        if let Some(value) = value {
            query.push(column).push_bind(value.clone());
        }
    }
    if let Some(outcome) = filter.outcome {
        query.push(" and outcome = ").push_bind(outcome.as_str());
    }
    if let Some(operation) = filter.operation {
        query.push(" and operation_id = ").push_bind(operation);
    }
    // No line is older than the one before it, so a time is a place in the list.
    if let Some(from) = filter.from {
        let Some(first) = first_from(db, from).await? else {
            return Ok(None);
        };
        query.push(" and id >= ").push_bind(first);
    }
    if let Some(to) = filter.to {
        let Some(last) = last_before(db, to).await? else {
            return Ok(None);
        };
        query.push(" and id <= ").push_bind(last);
    }
    Ok(Some(query))
}

async fn first_from(db: &MySqlPool, from: DateTime<Utc>) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "select id from audit_log where at >= ? order by at, id limit 1",
        from
    )
    .fetch_optional(db)
    .await
}

async fn last_before(db: &MySqlPool, to: DateTime<Utc>) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "select id from audit_log where at < ? order by at desc, id desc limit 1",
        to
    )
    .fetch_optional(db)
    .await
}

#[derive(FromRow)]
struct Row {
    id: i64,
    at: DateTime<Utc>,
    operator: String,
    role: String,
    act: String,
    subject: String,
    outcome: String,
    detail: String,
    address: String,
    operation_id: Option<Uuid>,
    prev: Option<Vec<u8>>,
    hash: Option<Vec<u8>>,
}

fn read(rows: Vec<Row>) -> sqlx::Result<Vec<Line>> {
    let hash = |bytes: Option<Vec<u8>>| -> sqlx::Result<Option<Hash>> {
        bytes.map(|bytes| stored(&bytes)).transpose()
    };
    rows.into_iter()
        .map(|row| {
            Ok(Line {
                id: row.id,
                at: row.at,
                operator: row.operator,
                role: row.role,
                act: row.act,
                subject: row.subject,
                outcome: row.outcome,
                detail: row.detail,
                address: row.address,
                operation_id: row.operation_id,
                prev: hash(row.prev)?,
                hash: hash(row.hash)?,
            })
        })
        .collect()
}
