//! Pages of the table of tries: of one order, or of all, the latest first.
//!
//! Of all they run along the index of times, which has lane and outcome too, and look at a bounded number of entries (and at the rest of
//! the last one's millisecond): where few match, a page ends early and says from where one can go on.

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::MySqlPool;
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Entries of the index that one page looks at.
const LOOKED_AT: usize = 5_000;

/// Which tries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this order alone.
    pub order_id: Option<Uuid>,
    /// In this lane, by its stored name.
    pub lane: Option<String>,
    /// Whether they failed.
    pub failed: Option<bool>,
    /// Begun at this time or earlier.
    pub until: Option<DateTime<Utc>>,
}

/// Where a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    started_at: DateTime<Utc>,
    id: u64,
}

/// One try, as it was written down.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its place in the log.
    pub id: u64,
    /// The transaction that was tried.
    pub gid: Uuid,
    /// Whose it is.
    pub order_id: Uuid,
    /// 0, or the replay it was.
    pub generation: u32,
    /// Of this generation.
    pub attempt: u32,
    /// Where it was made, by its stored name.
    pub lane: String,
    /// `failed`, or how the work was settled.
    pub outcome: String,
    /// What went wrong.
    pub error: Option<String>,
    /// By the clock of who made it.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: u32,
    /// How long until the next one.
    pub next_after_ms: Option<i64>,
    /// Who made it.
    pub worker: String,
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// The latest first.
    pub rows: Vec<Logged>,
    /// Where the next page begins, unless nothing is left.
    pub next: Option<Place>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.started_at.timestamp_millis(), self.id)
    }
}

/// Not a place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no place in the log of tries")]
pub struct BadPlace;

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (millis, id) = text.split_once('.').ok_or(BadPlace)?;
        let millis = millis.parse().map_err(|_| BadPlace)?;
        Ok(Self {
            started_at: DateTime::from_timestamp_millis(millis)
                .filter(|at| *at >= DateTime::UNIX_EPOCH && *at < far())
                .ok_or(BadPlace)?,
            id: id.parse().map_err(|_| BadPlace)?,
        })
    }
}

/// After all there will be: the largest time the column takes.
fn far() -> DateTime<Utc> {
    NaiveDateTime::parse_from_str("9999-12-31 23:59:59", "%Y-%m-%d %H:%M:%S")
        .unwrap_or_default()
        .and_utc()
}

/// An entry of the index.
struct Entry {
    place: Place,
    matches: bool,
}

/// One page of at most `limit` tries after `after`.
///
/// # Errors
/// What the database says.
pub async fn page(
    db: &MySqlPool,
    filter: &Filter,
    after: Option<Place>,
    limit: usize,
) -> sqlx::Result<Page> {
    let from = after.unwrap_or_else(|| Place {
        started_at: filter.until.unwrap_or_else(far),
        id: u64::MAX,
    });
    let mut entries = match filter.order_id {
        Some(order) => of_order(db, filter, order, from).await?,
        None => of_all(db, filter, from).await?,
    };
    let looked_at_all = entries.len() < LOOKED_AT;
    if !looked_at_all && filter.order_id.is_none() {
        make_whole(db, filter, from, &mut entries).await?;
    }
    let last = entries.last().map(|entry| entry.place);
    let mut found: Vec<Place> = entries
        .into_iter()
        .filter(|entry| entry.matches)
        .map(|entry| entry.place)
        .take(limit + 1)
        .collect();
    let next = if found.len() > limit {
        found.truncate(limit);
        found.last().copied()
    } else {
        last.filter(|_| !looked_at_all)
    };
    Ok(Page {
        rows: rows(db, &found).await?,
        next,
    })
}

fn matches(filter: &Filter, lane: &str, outcome: &str) -> bool {
    filter.lane.as_deref().is_none_or(|wanted| wanted == lane)
        && filter
            .failed
            .is_none_or(|failed| failed == (outcome == crate::attempt::FAILED))
}

