//! What came of a try is written down under its claim; what nobody takes for too long is given up, and shown.

use super::{Claimed, attempts, channels, micros};
use crate::alerts::Delivered;
use sqlx::{MySqlConnection, MySqlPool, QueryBuilder};
use std::time::Duration;
use uuid::Uuid;

/// As long as its column, in characters.
const ERROR_AT_MOST: u32 = 500;
/// The next ones have their turn soon.
const GIVEN_UP_AT_ONCE: u32 = 200;

/// What came of a try.
#[derive(Debug, Clone, Copy)]
pub(in crate::alerts) struct Tried<'a> {
    pub(in crate::alerts) what: &'a Delivered,
    pub(in crate::alerts) took: Duration,
    /// Until this notice is due again, unless it was sent.
    pub(in crate::alerts) wait: Duration,
    /// How long the receiver is left alone by everybody, where it asked for that.
    pub(in crate::alerts) rest: Duration,
}

/// Writes down a try, what it says of the channel, and what it means for the notice: arrived, due again, or given up where it is older than
/// `give_up_after`. A courier whose lease ended changes nothing of the notice; that it tried is written down all the same. Done again,
/// because the answer was lost, it changes nothing.
pub(in crate::alerts) async fn record(
    db: &MySqlPool,
    channel: &str,
    it: &Claimed,
    tried: Tried<'_>,
    give_up_after: Duration,
) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    let Tried { what, took, .. } = tried;
    channels::note(&mut tx, channel, what, it.failures, tried.rest).await?;
    let error = what.error();
    if what.has_arrived() {
        delivered(&mut tx, channel, it, error.as_deref()).await?;
    } else {
        let error = error.unwrap_or_default();
        failed(&mut tx, channel, it, &error, tried.wait, give_up_after).await?;
    }
    let (id, asked_by) = (it.notice.id(), it.asked_by.as_deref());
    attempts::insert(&mut tx, (id, it.claim), channel, (what, took), asked_by).await?;
    tx.commit().await
}

/// It arrived; `error` says for whom not.
async fn delivered(
    db: &mut MySqlConnection,
    channel: &str,
    it: &Claimed,
    error: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_outbox set state = 'delivered', attempts = attempts + 1, claim = null, last_error = left(?, ?), asked_by = null,
                delivered_at = utc_timestamp(3)
         where id = ? and channel = ? and claim = ? and state = 'pending'",
        error,
        ERROR_AT_MOST,
        it.notice.id(),
        channel,
        it.claim
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What had arrived before and was asked for once more is not undelivered for that.
async fn failed(
    db: &mut MySqlConnection,
    channel: &str,
    it: &Claimed,
    error: &str,
    wait: Duration,
    give_up_after: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_outbox set attempts = attempts + 1, claim = null, asked_by = null, last_error = left(?, ?),
                due_at = utc_timestamp(3) + interval ? microsecond,
                state = case when delivered_at is not null then 'delivered'
                             when created_at <= utc_timestamp(3) - interval ? microsecond then 'undelivered'
                             else 'pending' end
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

/// Has every process leave the channel alone for `wait`: it took nothing of what was tried.
pub(in crate::alerts) async fn rest(
    db: &MySqlPool,
    channel: &str,
    error: &str,
    failures: u32,
    wait: Duration,
) -> sqlx::Result<()> {
    channels::rest(&mut *db.acquire().await?, channel, error, failures, wait).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        Alert, Notice, Rate, Severity,
        outbox::{self, Terms},
    };

    /// Breaks when a try has no name of its own: whoever wrote it down and did not hear so writes it down twice.
    #[tokio::test]
    async fn a_try_that_is_written_down_once_more_is_the_same_try() {
        let schema = testkit::mysql::schema().await;
        let notice = Notice::of(Alert::new(
            "figure",
            Severity::Urgent,
            "queue",
            "It is long",
        ));
        let channels = ["ops".to_owned()];
        let mut db = schema.pool.acquire().await.unwrap();
        outbox::insert_notice(&mut db, &channels, &notice)
            .await
            .unwrap();
        drop(db);
        let minute = Duration::from_mins(1);
        let terms = Terms {
            rate: Rate::DEFAULT,
            at_once: 4,
            lease: minute,
            digests: true,
            together: 1,
        };
        let looked = outbox::claim_due(&schema.pool, "ops", terms).await.unwrap();
        let claimed = looked.unwrap().messages.remove(0).remove(0);
        let tried = Tried {
            what: &Delivered::Unknown("no".to_owned()),
            took: Duration::ZERO,
            wait: minute,
            rest: minute,
        };
        for _ in 0..2 {
            record(&schema.pool, "ops", &claimed, tried, minute)
                .await
                .unwrap();
        }
        let written = outbox::attempts(&schema.pool, notice.id()).await.unwrap();
        assert_eq!(written.len(), 1);
    }
}
