//! Alerts come in: with the change they tell of, or from the spool with what was already done about them.

use crate::alerts::{Notice, spool::Entry};
use chrono::NaiveDateTime;
use sqlx::{Acquire as _, MySqlConnection, QueryBuilder};

/// Writes the notice down for each channel; for none it is shown as undelivered. Writing the same one again changes nothing.
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

/// Writes down an alert from the spool with the state it reached there. What the table already knows better stays.
pub(in crate::alerts) async fn restore(
    db: &mut MySqlConnection,
    channels: &[String],
    entry: &Entry,
) -> sqlx::Result<()> {
    // A channel that was removed meanwhile has its word too.
    let mut channels = channels.to_vec();
    channels.extend(entry.progress.keys().cloned());
    channels.sort_unstable();
    channels.dedup();
    let mut tx = db.begin().await?;
    write(
        &mut tx,
        &channels,
        &Notice::of(entry.alert.clone()),
        Some(entry.alert.at.naive_utc()),
    )
    .await?;
    for (channel, progress) in &entry.progress {
        let delivered_at = progress.delivered_at.map(|at| at.naive_utc());
        sqlx::query!(
            "update alert_outbox set attempts = ?, last_error = ?, claim = null, delivered_at = least(?, utc_timestamp(3)),
                    state = if(? is null, 'pending', 'delivered')
             where id = ? and channel = ? and state = 'pending' and attempts <= ?",
            progress.attempts,
            progress.last_error,
            delivered_at,
            delivered_at,
            entry.alert.id,
            channel,
            progress.attempts
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
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
         (id, channel, kind, severity, subject, title, body, state, incident_id, sequence, status, attempts, due_at, last_error,
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
            .push_bind(notice.sequence)
            .push_bind(notice.status)
            .push("0, utc_timestamp(3)")
            .push_bind(last_error)
            .push("coalesce(least(")
            .push_bind_unseparated(created_at)
            .push_unseparated(", utc_timestamp(3)), utc_timestamp(3))");
    });
    insert.push(" on duplicate key update title = title");
    insert.build().execute(db).await?;
    Ok(())
}
