//! Groups: what was given up for the same cause, counted.
//!
//! Counts are kept in `failure_groups`, for nobody counts a million rows while a page waits. They follow the rows within moments:
//! [`super::Counting`] does that; [`uncounted`] tells whether some wait for it.

use super::marks::{Mark, Status, status_of};
use crate::fingerprint::{Cause, Fingerprint};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// [`uncounted`] counts so far.
pub const UNCOUNTED_AT_MOST: u32 = 1_000;

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What its rows share.
    pub fingerprint: Fingerprint,
    /// The same, to be read.
    pub cause: Cause,
    /// The way of comparing, see [`crate::fingerprint::VERSION`].
    pub version: u16,
    /// Rows that are not handled; some may be replayed just now.
    pub open: u64,
    /// Rows.
    pub total: u64,
    /// When the first try of any failed.
    pub first_seen_at: DateTime<Utc>,
    /// When the latest was given up.
    pub last_seen_at: DateTime<Utc>,
    /// The latest; none where it failed for another cause since.
    pub example_id: Option<Uuid>,
    /// What operators said of it last; nothing where nobody said anything.
    pub mark: Option<Mark>,
    /// How often all of it was replayed, undone replays left out.
    pub replays: u64,
}

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// The group with the most open rows.
    #[default]
    Open,
    /// The group that was seen last.
    LastSeen,
}

/// Which of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Shown {
    /// Those with open rows that nobody marked as ignored or resolved; and what was resolved and failed again.
    #[default]
    Open,
    /// Those that are ignored.
    Ignored,
    /// Those that are resolved, and did not fail again since.
    Resolved,
    /// Those whose rows are all handled, too.
    All,
}

/// A place in the list: after this group, as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Its open rows, or the milliseconds since 1970 when it was seen last.
    key: i64,
    fingerprint: Fingerprint,
}

/// Which part of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// The last group of the page before; none for the first page.
    pub after: Option<After>,
    /// Groups at most.
    pub limit: u32,
}

const COLUMNS: &str = "select failure_groups.fingerprint, failure_groups.version, step, error_code, pattern, open_rows, all_rows, \
     first_seen_at, last_seen_at, \
     (select id from failed_order_archives as latest
      where latest.id = failure_groups.example_id and latest.fingerprint = failure_groups.fingerprint) as example_id, \
     (select count(*) from operations where on_group = lower(lpad(hex(failure_groups.fingerprint), 16, '0')) and kind = 'replay'
      and state <> 'undone') as replays, \
     mark.status, mark.assignee, mark.reason, mark.changed_by, mark.changed_at, mark.version as mark_version \
     from failure_groups left join group_marks as mark on mark.fingerprint = failure_groups.fingerprint where ";

/// One page.
///
/// # Errors
/// What the database says.
pub async fn page(
    db: &MySqlPool,
    shown: Shown,
    sort: Sort,
    paging: Paging,
) -> sqlx::Result<Vec<Group>> {
    let mut query = QueryBuilder::<MySql>::new(COLUMNS);
    query.push(match shown {
        Shown::Open => {
            "open_rows > 0 and (mark.status is null or mark.status = 'open' or (mark.status = 'resolved' and last_seen_at > mark.changed_at))"
        }
        Shown::Ignored => "mark.status = 'ignored'",
        Shown::Resolved => "mark.status = 'resolved' and last_seen_at <= mark.changed_at",
        Shown::All => "all_rows > 0",
    });
    if let Some(After { key, fingerprint }) = paging.after {
        match sort {
            Sort::Open => {
                query.push(" and open_rows <= ").push_bind(key);
                query.push(" and (open_rows < ").push_bind(key);
            }
            Sort::LastSeen => {
                let at = moment(key).naive_utc();
                query.push(" and last_seen_at <= ").push_bind(at);
                query.push(" and (last_seen_at < ").push_bind(at);
            }
        }
        query.push(" or failure_groups.fingerprint < ");
        query.push_bind(fingerprint.to_number()).push(")");
    }
    query.push(match sort {
        Sort::Open => " order by open_rows desc, failure_groups.fingerprint desc limit ",
        Sort::LastSeen => " order by last_seen_at desc, failure_groups.fingerprint desc limit ",
    });
    query.push_bind(paging.limit);
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    rows.into_iter().map(Group::try_from).collect()
}

/// One group, also where none of its rows is left.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, fingerprint: Fingerprint) -> sqlx::Result<Option<Group>> {
    let mut query = QueryBuilder::<MySql>::new(COLUMNS);
    query.push("failure_groups.fingerprint = ");
    query.push_bind(fingerprint.to_number());
    let row: Option<Row> = query.build_query_as().fetch_optional(db).await?;
    row.map(Group::try_from).transpose()
}

/// How many rows of the archive wait to be counted, [`UNCOUNTED_AT_MOST`] at most.
///
/// # Errors
/// What the database says.
pub async fn uncounted(db: &MySqlPool) -> sqlx::Result<u32> {
    let found = sqlx::query_scalar!(
        r#"select cast(count(*) as signed) as "found: i64" from (
               (select 1 from failed_order_archives where uncounted = 1 limit ?)
               union all
               (select 1 from failed_order_archives where fingerprint_version < ? limit ?)) waiting"#,
        UNCOUNTED_AT_MOST,
        crate::fingerprint::VERSION,
        UNCOUNTED_AT_MOST
    )
    .fetch_one(db)
    .await?;
    Ok(u32::try_from(found)
        .unwrap_or_default()
        .min(UNCOUNTED_AT_MOST))
}

