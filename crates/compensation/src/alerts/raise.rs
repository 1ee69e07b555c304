//! Raising an alert that belongs to no transaction.

use super::{Alert, Spool, SpoolError, lane::answered, outbox};
use sqlx::MySqlPool;
use tracing::{error, warn};

/// Writes the alert into the outbox, or into the spool when MySQL does not take it within 5 s. Raising it again changes nothing.
///
/// # Errors
/// When neither took it: then nobody is told, and the log says what of.
pub async fn raise(
    db: &MySqlPool,
    spool: &Spool,
    channels: &[String],
    alert: &Alert,
) -> Result<(), SpoolError> {
    let writing =
        answered(async { outbox::insert(&mut *db.acquire().await?, channels, alert).await });
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
    }
    kept
}
