//! Slows down whoever guesses operators' passwords: five tries, and each further one waits twice as long as the one before, whoever
//! asks and from wherever. An hour is the longest, so nobody is shut out for good; the right password and an admin forget it all.
//!
//! A try counts before its password is looked at, so that a hundred at once are a hundred. Tries of operators are in MySQL: they hold
//! for every process, and after a restart. Names nobody has are in memory, in a bounded number and by the same rule: waiting alone tells
//! little of which names there are, though more than nothing, for those waits are a process's own and end with it.

use crate::OperatorId;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, MySqlConnection};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// So many tries have no wait between them.
const FREE: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// After so long without a try, all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// Unknown names remembered at most, under 4 MB.
const NAMES_AT_MOST: usize = 10_000;

/// What is remembered of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tries {
    count: u32,
    tried_at: DateTime<Utc>,
    waits_until: DateTime<Utc>,
}

impl Tries {
    /// What is remembered with one try more.
    ///
    /// # Errors
    /// How long to wait, when it comes too early: that is no try.
    fn one_more(before: Option<Self>, now: DateTime<Utc>) -> Result<Self, Duration> {
        let before = before.filter(|it| now - it.tried_at < delta(FORGOTTEN_AFTER));
        let count = before.map_or(0, |it| it.count).saturating_add(1);
        if let Some(before) = before
            && before.waits_until > now
        {
            return Err((before.waits_until - now).to_std().unwrap_or_default());
        }
        Ok(Self {
            count,
            tried_at: now,
            waits_until: now + delta(wait_after(count)),
        })
    }
}

/// How long the next try waits after so many.
fn wait_after(tries: u32) -> Duration {
    let Some(doublings) = tries.checked_sub(FREE) else {
        return Duration::ZERO;
    };
    FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(LONGEST_WAIT)
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}

/// Whether a try may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// It is counted.
    Made,
    /// Too early, by so long; it is not counted.
    Wait(Duration),
}

impl From<Result<Tries, Duration>> for Try {
    fn from(tries: Result<Tries, Duration>) -> Self {
        tries.map_or_else(Self::Wait, |_| Self::Made)
    }
}

/// Counts a try to log in as an operator. Locks the operator's row of tries for the length of one short transaction.
///
/// # Errors
/// What the database says; nothing is counted then.
pub async fn begin(db: &mut MySqlConnection, operator: OperatorId) -> sqlx::Result<Try> {
    let mut tx = db.begin().await?;
    // The row is there before it is read, and locked by that: who only found it there (`insert ignore`) would share its lock with others
    // who do, and wait for them.
    sqlx::query!(
        "insert into operator_lock_outs (operator_id, tries, tried_at, waits_until)
         values (?, 0, utc_timestamp(3), utc_timestamp(3)) on duplicate key update tries = tries",
        operator
    )
    .execute(&mut *tx)
    .await?;
    let row = sqlx::query!(
        r#"select tries as "tries: u32", tried_at as "tried_at: DateTime<Utc>", waits_until as "waits_until: DateTime<Utc>",
                  utc_timestamp(3) as "now!: DateTime<Utc>"
           from operator_lock_outs where operator_id = ? for update"#,
        operator
    )
    .fetch_one(&mut *tx)
    .await?;
    let before = Tries {
        count: row.tries,
        tried_at: row.tried_at,
        waits_until: row.waits_until,
    };
    let tries = Tries::one_more(Some(before), row.now);
    if let Ok(tries) = tries {
        sqlx::query!(
            "update operator_lock_outs set tries = ?, tried_at = ?, waits_until = ? where operator_id = ?",
            tries.count,
            tries.tried_at,
            tries.waits_until,
            operator
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(tries.into())
}

/// Forgets an operator's tries: the password was right, or an admin says so. Whether there was anything to wait for.
///
/// # Errors
/// What the database says.
pub async fn forget(db: &mut MySqlConnection, operator: OperatorId) -> sqlx::Result<bool> {
    let waited = sqlx::query_scalar!(
        r#"select waits_until > utc_timestamp(3) as "waits!: bool" from operator_lock_outs where operator_id = ? for update"#,
        operator
    )
    .fetch_optional(&mut *db)
    .await?;
    if waited.is_some() {
        sqlx::query!(
            "delete from operator_lock_outs where operator_id = ?",
            operator
        )
        .execute(db)
        .await?;
    }
    Ok(waited == Some(true))
}

/// Operators who have to wait now, and until when.
///
/// # Errors
/// What the database says.
pub async fn waiting(db: &mut MySqlConnection) -> sqlx::Result<HashMap<OperatorId, DateTime<Utc>>> {
    let rows = sqlx::query!(
        r#"select operator_id as "operator_id: OperatorId", waits_until as "waits_until: DateTime<Utc>"
           from operator_lock_outs where waits_until > utc_timestamp(3)"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.operator_id, row.waits_until))
        .collect())
}

/// Tries to log in under names that nobody has.
#[derive(Debug, Default)]
pub struct UnknownNames(Mutex<HashMap<String, Tries>>);

impl UnknownNames {
    /// Counts a try. When there are too many names, the one tried longest ago is forgotten.
    pub fn begin(&self, name: &str, now: DateTime<Utc>) -> Try {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = Tries::one_more(names.get(name).copied(), now);
        if let Ok(tries) = tries {
            if names.len() >= NAMES_AT_MOST && !names.contains_key(name) {
                make_room(&mut names);
            }
            names.insert(name.to_owned(), tries);
        }
        tries.into()
    }
}

fn make_room(names: &mut HashMap<String, Tries>) {
    let oldest = names.iter().min_by_key(|(_, tries)| tries.tried_at);
    if let Some(name) = oldest.map(|(name, _)| name.clone()) {
        names.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
    }

    /// Breaks when the waits do not grow, have no end, or the first five have one.
    #[test]
    fn after_five_tries_each_waits_twice_as_long_up_to_an_hour() {
        let waits: Vec<u64> = (1..=14).map(|tries| wait_after(tries).as_secs()).collect();
        assert_eq!(
            waits,
            [
                0, 0, 0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600
            ]
        );
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    /// Breaks when a try that came too early counts: then whoever goes on asking shuts an operator out for ever.
    #[test]
    fn who_comes_too_early_makes_nobody_wait_longer() {
        let names = UnknownNames::default();
        for second in 0..5 {
            assert_eq!(names.begin("ann", at(second)), Try::Made);
        }
        for second in 5..64 {
            assert!(matches!(names.begin("ann", at(second)), Try::Wait(_)));
        }
        assert_eq!(
            names.begin("ann", at(44)),
            Try::Wait(Duration::from_secs(20))
        );
        assert_eq!(names.begin("bob", at(44)), Try::Made, "others do not wait");
        assert_eq!(names.begin("ann", at(64)), Try::Made);
        assert_eq!(
            names.begin("ann", at(65)),
            Try::Wait(Duration::from_secs(119))
        );
    }

    #[test]
    fn after_a_day_it_is_forgotten() {
        let names = UnknownNames::default();
        for second in 0..5 {
            names.begin("ann", at(second));
        }
        let next_day = 4 + 24 * 60 * 60;
        for second in 0..5 {
            assert_eq!(names.begin("ann", at(next_day + second)), Try::Made);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let names = UnknownNames::default();
        for name in 0..=NAMES_AT_MOST {
            let second = i64::try_from(name).expect("small");
            names.begin(&name.to_string(), at(second));
        }
        let names = names.0.lock().expect("no panic");
        assert_eq!(names.len(), NAMES_AT_MOST);
        assert!(!names.contains_key("0"));
    }
}
