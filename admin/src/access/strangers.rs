//! Whoever tries something without a log-in is audited, five times a minute for each address: nobody fills the audit from outside.
//!
//! Memory is bounded: when it is full, the address that was first is forgotten.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Tries written down of one address, in so long.
const AT_MOST: u32 = 5;
const WITHIN: Duration = Duration::from_mins(1);
/// Addresses remembered at most, under 4 MB.
const ADDRESSES_AT_MOST: usize = 10_000;

/// Recent tries by address.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<String, Tries>>);

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    since: Instant,
}

impl Strangers {
    /// Counts a try; whether it is to be written down.
    pub fn is_written_down(&self, address: &str, now: Instant) -> bool {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_AT_MOST && !addresses.contains_key(address) {
            make_room(&mut addresses, now);
        }
        let none = Tries {
            count: 0,
            since: now,
        };
        let tries = addresses.entry(address.to_owned()).or_insert(none);
        if now.saturating_duration_since(tries.since) >= WITHIN {
            *tries = none;
        }
        tries.count = tries.count.saturating_add(1);
        tries.count <= AT_MOST
    }
}

fn make_room(addresses: &mut HashMap<String, Tries>, now: Instant) {
    addresses.retain(|_, tries| now.saturating_duration_since(tries.since) < WITHIN);
    if addresses.len() >= ADDRESSES_AT_MOST {
        let first = addresses
            .iter()
            .min_by_key(|(_, tries)| tries.since)
            .map(|(address, _)| address.clone());
        first.and_then(|address| addresses.remove(&address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_a_minute_of_each_address() {
        let (strangers, start) = (Strangers::default(), Instant::now());
        for second in 0..5 {
            assert!(strangers.is_written_down("one", start + Duration::from_secs(second)));
        }
        assert!(!strangers.is_written_down("one", start + Duration::from_secs(20)));
        assert!(strangers.is_written_down("other", start), "on its own");
        assert!(strangers.is_written_down("one", start + WITHIN));
    }

    #[test]
    fn memory_is_bounded_and_the_first_goes_first() {
        let (strangers, start) = (Strangers::default(), Instant::now());
        for address in 0..=ADDRESSES_AT_MOST {
            let at = start + Duration::from_micros(address.try_into().expect("small"));
            assert!(strangers.is_written_down(&address.to_string(), at));
        }
        let addresses = strangers.0.lock().expect("no panic");
        assert_eq!(addresses.len(), ADDRESSES_AT_MOST);
        assert!(!addresses.contains_key("0"));
    }
}
