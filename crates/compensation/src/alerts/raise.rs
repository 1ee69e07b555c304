//! Alerts come in: one row each, with the change they tell of; or from the spool, where they waited while MySQL took nothing.

use super::{Alert, Spool, SpoolError, lane::answered};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use tracing::{error, warn};

/// Writes the alert down. Meant for the transaction of what it tells of: either both are there or neither. It waits for nobody, and
/// writing the same alert again changes nothing; who is told of it is decided afterwards, by [`super::Folder`].
///
/// # Errors
/// What the database says.
pub async fn record(db: &mut MySqlConnection, alert: &Alert) -> sqlx::Result<()> {
    write(db, alert, None).await
}

/// The same of one that waited in the spool: it was raised when it says, and not later than now.
///
/// # Errors
/// What the database says.
pub async fn record_spooled(db: &mut MySqlConnection, alert: &Alert) -> sqlx::Result<()> {
    write(db, alert, Some(alert.at)).await
}

async fn write(
    db: &mut MySqlConnection,
    alert: &Alert,
    raised_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let body = serde_json::to_string(alert).map_err(|cause| sqlx::Error::Encode(cause.into()))?;
    sqlx::query!(
        "insert into alerts (id, group_key, kind, severity, subject, title, body, resolves, created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, coalesce(least(?, utc_timestamp(3)), utc_timestamp(3)))
         on duplicate key update id = values(id)",
        alert.id,
        alert.group_key(),
        alert.kind,
        alert.severity.as_str(),
        alert.subject,
        alert.title,
        body,
        alert.resolves,
        raised_at.map(|at| at.naive_utc())
    )
    .execute(db)
    .await
    .map(drop)
}

/// Writes down an alert that belongs to no transaction, into the spool when MySQL does not take it within 5 s. Raising it again
/// changes nothing.
///
/// # Errors
/// When neither took it: then the log says what of, and people are told that it was lost once MySQL answers.
pub async fn raise(db: &MySqlPool, spool: &Spool, alert: &Alert) -> Result<(), SpoolError> {
    let writing = answered(async { record(&mut *db.acquire().await?, alert).await });
    let Err(cause) = writing.await else {
        return Ok(());
    };
    let Alert {
        id,
        kind,
        subject,
        title,
        ..
    } = alert;
    warn!(alert.id = %id, "MySQL did not take a {kind} alert, it goes into the spool: {cause:#}");
    let kept = spool.put(alert).await;
    if let Err(cause) = &kept {
        error!(alert.id = %id, "Nobody is told of this, the spool did not take it ({cause}): {kind} {subject}: {title}");
        spool.lose(alert).await;
    }
    kept
}
