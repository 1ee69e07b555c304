//! Who did what, and who was not allowed to: lines of the chain in the crate `audit`, written in the transaction of the act where that is
//! in MySQL. What cannot be written down is not done.

pub(crate) mod api;
pub(crate) mod export;
pub(crate) mod page;
mod query;

pub(crate) use ::audit::{
    Line, Outcome,
    listing::{Filter, newest},
};

use crate::access::Who;
use compensation::personal::{self, Sight};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// Lines of one page.
const PER_PAGE: u32 = 50;

/// One line to be written. Longer texts are cut, and what is personal in its detail is hidden: the chain keeps it for ever, and shows it to
/// whoever checks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub act: &'a str,
    /// What it was done to.
    pub subject: &'a str,
    pub outcome: Outcome,
    pub detail: &'a str,
}

/// Writes one line in the act's transaction, as the last that is done in it: the end of the chain is locked until it is over.
///
/// # Errors
/// What the database says. Then the act must not be done either.
pub(crate) async fn record(
    db: &mut MySqlConnection,
    who: &Who,
    entry: Entry<'_>,
) -> sqlx::Result<()> {
    let detail = personal::text(entry.detail, Sight::Masked);
    ::audit::record(db, line(who, entry, &detail, None)).await
}

/// The same, of an act that asks for an operation or steers one.
///
/// # Errors
/// What the database says. Then the act must not be done either.
pub(crate) async fn record_of(
    db: &mut MySqlConnection,
    operation: Uuid,
    who: &Who,
    entry: Entry<'_>,
) -> sqlx::Result<()> {
    let detail = personal::text(entry.detail, Sight::Masked);
    ::audit::record(db, line(who, entry, &detail, Some(operation))).await
}

/// Writes one line of what changes nothing else: what was denied or refused, or what is about to be taken away.
///
/// # Errors
/// What the database says.
pub(crate) async fn record_alone(db: &MySqlPool, who: &Who, entry: Entry<'_>) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    record(&mut tx, who, entry).await?;
    tx.commit().await
}

fn line<'a>(
    who: &'a Who,
    entry: Entry<'a>,
    detail: &'a str,
    operation: Option<Uuid>,
) -> ::audit::Entry<'a> {
    ::audit::Entry {
        operator: &who.name,
        role: who.role.map_or("", identity::OperatorRole::as_str),
        act: entry.act,
        subject: entry.subject,
        outcome: entry.outcome,
        detail,
        address: &who.address,
        operation,
    }
}
