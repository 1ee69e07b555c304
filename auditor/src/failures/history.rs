//! The histories of orders that failed: every try, told the same wherever it is kept.

use super::Latest;
use crate::{checks::Check, verdict::Tally};
use futures::TryStreamExt;
use serde::Deserialize;
use sqlx::MySqlConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// Every try of an order, oldest first, each as it is stored. What cannot be read has none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct History(Vec<serde_json::Value>);

/// What is looked at of a try.
#[derive(Debug, Deserialize)]
struct Try {
    generation: i32,
    attempt: u32,
    lane: String,
}

/// Not a try of the order: how it was given up.
const ARCHIVE: &str = "archive";

impl History {
    /// Reads one.
    pub fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_default())
    }

    /// How many entries it has.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether it begins with all of `before`.
    pub fn goes_on_from(&self, before: &Self) -> bool {
        !self.0.is_empty() && self.0.starts_with(&before.0)
    }

    /// What is wrong with it as that of an archived order whose row counts `attempts` up to `generation`.
    pub fn complaint(&self, attempts: i32, generation: i32, still_open: bool) -> Option<String> {
        let tries: Option<Vec<Try>> = self
            .0
            .iter()
            .map(|entry| Try::deserialize(entry).ok())
            .collect();
        let Some((tries, last)) = tries.and_then(|tries| {
            let last = tries.last()?.lane == ARCHIVE;
            Some((tries, last))
        }) else {
            return Some("it is empty, or cannot be read".to_owned());
        };
        let work: Vec<&Try> = tries.iter().filter(|entry| entry.lane != ARCHIVE).collect();
        if i32::try_from(work.len()) != Ok(attempts) {
            return Some(format!(
                "it has {} tries, {attempts} are counted",
                work.len()
            ));
        }
        if work.first().is_none_or(|first| first.attempt != 1) {
            return Some("it does not begin with the first try".to_owned());
        }
        // What is held is tried again from 1 in its own generation.
        let rises = work.windows(2).all(|pair| {
            let (one, next) = (pair[0], pair[1]);
            next.attempt == 1 || (next.generation == one.generation && next.attempt > one.attempt)
        });
        if !rises {
            return Some("its tries are not in order".to_owned());
        }
        // Once a replay settled it, the row still names the generation that failed.
        let beyond = work.last().is_some_and(|last| last.generation > generation);
        if still_open && (beyond || !last) {
            return Some(format!(
                "it does not end with generation {generation} being given up"
            ));
        }
        None
    }
}

/// The table of tries has each try of an order, or, where tries are written to a file alone, none.
pub async fn check_logs(
    db: &mut MySqlConnection,
    latest: &HashMap<Uuid, Latest>,
    tally: &mut Tally,
) -> sqlx::Result<()> {
    let mut rows = sqlx::query_as::<_, (Uuid, i64)>(
        "select order_id, count(*) from compensation_logs group by order_id",
    )
    .fetch(db);
    while let Some((order, logged)) = rows.try_next().await? {
        let tries = latest.get(&order).map_or(0, |latest| latest.history.len());
        tally.note(
            Check::OneHistory,
            u64::try_from(logged) == Ok(tries),
            || {
                format!(
                    "order {order}: {logged} tries in the table of tries, {tries} in its history"
                )
            },
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn history(tries: &[(i32, u32, &str)]) -> History {
        let tries = tries.iter().map(|(generation, attempt, lane)| {
            json!({"generation": generation, "attempt": attempt, "lane": lane})
        });
        History(tries.collect())
    }

    #[test]
    fn a_whole_history_begins_with_the_first_try_and_ends_in_the_archive() {
        let whole = [(0, 1, "first"), (0, 2, "retry"), (0, 2, ARCHIVE)];
        let replayed = [whole.as_slice(), &[(1, 1, "retry"), (1, 1, ARCHIVE)]].concat();
        assert_eq!(history(&whole).complaint(2, 0, true), None);
        assert_eq!(history(&replayed).complaint(3, 1, true), None);
        assert!(history(&replayed).goes_on_from(&history(&whole)));
        assert!(!history(&whole).goes_on_from(&history(&replayed)));
        for (broken, attempts, generation) in [
            (vec![], 0, 0),
            (whole.to_vec(), 3, 0),
            (whole[1..].to_vec(), 1, 0),
            (vec![whole[0], whole[0], whole[2], whole[1]], 3, 0),
            (whole[..2].to_vec(), 2, 0),
            (replayed.clone(), 3, 0),
            (replayed, 2, 1),
        ] {
            let broken = history(&broken);
            assert!(
                broken.complaint(attempts, generation, true).is_some(),
                "{broken:?}"
            );
        }
    }
}
