//! What operators ask for: a notice sent once more, a test, a channel switched on again. Meant for the transaction that writes down who
//! asked. The courier does it, at its next look; what was asked for is sent also while the channel is off, but not while it rests.

use super::write;
use crate::alerts::{Alert, Notice, Severity, Status};
use sqlx::{MySqlConnection, MySqlExecutor};
use uuid::Uuid;

/// The kind of a test.
const TEST: &str = "test";
/// What is due later than this after a channel was switched on is due by itself.
const HASTENED_AT_MOST: u32 = 500;

/// Why a notice is not sent once more.
#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    /// Nobody knows it.
    #[error("there is no such notice")]
    NotFound,
    /// A courier is at it.
    #[error("it is being sent right now")]
    InHand,
    /// It says that something stands which is over: a receiver would open it once more, and nothing would close it.
    #[error("what it tells of is over: have its end sent instead")]
    Over,
    /// What the database says.
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

/// Has the notice sent on the channel now, whatever became of it there: delivered, given up, digested or waiting. Where it was never
/// meant for that channel it is from now on. The id stays, so a receiver that has it knows.
///
/// # Errors
/// [`RedeliverError`]
pub async fn redeliver(
    db: &mut MySqlConnection,
    id: Uuid,
    channel: &str,
    who: &str,
) -> Result<(), RedeliverError> {
    lock(&mut *db, channel).await?;
    if stands_no_more(&mut *db, id).await? {
        return Err(RedeliverError::Over);
    }
    let row = sqlx::query!(
        r#"select state = 'pending' and claim is not null and due_at > utc_timestamp(3) as "in_hand!: bool"
           from alert_outbox where id = ? and channel = ? for update"#,
        id,
        channel
    )
    .fetch_optional(&mut *db)
    .await?;
    match row {
        Some(row) if row.in_hand => Err(RedeliverError::InHand),
        Some(_) => Ok(again(db, id, channel, who).await?),
        None if elsewhere(db, id, channel, who).await? => Ok(()),
        None => Err(RedeliverError::NotFound),
    }
}

/// Whether the notice says that an incident stands, and it is over: [`redeliver`] refuses it. What is only good to know is over once it
/// was told.
///
/// # Errors
/// What the database says.
pub async fn stands_no_more(db: impl MySqlExecutor<'_>, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from alert_outbox told join incidents incident on incident.id = told.incident_id
                         where told.id = ? and told.status <> 'resolved' and incident.state = 'resolved'
                           and incident.severity <> 'info') as "over!: bool""#,
        id
    )
    .fetch_one(db)
    .await
}

async fn again(db: &mut MySqlConnection, id: Uuid, channel: &str, who: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_outbox set state = 'pending', due_at = utc_timestamp(3), claim = null, asked_by = left(?, 64)
         where id = ? and channel = ?",
        who,
        id,
        channel
    )
    .execute(db)
    .await
    .map(drop)
}

/// Where no channel was configured it moves to this one; otherwise this one has it too. Whether there is such a notice.
async fn elsewhere(
    db: &mut MySqlConnection,
    id: Uuid,
    channel: &str,
    who: &str,
) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "update alert_outbox set channel = ?, state = 'pending', due_at = utc_timestamp(3), last_error = null, asked_by = left(?, 64)
         where id = ? and channel = ''",
        channel,
        who,
        id
    )
    .execute(&mut *db)
    .await?;
    if moved.rows_affected() > 0 {
        return Ok(true);
    }
    let copied = sqlx::query!(
        "insert into alert_outbox
         (id, channel, kind, severity, subject, title, body, state, incident_id, thread, sequence, status, attempts, due_at, created_at,
          asked_by)
         select id, ?, kind, severity, subject, title, body, 'pending', incident_id, thread, sequence, status, 0, utc_timestamp(3), created_at,
                left(?, 64)
         from alert_outbox where id = ? limit 1",
        channel,
        who,
        id
    )
    .execute(db)
    .await?;
    Ok(copied.rows_affected() > 0)
}

/// Has a test sent on the channel; its id. Who asked is written down here and does not leave the house.
///
/// # Errors
/// What the database says.
pub async fn send_test(db: &mut MySqlConnection, channel: &str, who: &str) -> sqlx::Result<Uuid> {
    let title = format!("This is a test of {channel}");
    let alert = Alert::new(TEST, Severity::Info, channel, &title)
        .text("Nothing happened: somebody wanted to know whether alerts arrive here.");
    let mut notice = Notice::of(alert);
    notice.status = Status::Test;
    lock(&mut *db, channel).await?;
    write::insert_notice(&mut *db, &[channel.to_owned()], &notice).await?;
    again(db, notice.id(), channel, who).await?;
    Ok(notice.id())
}

/// Switches a channel on that had been switched off, or ends its rest: what waits is due now. Whether it was off or rested.
///
/// # Errors
/// What the database says.
pub async fn switch_on(db: &mut MySqlConnection, channel: &str) -> sqlx::Result<bool> {
    let switched = sqlx::query!(
        "update alert_channels set off_at = null, off_why = null, rests_until = null, failures = 0, returned = 1
         where name = ? and (off_at is not null or rests_until > utc_timestamp(3))",
        channel
    )
    .execute(&mut *db)
    .await?;
    if switched.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "update alert_outbox set due_at = utc_timestamp(3)
         where state = 'pending' and channel = ? and due_at > utc_timestamp(3) and claim is null
         order by due_at limit ?",
        channel,
        HASTENED_AT_MOST
    )
    .execute(db)
    .await?;
    Ok(true)
}

/// As everybody does who changes what waits on a channel.
async fn lock(db: &mut MySqlConnection, channel: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "select name from alert_channels where name = ? for update",
        channel
    )
    .fetch_optional(db)
    .await
    .map(drop)
}