/// Rows that are not handled, as the groups have counted them.
///
/// # Errors
/// What the database says.
pub async fn open_rows(db: &MySqlPool) -> sqlx::Result<u64> {
    let open: i64 = sqlx::query_scalar!(
        r#"select cast(coalesce(sum(open_rows), 0) as signed) as "open!: i64" from failure_groups where open_rows > 0"#
    )
    .fetch_one(db)
    .await?;
    Ok(u64::try_from(open).unwrap_or_default())
}

impl Group {
    /// What is to become of it: as it was marked, unless it was resolved and failed again since.
    #[must_use]
    pub fn status(&self) -> Status {
        self.mark.as_ref().map_or(Status::Open, |mark| {
            mark.status.now(mark.at, self.last_seen_at)
        })
    }

    /// Whether it was resolved, and failed again.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.mark
            .as_ref()
            .is_some_and(|mark| mark.status != self.status())
    }

    /// The place after this group in a list sorted so.
    #[must_use]
    pub fn after(&self, sort: Sort) -> After {
        After {
            key: match sort {
                Sort::Open => i64::try_from(self.open).unwrap_or(i64::MAX),
                Sort::LastSeen => self.last_seen_at.timestamp_millis(),
            },
            fingerprint: self.fingerprint,
        }
    }
}

/// What no column holds becomes the beginning of time: then nothing comes after it.
fn moment(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[derive(FromRow)]
struct Row {
    fingerprint: u64,
    version: u16,
    step: String,
    error_code: Option<String>,
    pattern: String,
    open_rows: i64,
    all_rows: i64,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    example_id: Option<Uuid>,
    replays: i64,
    status: Option<String>,
    assignee: Option<String>,
    reason: Option<String>,
    changed_by: Option<String>,
    changed_at: Option<DateTime<Utc>>,
    mark_version: Option<u32>,
}

impl TryFrom<Row> for Group {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let count = |rows| u64::try_from(rows).unwrap_or_default();
        let status = row.status.as_deref().map(status_of).transpose()?;
        let mark = status
            .zip(row.changed_at)
            // Whoever began to say something and did not: nothing was said.
            .filter(|_| row.mark_version != Some(0))
            .map(|(status, at)| Mark {
                status,
                assignee: row.assignee,
                reason: row.reason.unwrap_or_default(),
                by: row.changed_by.unwrap_or_default(),
                at,
                version: row.mark_version.unwrap_or_default(),
            });
        Ok(Self {
            fingerprint: Fingerprint::from_number(row.fingerprint),
            cause: Cause {
                step: row.step,
                code: row.error_code,
                pattern: row.pattern,
            },
            version: row.version,
            open: count(row.open_rows),
            total: count(row.all_rows),
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            example_id: row.example_id,
            mark,
            replays: count(row.replays),
        })
    }
}

/// Not the name of one of a few choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is none of {0}")]
pub struct NoChoice(&'static str);

impl Sort {
    /// Its name in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::LastSeen => "last_seen",
        }
    }
}

impl FromStr for Sort {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        let known = [Self::Open, Self::LastSeen];
        let found = known.into_iter().find(|one| one.as_str() == text);
        found.ok_or(NoChoice("open, last_seen"))
    }
}

impl Shown {
    /// Its name in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ignored => "ignored",
            Self::Resolved => "resolved",
            Self::All => "all",
        }
    }
}

impl FromStr for Shown {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        let known = [Self::Open, Self::Ignored, Self::Resolved, Self::All];
        let found = known.into_iter().find(|one| one.as_str() == text);
        found.ok_or(NoChoice("open, ignored, resolved, all"))
    }
}

impl fmt::Display for After {
    /// The key, a dot, the fingerprint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.fingerprint)
    }
}

impl FromStr for After {
    type Err = super::listing::NoPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, fingerprint) = text.split_once('.').ok_or(super::listing::NoPlace)?;
        let key: i64 = key.parse().map_err(|_| super::listing::NoPlace)?;
        let fingerprint = fingerprint.parse().map_err(|_| super::listing::NoPlace)?;
        // Of the years 1970 to 9999, or a count.
        if !(0..253_402_300_800_000).contains(&key) {
            return Err(super::listing::NoPlace);
        }
        Ok(Self { key, fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::listing::NoPlace;

    #[test]
    fn a_place_survives_an_address() {
        let after = After {
            key: 412,
            fingerprint: Fingerprint::from_number(7),
        };
        assert_eq!(after.to_string(), "412.0000000000000007");
        assert_eq!(after.to_string().parse(), Ok(after));
        for none in ["", "1", "1.7", "-1.0000000000000007", "x.0000000000000007"] {
            assert_eq!(none.parse::<After>(), Err(NoPlace), "{none}");
        }
        let too_large = format!("{}.0000000000000007", i64::MAX);
        assert_eq!(too_large.parse::<After>(), Err(NoPlace));
    }

    #[test]
    fn choices_are_read_by_their_names() {
        for sort in [Sort::Open, Sort::LastSeen] {
            assert_eq!(sort.as_str().parse(), Ok(sort));
        }
        for shown in [Shown::Open, Shown::Ignored, Shown::Resolved, Shown::All] {
            assert_eq!(shown.as_str().parse(), Ok(shown));
        }
        assert!("x".parse::<Sort>().is_err() && "".parse::<Shown>().is_err());
    }
}
