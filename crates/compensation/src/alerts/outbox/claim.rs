//! Alerts go out: claimed with a lease, sent without any transaction, written down under the claim.

use crate::alerts::{Alert, Notice};
use sqlx::{MySqlConnection, MySqlPool, QueryBuilder};
use std::time::Duration;
use tracing::error;
use uuid::Uuid;

/// As long as its column, in characters.
const ERROR_AT_MOST: u32 = 500;
/// The next ones have their turn soon.
const GIVEN_UP_AT_ONCE: u32 = 200;

/// An alert that one courier may send until its lease ends.
#[derive(Debug)]
pub(in crate::alerts) struct Claimed {
    pub(in crate::alerts) notice: Notice,
    /// Tries before this one.
    pub(in crate::alerts) attempts: u32,
    pub(in crate::alerts) claim: Uuid,
}

/// Claims up to `limit` alerts of the channel that are due by the database's clock, oldest first, for `lease`. Many couriers may
/// call it at once; a crashed one's rows come back by themselves.
pub(in crate::alerts) async fn claim_due(
    db: &MySqlPool,
    channel: &str,
    limit: u32,
    lease: Duration,
) -> sqlx::Result<Vec<Claimed>> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query!(
        r#"select id as "id: Uuid", body, attempts as "attempts: u32" from alert_outbox
           where state = 'pending' and channel = ? and due_at <= utc_timestamp(3)
           order by due_at limit ? for update skip locked"#,
        channel,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    if rows.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let claim = Uuid::new_v4();
    let mut hold = QueryBuilder::new("update alert_outbox force index (primary) set claim = ");
    hold.push_bind(claim)
        .push(", due_at = utc_timestamp(3) + interval ")
        .push_bind(micros(lease))
        .push(" microsecond where channel = ")
        .push_bind(channel)
        .push(" and id in (");
    let mut ids = hold.separated(", ");
    for row in &rows {
        ids.push_bind(row.id);
    }
    hold.push(")");
    hold.build().execute(&mut *tx).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        match read(&row.body) {
            Ok(notice) => claimed.push(Claimed {
                notice,
                attempts: row.attempts,
                claim,
            }),
            Err(_) => give_up_unreadable(&mut tx, row.id, channel).await?,
        }
    }
    tx.commit().await?;
    Ok(claimed)
}

/// Rows of older builds hold an alert alone.
fn read(body: &str) -> serde_json::Result<Notice> {
    serde_json::from_str(body).or_else(|_| serde_json::from_str::<Alert>(body).map(Notice::of))
}

/// One alert that nobody can read must not keep the others waiting.
async fn give_up_unreadable(db: &mut MySqlConnection, id: Uuid, channel: &str) -> sqlx::Result<()> {
    error!(alert.id = %id, "The body of alert {id} cannot be read: it is shown as undelivered");
    sqlx::query!(
        "update alert_outbox set state = 'undelivered', claim = null, last_error = 'its body cannot be read'
         where id = ? and channel = ?",
        id,
        channel
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down that it arrived. A courier whose lease ended changes nothing.
pub(in crate::alerts) async fn delivered(
    db: &MySqlPool,
    channel: &str,
    it: &Claimed,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_outbox set state = 'delivered', attempts = attempts + 1, claim = null, last_error = null,
                delivered_at = utc_timestamp(3)
         where id = ? and channel = ? and claim = ? and state = 'pending'",
        it.notice.id(),
        channel,
        it.claim
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down why it did not arrive: due again after `wait`, or given up where it is older than `give_up_after`. A courier whose
/// lease ended changes nothing.
pub(in crate::alerts) async fn failed(
    db: &MySqlPool,
    channel: &str,
    it: &Claimed,
    error: &str,
    wait: Duration,
    give_up_after: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_outbox set attempts = attempts + 1, claim = null, last_error = left(?, ?),
                due_at = utc_timestamp(3) + interval ? microsecond,
                state = if(created_at <= utc_timestamp(3) - interval ? microsecond, 'undelivered', 'pending')
         where id = ? and channel = ? and claim = ? and state = 'pending'",
        error,
        ERROR_AT_MOST,
        micros(wait),
        micros(give_up_after),
        it.notice.id(),
        channel,
        it.claim
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives up what is older than `give_up_after` and waits in a channel that fails: a long queue is not tried one by one.
pub(in crate::alerts) async fn give_up(
    db: &MySqlPool,
    channel: &str,
    error: &str,
    give_up_after: Duration,
) -> sqlx::Result<()> {
    let old = sqlx::query!(
        r#"select id as "id: Uuid" from alert_outbox
           where state = 'pending' and channel = ? and due_at <= utc_timestamp(3)
             and created_at <= utc_timestamp(3) - interval ? microsecond
           order by due_at limit ?"#,
        channel,
        micros(give_up_after),
        GIVEN_UP_AT_ONCE
    );
    for row in old.fetch_all(db).await? {
        undelivered(db, row.id, channel, error).await?;
    }
    Ok(())
}

/// Gives up what waits for channels that nobody has any longer. Not at once: while settings change, another process may have them.
pub(in crate::alerts) async fn give_up_unknown_channels(
    db: &MySqlPool,
    channels: &[String],
    give_up_after: Duration,
) -> sqlx::Result<()> {
    let mut old = QueryBuilder::new(
        "select id, channel from alert_outbox
         where state = 'pending' and due_at <= utc_timestamp(3) and created_at <= utc_timestamp(3) - interval ",
    );
    old.push_bind(micros(give_up_after))
        .push(" microsecond and channel not in (''");
    for channel in channels {
        old.push(", ").push_bind(channel);
    }
    old.push(") limit ").push_bind(GIVEN_UP_AT_ONCE);
    let old: Vec<(Uuid, String)> = old.build_query_as().fetch_all(db).await?;
    for (id, channel) in old {
        undelivered(db, id, &channel, "the channel is not configured any longer").await?;
    }
    Ok(())
}

/// By key, one at a time: an update that looks for its rows would wait for every transaction that is writing an alert.
async fn undelivered(db: &MySqlPool, id: Uuid, channel: &str, error: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_outbox set state = 'undelivered', claim = null, last_error = left(?, ?)
         where id = ? and channel = ? and state = 'pending' and due_at <= utc_timestamp(3)",
        error,
        ERROR_AT_MOST,
        id,
        channel
    )
    .execute(db)
    .await?;
    Ok(())
}

fn micros(of: Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}
