//! Sales whose rebuild failed: each waits before it is tried again, longer every time, so that what cannot succeed yet (a node
//! without room, a row that is locked) does not disturb those that are open.

use anyhow::Context as _;
use ordering::{SaleId, rebuild::RebuildError};
use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

/// Before the second try.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: a sale with room again is open after so long at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PutOff(BTreeMap<SaleId, Failed>);

#[derive(Debug)]
struct Failed {
    tries: u32,
    until: Instant,
    cause: String,
}

impl PutOff {
    /// The rebuild of `sale` failed at `now`.
    pub fn failed(&mut self, sale: SaleId, now: Instant, cause: RebuildError) {
        let tries = self.0.get(&sale).map_or(0, |failed| failed.tries) + 1;
        self.0.insert(
            sale,
            Failed {
                tries,
                until: now + pause(tries),
                cause: format!("{:#}", anyhow::Error::new(cause)),
            },
        );
    }

    /// Forgets every sale but those that are still fenced.
    pub fn keep_only(&mut self, fenced: &HashSet<SaleId>) {
        self.0.retain(|sale, _| fenced.contains(sale));
    }

    /// Forgets those that were opened.
    pub fn opened<'a>(&mut self, sales: impl IntoIterator<Item = &'a SaleId>) {
        for sale in sales {
            self.0.remove(sale);
        }
    }

    /// Takes out of `sales` those whose time has not come.
    pub fn leave_out(&self, sales: &mut HashSet<SaleId>, now: Instant) {
        sales.retain(|sale| self.0.get(sale).is_none_or(|failed| failed.until <= now));
    }

    /// # Errors
    /// While some sale waits: which, and why.
    pub fn trouble(&self) -> anyhow::Result<()> {
        let Some((sale, failed)) = self.0.first_key_value() else {
            return Ok(());
        };
        Err(anyhow::anyhow!("{}", failed.cause)).with_context(|| {
            format!(
                "{} sales stay closed and are tried again, among them {sale}",
                self.0.len()
            )
        })
    }
}

fn pause(tries: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sale_that_fails_waits_longer_each_time_and_is_forgotten_once_it_is_open() {
        let (sale, other, now) = (SaleId::fresh(), SaleId::fresh(), Instant::now());
        let mut put_off = PutOff::default();
        let tried_at = |put_off: &PutOff, at: Instant| {
            let mut sales = HashSet::from([sale, other]);
            put_off.leave_out(&mut sales, at);
            assert!(sales.contains(&other), "the other never failed");
            sales.contains(&sale)
        };
        for seconds in [1, 2, 4, 8, 15, 15] {
            put_off.failed(sale, now, RebuildError::NoRoom(sale));
            let (early, due) = (
                Duration::from_millis(seconds * 1_000 - 1),
                Duration::from_secs(seconds),
            );
            assert!(!tried_at(&put_off, now + early));
            assert!(tried_at(&put_off, now + due));
        }
        let text = format!("{:#}", put_off.trouble().unwrap_err());
        assert!(
            text.contains(&sale.to_string()) && text.contains("maxmemory"),
            "{text}"
        );
        put_off.keep_only(&HashSet::from([other]));
        put_off.trouble().unwrap();
    }
}
