//! What happened in each of the last hours, counted once and kept in memory.
//!
//! A storm's hour has a million tries; nobody counts it while a page waits. One request at a time has what is missing counted, an hour
//! after the other, the latest first, and waits a moment for it; others, and the next ones, show what is known by then. An hour that
//! is over changes little (a row that is archived again leaves its old hour), so it is looked at again rarely.

use crate::App;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use compensation::report::{self, Hour, TriesKept};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tracing::error;

/// Hours that are shown.
pub(super) const SHOWN: i64 = 72;
/// Hours that still change: tries are written down a moment after they were made.
const LATEST: usize = 2;
/// How long one of the latest is good for.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// And one of the others.
const OLD_GOOD_FOR: Duration = Duration::from_mins(10);
/// How long a request waits for what it has counted.
const PATIENCE: Duration = Duration::from_millis(700);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Hours {
    known: Mutex<BTreeMap<DateTime<Utc>, Counted>>,
    /// Whoever has it counts.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    hour: Hour,
}

impl Hours {
    /// The last hours, the oldest first; nothing of those that are not counted yet.
    ///
    /// # Errors
    /// What the database says.
    pub async fn look(app: &App) -> sqlx::Result<Vec<(DateTime<Utc>, Option<Hour>)>> {
        let shown = until(report::now(&app.db).await?);
        let missing = app.hours.missing(&shown, Instant::now());
        if let Ok(turn) = app.hours.turn.clone().try_lock_owned()
            && !missing.is_empty()
        {
            let counting = app.clone();
            let work = tokio::spawn(async move {
                let _turn = turn;
                let counted = count(&counting, missing).await;
                if let Err(cause) = &counted {
                    error!("The last hours cannot be counted: {cause}");
                }
                counted
            });
            if let Ok(Ok(counted)) = timeout(PATIENCE, work).await {
                counted?;
            }
        }
        let known = app.hours.known();
        Ok(shown
            .into_iter()
            .rev()
            .map(|hour| (hour, known.get(&hour).map(|it| it.hour)))
            .collect())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<DateTime<Utc>, Counted>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of `shown`, the latest first, that are not known well enough. What is shown no more is forgotten.
    fn missing(&self, shown: &[DateTime<Utc>], now: Instant) -> Vec<DateTime<Utc>> {
        let mut known = self.known();
        if let Some(oldest) = shown.last() {
            *known = known.split_off(oldest);
        }
        let is_good = |(at, hour): (usize, &DateTime<Utc>)| {
            let good_for = if at < LATEST { GOOD_FOR } else { OLD_GOOD_FOR };
            known
                .get(hour)
                .is_some_and(|it| now.saturating_duration_since(it.at) < good_for)
        };
        let missing = shown.iter().enumerate().filter(|it| !is_good(*it));
        missing.map(|(_, hour)| *hour).collect()
    }
}

/// The hour of `now` and those before it, the latest first.
fn until(now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let begun = now
        .with_minute(0)
        .and_then(|it| it.with_second(0))
        .and_then(|it| it.with_nanosecond(0))
        .unwrap_or(now);
    (0..SHOWN)
        .map(|ago| begun - TimeDelta::hours(ago))
        .collect()
}

async fn count(app: &App, hours: Vec<DateTime<Utc>>) -> sqlx::Result<()> {
    let kept = if app.tries_in_table {
        TriesKept::InTable
    } else {
        TriesKept::Elsewhere
    };
    for begin in hours {
        let at = Instant::now();
        let hour = report::hour(&app.db, begin, begin + TimeDelta::hours(1), kept).await?;
        app.hours.known().insert(begin, Counted { at, hour });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_looked_at_rarely_and_what_is_over_is_forgotten() {
        let hours = Hours::default();
        let now: DateTime<Utc> = "2026-07-03T10:20:30Z".parse().expect("a time");
        let shown = until(now);
        assert_eq!(shown.len(), 72);
        assert_eq!(shown[0].to_rfc3339(), "2026-07-03T10:00:00+00:00");
        assert_eq!(shown[71].to_rfc3339(), "2026-06-30T11:00:00+00:00");
        let begun = Instant::now();
        assert_eq!(hours.missing(&shown, begun), shown);
        for hour in &shown {
            let counted = Counted {
                at: begun,
                hour: Hour::default(),
            };
            hours.known().insert(*hour, counted);
        }
        assert!(hours.missing(&shown, begun).is_empty());
        assert_eq!(hours.missing(&shown, begun + GOOD_FOR), shown[..LATEST]);
        assert_eq!(hours.missing(&shown, begun + OLD_GOOD_FOR), shown);
        let next = until(now + TimeDelta::hours(1));
        assert_eq!(hours.missing(&next, begun), next[..1]);
        assert_eq!(hours.known().len(), 71);
    }
}
