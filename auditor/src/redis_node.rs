//! Plain reads of the stock node: a sale's hash, its buyers, its pending index and its reservation records.

use anyhow::Context;
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// Members asked for in one step of a scan.
const PAGE: u32 = 1_000;

/// One connection to the stock node.
#[derive(Clone)]
pub struct Node {
    redis: MultiplexedConnection,
}

/// A sale's hash. Missing or unreadable numbers are `None`, and then nothing about it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// Count of rebuilds.
    pub epoch: i64,
    /// Units on offer.
    pub total: i64,
    /// Units that can be reserved.
    pub available: i64,
    /// Units reserved and not settled.
    pub held: i64,
    /// Units sold.
    pub sold: i64,
    /// Units sold or held that `available` could not give.
    pub owed: i64,
    /// Closed by a rebuild, or suspected to have lost data.
    pub fenced: bool,
}

impl Levels {
    /// Total = available + held + sold − owed, nothing negative, nothing available while something is owed.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let all = [self.total, self.available, self.held, self.sold, self.owed];
        self.total == self.available + self.held + self.sold - self.owed
            && all.iter().all(|&units| units >= 0)
            && (self.owed == 0 || self.available == 0)
    }

    /// Its numbers as a violation tells them.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self {
            total,
            available,
            held,
            sold,
            owed,
            ..
        } = self;
        format!("Redis total {total}, available {available}, held {held}, sold {sold}, owed {owed}")
    }
}

impl Node {
    /// Connects.
    ///
    /// # Errors
    /// The node does not answer within a few seconds.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let patience = Some(Duration::from_secs(5));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(patience)
            .set_response_timeout(patience);
        let client = redis::Client::open(url).context("not a Redis address")?;
        let redis = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .context("cannot connect to Redis")?;
        Ok(Self { redis })
    }

    /// A sale's hash; `None` if it is missing.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn levels(&mut self, sale: Uuid) -> redis::RedisResult<Option<Levels>> {
        let hash: HashMap<String, String> = redis::cmd("HGETALL")
            .arg(format!("{{{sale}}}:stock"))
            .query_async(&mut self.redis)
            .await?;
        Ok((!hash.is_empty()).then(|| levels_of(&hash)))
    }

    /// How many reservations are pending in the sale's epoch, and one of them.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn pending(
        &mut self,
        sale: Uuid,
        epoch: i64,
    ) -> redis::RedisResult<(u64, Option<String>)> {
        let key = format!("{{{sale}}}:{epoch}:pending");
        let (count, first): (u64, Vec<String>) = redis::pipe()
            .zcard(&key)
            .zrange(&key, 0, 0)
            .query_async(&mut self.redis)
            .await?;
        Ok((count, first.into_iter().next()))
    }

    /// All buyers of a sale's epoch with their units.
    ///
    /// # Errors
    /// The node does not answer, or a field is not `user → units|…`.
    pub async fn buyers(&mut self, sale: Uuid, epoch: i64) -> anyhow::Result<HashMap<Uuid, i64>> {
        let key = format!("{{{sale}}}:{epoch}:buyers");
        let mut buyers = HashMap::new();
        let mut cursor = String::from("0");
        loop {
            let page: (String, Vec<(String, String)>) = redis::cmd("HSCAN")
                .arg(&key)
                .arg(&cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut self.redis)
                .await?;
            for (user, value) in page.1 {
                let units = leading_number(&value)
                    .with_context(|| format!("{key}: {user} has no units in {value:?}"))?;
                buyers.insert(
                    user.parse()
                        .with_context(|| format!("{key}: {user:?} is not a user"))?,
                    units,
                );
            }
            cursor = page.0;
            if cursor == "0" {
                return Ok(buyers);
            }
        }
    }

    /// Walks every reservation record of the node: `visit(sale, epoch, gid, state)`. A record may be shown twice.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn reservations(
        &mut self,
        mut visit: impl FnMut(Uuid, i64, &str, &str),
    ) -> redis::RedisResult<()> {
        let mut cursor = String::from("0");
        loop {
            let page: (String, Vec<String>) = redis::cmd("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg("{*}:*:res:*")
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut self.redis)
                .await?;
            let mut pipe = redis::pipe();
            page.1.iter().for_each(|key| {
                pipe.hget(key, "state");
            });
            let states: Vec<Option<String>> = if page.1.is_empty() {
                Vec::new()
            } else {
                pipe.query_async(&mut self.redis).await?
            };
            for (key, state) in page.1.iter().zip(states) {
                // A record may expire between the two questions.
                if let (Some((sale, epoch, gid)), Some(state)) = (reservation_key(key), state) {
                    visit(sale, epoch, gid, &state);
                }
            }
            cursor = page.0;
            if cursor == "0" {
                return Ok(());
            }
        }
    }
}

fn levels_of(hash: &HashMap<String, String>) -> Levels {
    // A number that is missing or not one breaks conservation, as it should.
    let number = |field: &str| {
        hash.get(field)
            .and_then(|text| text.parse().ok())
            .unwrap_or(i64::MIN / 8)
    };
    Levels {
        epoch: number("epoch"),
        total: number("total"),
        available: number("available"),
        held: number("held"),
        sold: number("sold"),
        owed: number("owed"),
        fenced: hash.contains_key("closed") || hash.contains_key("suspect"),
    }
}

/// `{SALE}:EPOCH:res:GID`
fn reservation_key(key: &str) -> Option<(Uuid, i64, &str)> {
    let (sale, rest) = key.strip_prefix('{')?.split_once("}:")?;
    let (epoch, gid) = rest.split_once(":res:")?;
    Some((sale.parse().ok()?, epoch.parse().ok()?, gid))
}

fn leading_number(text: &str) -> Option<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .map_or(text, |end| &text[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_key_names_sale_epoch_and_transaction() {
        let sale = Uuid::from_u128(7);
        let key = format!("{{{sale}}}:3:res:abc");
        assert_eq!(reservation_key(&key), Some((sale, 3, "abc")));
        assert_eq!(reservation_key("other"), None);
    }

    #[test]
    fn a_buyers_units_come_first_in_the_field() {
        assert_eq!(leading_number("12|0199"), Some(12));
        assert_eq!(leading_number("x"), None);
    }

    #[test]
    fn a_hash_without_a_number_is_not_conserved() {
        let hash = HashMap::from([("total".to_owned(), "0".to_owned())]);
        assert!(!levels_of(&hash).is_conserved());
    }
}
