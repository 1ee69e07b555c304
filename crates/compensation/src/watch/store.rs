//! What people were told of: the table `troubles`. Its row and the alert are one transaction, so of many watchers one tells.

use super::{Change, Figure, bounds::QUIET_FOR};
use crate::alerts::{Alert, Severity, record};
use chrono::{DateTime, Utc};
use sqlx::MySqlPool;
use uuid::Uuid;

/// The alerts' kind.
const KIND: &str = "figure";

/// A figure that is beyond its bound, and since when people know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its stored name.
    pub figure: String,
    /// What people were told.
    pub said: String,
    /// When.
    pub since: DateTime<Utc>,
}

/// What is not over, the oldest first.
///
/// # Errors
/// What MySQL says.
pub async fn troubles(db: &MySqlPool) -> sqlx::Result<Vec<Trouble>> {
    sqlx::query_as!(
        Trouble,
        r#"select figure, said, since as "since: DateTime<Utc>" from troubles order by since, figure"#
    )
    .fetch_all(db)
    .await
}

/// Tells people what is new of it. Repeats, here or in another process, tell nothing.
///
/// # Errors
/// What MySQL says. The next look says the same again.
pub async fn tell(db: &MySqlPool, changes: &[Change]) -> sqlx::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let known = troubles(db).await?;
    let is_known = |figure: &Figure| known.iter().any(|known| known.figure == figure.as_str());
    for change in changes {
        match change {
            Change::Trouble(figure, _) if is_known(figure) => still(db, *figure).await?,
            Change::Trouble(figure, said) => begin(db, *figure, said).await?,
            Change::Over(figure) if is_known(figure) => end(db, *figure).await?,
            Change::Over(_) => {}
        }
    }
    Ok(())
}

async fn begin(db: &MySqlPool, figure: Figure, said: &str) -> sqlx::Result<()> {
    let occasion = Uuid::now_v7();
    let mut tx = db.begin().await?;
    let inserted = sqlx::query!(
        "insert into troubles (figure, occasion, said, since, seen_at) values (?, ?, left(?, 200), utc_timestamp(3), utc_timestamp(3))",
        figure.as_str(),
        occasion,
        said
    )
    .execute(&mut *tx)
    .await;
    match inserted {
        // Another watcher was faster.
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => return Ok(()),
        other => other?,
    };
    let alert = Alert::new(KIND, figure.severity(), figure.as_str(), said)
        .text(figure.advice())
        .once(&format!("{occasion}: begun"));
    record(&mut tx, &alert).await?;
    tx.commit().await
}

/// It is seen again: whoever sees less of it does not say that it is over.
async fn still(db: &MySqlPool, figure: Figure) -> sqlx::Result<()> {
    sqlx::query!(
        "update troubles set seen_at = utc_timestamp(3) where figure = ?",
        figure.as_str()
    )
    .execute(db)
    .await
    .map(drop)
}

async fn end(db: &MySqlPool, figure: Figure) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    let row = sqlx::query!(
        r#"select occasion as "occasion: Uuid", said, timestampdiff(second, since, utc_timestamp(3)) as "lasted_s!: i64"
           from troubles
           where figure = ? and (seen_at is null or seen_at <= utc_timestamp(3) - interval ? second) for update"#,
        figure.as_str(),
        QUIET_FOR.as_secs()
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(());
    };
    sqlx::query!("delete from troubles where figure = ?", figure.as_str())
        .execute(&mut *tx)
        .await?;
    let title = format!("{figure} is within its bound again");
    let alert = Alert::new(KIND, Severity::Info, figure.as_str(), &title)
        .text(format!("It was said: {}", row.said))
        .fact("lasted", format!("{} min", (row.lasted_s + 59) / 60))
        .once(&format!("{}: over", row.occasion))
        .resolves();
    record(&mut tx, &alert).await?;
    tx.commit().await
}
