//! Alerts come in: with the change they tell of, or from the spool with what was already done about them.

use super::{attempts, channels};
use crate::alerts::{
    Delivered, Notice, Rate, raise,
    spool::{Entry, Progress},
};
use chrono::{NaiveDateTime, Utc};
use sqlx::{Acquire as _, MySqlConnection, QueryBuilder};

/// Writes the notice down for each channel; for none it is shown as undelivered. Writing the same one again changes nothing, but that
/// one which was told of alone, while MySQL took nothing, learns here of what incident it was the first notice.
///
/// # Errors
/// What the database says.
pub async fn insert_notice(
    db: &mut MySqlConnection,
    channels: &[String],
    notice: &Notice,
) -> sqlx::Result<()> {
    write(db, channels, notice, None).await
}

/// Writes down an alert from the spool, and on each channel that was tried there what came of it, under the alert's id and of no
/// incident: told of once, it is not sent again as an incident's first notice, which has the same id. What the table already knows
/// better stays.
pub(in crate::alerts) async fn restore(
    db: &mut MySqlConnection,
    entry: &Entry,
) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    raise::record_spooled(&mut tx, &entry.alert).await?;
    let tried: Vec<String> = entry.progress.keys().cloned().collect();
    if !tried.is_empty() {
        // As everybody who changes what waits on a channel; what the receiver said is noted there.
        for channel in &tried {
            channels::lock(&mut tx, channel, Rate::DEFAULT).await?;
        }
        let raised_at = entry.alert.at.naive_utc();
        let notice = Notice::of(entry.alert.clone());
        write(&mut tx, &tried, &notice, Some(raised_at)).await?;
    }
    for (channel, progress) in &entry.progress {
        restore_progress(&mut tx, entry, channel, progress).await?;
    }
    tx.commit().await
}

/// Restoring it once more changes nothing: then its tries are counted already.
async fn restore_progress(
    db: &mut MySqlConnection,
    entry: &Entry,
    channel: &str,
    progress: &Progress,
) -> sqlx::Result<()> {
    let id = entry.alert.id;
    let row = sqlx::query!(
        r#"select state = 'pending' as "waits!: bool", attempts as "attempts: u32" from alert_outbox
           where id = ? and channel = ? for update"#,
        id,
        channel
    )
    .fetch_one(&mut *db)
    .await?;
    let is_new = row.attempts < progress.attempts;
    if !row.waits || !(is_new || progress.delivered_at.is_some()) {
        return Ok(());
    }
    let delivered_at = progress.delivered_at.map(|at| at.naive_utc());
    sqlx::query!(
        "update alert_outbox set attempts = greatest(attempts, ?), last_error = left(?, 500), claim = null,
                delivered_at = least(?, utc_timestamp(3)), state = if(? is null, 'pending', 'delivered')
         where id = ? and channel = ?",
        progress.attempts,
        progress.last_error,
        delivered_at,
        delivered_at,
        id,
        channel
    )
    .execute(&mut *db)
    .await?;
    if is_new {
        for tried in &progress.tries {
            let what = (
                tried.took_ms,
                tried.outcome.as_str(),
                tried.error.as_deref(),
            );
            attempts::restore(&mut *db, id, channel, tried.at.naive_utc(), what).await?;
        }
        if let Some(said) = said_last(progress) {
            let rest = progress.due_at.unwrap_or_default() - Utc::now();
            let rest = rest.to_std().unwrap_or_default();
            channels::note(&mut *db, channel, &said, 0, rest).await?;
        }
    }
    Ok(())
}

/// What the receiver said to the last try: all processes are to know of a rest, or that it is gone.
fn said_last(progress: &Progress) -> Option<Delivered> {
    let last = progress.tries.last()?;
    let told = last.error.as_deref().unwrap_or_default();
    let why = told
        .split_once(": ")
        .map_or(told, |(_, why)| why)
        .to_owned();
    Some(match last.outcome.as_str() {
        "sent" => Delivered::Sent,
        "partly" => Delivered::Partly(why),
        "slow_down" => Delivered::SlowDown(None, why),
        "broken" => Delivered::Broken(why),
        "gone" => Delivered::Gone(why),
        _ => Delivered::Unknown(why),
    })
}

/// `created_at` is now where it is not given, and never later than now.
async fn write(
    db: &mut MySqlConnection,
    channels: &[String],
    notice: &Notice,
    created_at: Option<NaiveDateTime>,
) -> sqlx::Result<()> {
    let alert = &notice.alert;
    let body = serde_json::to_string(notice).map_err(|cause| sqlx::Error::Encode(cause.into()))?;
    let rows: Vec<(&str, &str, Option<&str>)> = if channels.is_empty() {
        vec![("", "undelivered", Some("no channel is configured"))]
    } else {
        channels
            .iter()
            .map(|channel| (channel.as_str(), "pending", None))
            .collect()
    };
    let mut insert = QueryBuilder::new(
        "insert into alert_outbox
         (id, channel, kind, severity, subject, title, body, state, incident_id, thread, sequence, status, attempts, due_at, last_error,
          created_at) ",
    );
    insert.push_values(rows, |mut row, (channel, state, last_error)| {
        row.push_bind(alert.id)
            .push_bind(channel)
            .push_bind(&alert.kind)
            .push_bind(alert.severity)
            .push_bind(&alert.subject)
            .push_bind(&alert.title)
            .push_bind(&body)
            .push_bind(state)
            .push_bind(notice.incident)
            .push_bind(notice.thread())
            .push_bind(notice.sequence)
            .push_bind(notice.status)
            .push("0, utc_timestamp(3)")
            .push_bind(last_error)
            .push("coalesce(least(")
            .push_bind_unseparated(created_at)
            .push_unseparated(", utc_timestamp(3)), utc_timestamp(3))");
    });
    insert.push(
        " on duplicate key update sequence = if(incident_id is null, values(sequence), sequence),
                                  incident_id = coalesce(incident_id, values(incident_id))",
    );
    insert.build().execute(db).await?;
    Ok(())
}