async fn of_all(db: &MySqlPool, filter: &Filter, from: Place) -> sqlx::Result<Vec<Entry>> {
    let entries = sqlx::query!(
        r#"select id as "id: u64", started_at as "started_at: DateTime<Utc>", lane, outcome
           from compensation_logs force index (compensation_logs_by_time)
           where started_at <= ? and (started_at < ? or id < ?)
           order by started_at desc, lane desc, outcome desc, id desc limit ?"#,
        // As DATETIME: a TIMESTAMP parameter ends in 2038.
        from.started_at.naive_utc(),
        from.started_at.naive_utc(),
        from.id,
        u32::try_from(LOOKED_AT).unwrap_or(u32::MAX)
    )
    .fetch_all(db)
    .await?;
    let mut entries: Vec<Entry> = entries
        .into_iter()
        .map(|it| Entry {
            matches: matches(filter, &it.lane, &it.outcome),
            place: Place {
                started_at: it.started_at,
                id: it.id,
            },
        })
        .collect();
    // Within one millisecond the index goes by lane and outcome; pages go by id.
    entries.sort_by_key(|it| std::cmp::Reverse((it.place.started_at, it.place.id)));
    Ok(entries)
}

/// The index cuts a millisecond by lane and outcome, pages go by id: the millisecond of the cut is read whole.
async fn make_whole(
    db: &MySqlPool,
    filter: &Filter,
    from: Place,
    entries: &mut Vec<Entry>,
) -> sqlx::Result<()> {
    let Some(cut) = entries.last().map(|it| it.place.started_at) else {
        return Ok(());
    };
    let below = if cut == from.started_at {
        from.id
    } else {
        u64::MAX
    };
    let whole = sqlx::query!(
        r#"select id as "id: u64", lane, outcome from compensation_logs force index (compensation_logs_by_time)
           where started_at = ? and id < ? order by id desc"#,
        cut.naive_utc(),
        below
    )
    .fetch_all(db)
    .await?;
    entries.retain(|it| it.place.started_at != cut);
    entries.extend(whole.into_iter().map(|it| Entry {
        matches: matches(filter, &it.lane, &it.outcome),
        place: Place {
            started_at: cut,
            id: it.id,
        },
    }));
    Ok(())
}

async fn of_order(
    db: &MySqlPool,
    filter: &Filter,
    order: Uuid,
    from: Place,
) -> sqlx::Result<Vec<Entry>> {
    let entries = sqlx::query!(
        r#"select id as "id: u64", started_at as "started_at: DateTime<Utc>", lane, outcome
           from compensation_logs force index (compensation_logs_by_order)
           where order_id = ? and started_at <= ? and (started_at < ? or id < ?)
           order by started_at desc, id desc limit ?"#,
        order,
        // As DATETIME: a TIMESTAMP parameter ends in 2038.
        from.started_at.naive_utc(),
        from.started_at.naive_utc(),
        from.id,
        u32::try_from(LOOKED_AT).unwrap_or(u32::MAX)
    )
    .fetch_all(db)
    .await?;
    Ok(entries
        .into_iter()
        .map(|it| Entry {
            matches: matches(filter, &it.lane, &it.outcome),
            place: Place {
                started_at: it.started_at,
                id: it.id,
            },
        })
        .collect())
}

async fn rows(db: &MySqlPool, found: &[Place]) -> sqlx::Result<Vec<Logged>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<u64> = found.iter().map(|place| place.id).collect();
    let ids = serde_json::to_string(&ids)
        .unwrap_or_else(|cause| unreachable!("numbers are plain data: {cause}"));
    sqlx::query_as!(
        Logged,
        r#"select l.id as "id!: u64", l.gid as "gid!: Uuid", l.order_id as "order_id!: Uuid", l.generation as "generation!: u32",
                  l.attempt as "attempt!: u32", l.lane as "lane!", l.outcome as "outcome!", l.error,
                  l.started_at as "started_at!: DateTime<Utc>", l.duration_ms as "duration_ms!: u32", l.next_after_ms,
                  l.worker as "worker!"
           from json_table(?, '$[*]' columns (id bigint path '$' error on error)) as found
           straight_join compensation_logs as l on l.id = found.id
           order by l.started_at desc, l.id desc"#,
        ids
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_nothing_else_is_one() {
        let place = Place {
            started_at: DateTime::from_timestamp_millis(1_700_000_000_123).expect("a time"),
            id: 42,
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in [
            "",
            "1",
            "1.",
            ".1",
            "x.1",
            "1.x",
            "-1.1",
            "9999999999999999.1",
        ] {
            assert_eq!(wrong.parse::<Place>(), Err(BadPlace), "{wrong}");
        }
    }
}
