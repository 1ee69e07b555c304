//! Whether what an incident tells of is over, where no alert says so: the archive and the retry queue know.

use super::ledger::Incident;
use crate::fingerprint::Fingerprint;
use chrono::TimeDelta;
use sqlx::MySqlConnection;
use uuid::Uuid;

/// How often it is looked.
pub(super) const EVERY: TimeDelta = TimeDelta::seconds(5);
/// What alerts of archived rows begin their group's key with; their cause's fingerprint follows.
pub(super) const ARCHIVED: &str = "archived/";
/// The kinds of alerts about one row of the archive, and about work that is still open.
const STUCK: &str = "transaction_stuck";
const DEAD_LETTER: &str = "dead_letter";
const NOT_ARCHIVED: &str = "archive_failed";

/// Where it stands whether it is over.
enum Told {
    /// All archived rows of a cause.
    Cause(Fingerprint),
    /// The archived rows its alerts are about.
    Rows,
    /// The work its alerts are about.
    Work,
}

/// Whether it ends by itself when nothing is left to do.
pub(super) fn is_looked_for(it: &Incident) -> bool {
    told_by(it).is_some()
}

fn told_by(it: &Incident) -> Option<Told> {
    match it.kind.as_str() {
        STUCK => Some(Told::Rows),
        DEAD_LETTER | NOT_ARCHIVED => Some(Told::Work),
        _ => {
            let fingerprint = it.group_key.strip_prefix(ARCHIVED)?.parse().ok()?;
            Some(Told::Cause(fingerprint))
        }
    }
}

/// How it ended, in words; nothing while something is left to do.
pub(super) async fn how(db: &mut MySqlConnection, it: &Incident) -> sqlx::Result<Option<String>> {
    let ends = match told_by(it) {
        None => return Ok(None),
        Some(Told::Cause(cause)) if cause_is_open(db, cause).await? => return Ok(None),
        Some(Told::Rows) if a_row_is_open(db, it.id).await? => return Ok(None),
        Some(Told::Work) if work_is_open(db, it.id).await? => return Ok(None),
        Some(Told::Cause(_) | Told::Rows) => ends_of_rows(db, it.id).await?,
        Some(Told::Work) => ends_of_work(db, it.id).await?,
    };
    Ok(Some(in_words(ends)))
}

async fn cause_is_open(db: &mut MySqlConnection, cause: Fingerprint) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from failed_order_archives where fingerprint = ? and standing < 2) as "open!: bool""#,
        cause.to_number()
    )
    .fetch_one(db)
    .await
}

/// The latest alerts first: what is open still came last.
async fn a_row_is_open(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<bool> {
    let open = sqlx::query_scalar!(
        r#"select 1 as "open!: i64" from alerts
           join failed_order_archives archived on archived.id = unhex(replace(alerts.subject, '-', '')) and archived.handled = 0
           where alerts.incident_id = ? order by alerts.created_at desc limit 1"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(open.is_some())
}

/// The latest alerts first, as above.
async fn work_is_open(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<bool> {
    let open = sqlx::query_scalar!(
        r#"select 1 as "open!: i64" from alerts
           join compensations work on work.order_id = unhex(replace(alerts.subject, '-', ''))
                                  and work.state in ('scheduled', 'dead', 'archiving')
           where alerts.incident_id = ? order by alerts.created_at desc limit 1"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(open.is_some())
}

/// How the archived rows it was about ended, each counted once, and who had that done: the last operation that did so.
async fn ends_of_rows(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<Vec<(String, u64)>> {
    let rows = sqlx::query!(
        r#"select how as "how!: String", cast(count(*) as unsigned) as "count!: u64",
                  cast(count(who) as unsigned) as "of_somebody!: u64", cast(count(distinct who) as unsigned) as "people!: u64",
                  min(who) as "who: String" from (
               select distinct archived.id, if(archived.handled, coalesce(archived.resolution, 'handled'), 'elsewhere') as how,
                      (select operation.asked_by from operation_items item join operations operation on operation.id = item.operation_id
                       where item.archive_id = archived.id and archived.handled and item.state = archived.resolution
                       order by item.created_at desc limit 1) as who
               from alerts join failed_order_archives archived on archived.id = unhex(replace(alerts.subject, '-', ''))
               where alerts.incident_id = ?) ended
           group by how"#,
        id
    )
    .fetch_all(db)
    .await?;
    let ends = rows.into_iter().map(|row| {
        let how = of_row(&row.how);
        let done = how.strip_suffix(" by hand").unwrap_or(&how);
        let how = match (row.people, row.who) {
            // What nobody asked for is nobody's.
            _ if row.of_somebody < row.count => how,
            (1, Some(who)) => format!("{done} by {who}"),
            (people, _) => format!("{done} by {people} people"),
        };
        (how, row.count)
    });
    Ok(ends.collect())
}

/// How the work it was about ended, each order counted once.
async fn ends_of_work(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<Vec<(String, u64)>> {
    let rows = sqlx::query!(
        r#"select how as "how!: String", cast(count(*) as unsigned) as "count!: u64" from (
               select work.order_id, if(max(work.state <> 'closed'), 'given up', 'settled by a later try') as how
               from alerts join compensations work on work.order_id = unhex(replace(alerts.subject, '-', ''))
               where alerts.incident_id = ? group by work.order_id) ended
           group by how"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.how, row.count)).collect())
}

/// A resolution of the archive, in words.
fn of_row(resolution: &str) -> String {
    match resolution {
        "confirmed" => "replayed",
        "rejected" => "refused when replayed",
        "discarded" => "discarded by hand",
        "elsewhere" => "failed again for another cause",
        other => other,
    }
    .to_owned()
}

/// `412 of 412 replayed`, or `7 replayed, 5 discarded by hand`.
fn in_words(mut ends: Vec<(String, u64)>) -> String {
    ends.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    match ends.as_slice() {
        [] => "nothing of it is left".to_owned(),
        [(how, count)] => format!("{count} of {count} {how}"),
        some => {
            let parts: Vec<_> = some
                .iter()
                .map(|(how, count)| format!("{count} {how}"))
                .collect();
            parts.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_ended_is_said_with_counts() {
        let said = |ends: &[(&str, u64)]| {
            in_words(
                ends.iter()
                    .map(|(how, count)| (of_row(how), *count))
                    .collect(),
            )
        };
        assert_eq!(said(&[("confirmed", 412)]), "412 of 412 replayed");
        assert_eq!(
            said(&[("discarded", 5), ("confirmed", 7)]),
            "7 replayed, 5 discarded by hand"
        );
        assert_eq!(said(&[]), "nothing of it is left");
    }
}
