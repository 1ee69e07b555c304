//! Slows down whoever guesses passwords: five tries a minute for each account, whoever asks and from wherever.
//!
//! A try counts before its password is looked at, so that a hundred at once are a hundred; the right password forgets them all.
//! Memory is bounded: when full, the oldest tries are forgotten, and hashing a password takes so long that this many cannot be
//! made within the minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const TRIES: u32 = 5;
const WITHIN: Duration = Duration::from_mins(1);
/// Accounts remembered at most, under 4 MB.
const ACCOUNTS_AT_MOST: usize = 10_000;

/// Recent tries by account.
#[derive(Debug, Default)]
pub struct LogIns(Mutex<HashMap<String, Tries>>);

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    since: Instant,
}

impl LogIns {
    /// Counts one try.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub fn begin(&self, account: &str, now: Instant) -> Result<(), Duration> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_AT_MOST && !accounts.contains_key(account) {
            make_room(&mut accounts, now);
        }
        let tries = accounts.entry(account.to_owned()).or_insert(Tries {
            count: 0,
            since: now,
        });
        let passed = now.saturating_duration_since(tries.since);
        if passed >= WITHIN {
            *tries = Tries {
                count: 0,
                since: now,
            };
        } else if tries.count >= TRIES {
            return Err(WITHIN.saturating_sub(passed));
        }
        tries.count += 1;
        Ok(())
    }

    /// The password was right.
    pub fn succeeded(&self, account: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(account);
    }
}

fn make_room(accounts: &mut HashMap<String, Tries>, now: Instant) {
    accounts.retain(|_, tries| now.saturating_duration_since(tries.since) < WITHIN);
    if accounts.len() >= ACCOUNTS_AT_MOST {
        let oldest = accounts
            .iter()
            .min_by_key(|(_, tries)| tries.since)
            .map(|(account, _)| account.clone());
        oldest.and_then(|account| accounts.remove(&account));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_try_within_a_minute_waits_for_its_end() {
        let (log_ins, start) = (LogIns::default(), Instant::now());
        for second in 0..5 {
            assert!(
                log_ins
                    .begin("ann", start + Duration::from_secs(second))
                    .is_ok()
            );
        }
        assert_eq!(
            log_ins.begin("ann", start + Duration::from_secs(20)),
            Err(Duration::from_secs(40))
        );
        assert!(
            log_ins.begin("bob", start).is_ok(),
            "others are not touched"
        );
        assert!(log_ins.begin("ann", start + WITHIN).is_ok());
    }

    #[test]
    fn the_right_password_forgets_the_wrong_ones() {
        let (log_ins, now) = (LogIns::default(), Instant::now());
        for _ in 0..20 {
            assert!(log_ins.begin("ann", now).is_ok());
            log_ins.succeeded("ann");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let (log_ins, start) = (LogIns::default(), Instant::now());
        for account in 0..=ACCOUNTS_AT_MOST {
            let at = start + Duration::from_micros(account.try_into().expect("small"));
            assert!(log_ins.begin(&account.to_string(), at).is_ok());
        }
        let accounts = log_ins.0.lock().expect("no panic");
        assert_eq!(accounts.len(), ACCOUNTS_AT_MOST);
        assert!(!accounts.contains_key("0"));
    }
}
