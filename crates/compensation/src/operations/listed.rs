//! Operations and their items as lists: page by page by key, never counted off from the beginning.

use super::reading::{COLUMNS, ITEM_COLUMNS, Item, Operation, Stored, single_item};
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlPool, QueryBuilder};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A place in the list of operations: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

/// Not a place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not where a page ended")]
pub struct NoPlace;

impl fmt::Display for Place {
    /// Milliseconds since 1970, a dot, the id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.timestamp_millis(), self.id.simple())
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (millis, id) = text.split_once('.').ok_or(NoPlace)?;
        let at = millis.parse().ok();
        Ok(Self {
            at: at
                .and_then(DateTime::from_timestamp_millis)
                .ok_or(NoPlace)?,
            id: id.parse().map_err(|_| NoPlace)?,
        })
    }
}

impl Operation {
    /// The place after it.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            at: self.created_at,
            id: self.id,
        }
    }
}

/// Operations, newest first, single replays with their item.
///
/// # Errors
/// What the database says.
pub async fn page(
    db: &MySqlPool,
    after: Option<Place>,
    limit: u32,
) -> sqlx::Result<Vec<Operation>> {
    let mut query = QueryBuilder::<MySql>::new(COLUMNS);
    if let Some(after) = after {
        let at = after.at.naive_utc();
        query.push(" where created_at <= ").push_bind(at);
        query.push(" and (created_at < ").push_bind(at);
        query.push(" or id < ").push_bind(after.id).push(")");
    }
    query.push(" order by created_at desc, id desc limit ");
    let rows: Vec<Stored> = query
        .push_bind(limit)
        .build_query_as()
        .fetch_all(db)
        .await?;
    let mut operations = Vec::with_capacity(rows.len());
    for row in rows {
        let mut operation = row.operation()?;
        if operation.bulk.is_none() {
            operation.items = single_item(db, operation.id).await?;
        }
        operations.push(operation);
    }
    Ok(operations)
}

/// The latest operations, or those one archived order is an item of with that item alone, newest first.
///
/// # Errors
/// What the database says.
pub async fn latest(
    db: &MySqlPool,
    archive_id: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Operation>> {
    let Some(archive_id) = archive_id else {
        return page(db, None, limit).await;
    };
    let ids = sqlx::query_scalar!(
        r#"select operation_id as "id: Uuid" from operation_items where archive_id = ? order by created_at desc limit ?"#,
        archive_id,
        limit
    )
    .fetch_all(db)
    .await?;
    let mut operations = Vec::with_capacity(ids.len());
    for id in ids {
        let mut query = QueryBuilder::<MySql>::new(COLUMNS);
        query.push(" where id = ").push_bind(id);
        let row: Option<Stored> = query.build_query_as().fetch_optional(db).await?;
        let Some(row) = row else { continue };
        let mut operation = row.operation()?;
        let mut query = QueryBuilder::<MySql>::new(ITEM_COLUMNS);
        query.push(" where operation_id = ").push_bind(id);
        query.push(" and archive_id = ").push_bind(archive_id);
        operation.items = query.build_query_as().fetch_all(db).await?;
        operations.push(operation);
    }
    Ok(operations)
}

/// Items of an operation by their ids, those after `after`, of every state or one.
///
/// # Errors
/// What the database says.
pub async fn items(
    db: &MySqlPool,
    operation: Uuid,
    state: Option<&str>,
    after: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Item>> {
    let mut query = QueryBuilder::<MySql>::new(ITEM_COLUMNS);
    if state.is_some() {
        // By itself MariaDB may take the primary key, and walk over all in other states.
        query.push(" force index (operation_items_by_state)");
    }
    query.push(" where operation_id = ").push_bind(operation);
    if let Some(state) = state {
        query.push(" and state = ").push_bind(state.to_owned());
    }
    if let Some(after) = after {
        query.push(" and archive_id > ").push_bind(after);
    }
    query.push(" order by archive_id limit ").push_bind(limit);
    query.build_query_as().fetch_all(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_an_address() {
        let place = Place {
            at: DateTime::from_timestamp_millis(1_780_000_000_123).expect("a time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for none in ["", "1", "1.2", "."] {
            assert_eq!(none.parse::<Place>(), Err(NoPlace), "{none}");
        }
    }
}
