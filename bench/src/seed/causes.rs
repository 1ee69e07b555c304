//! What went wrong, in so many different words: each cause is a group of its own by the product's own fingerprint.

use super::random::Random;
use compensation::fingerprint::Cause;
use std::collections::HashSet;

/// What a row of such a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Order,
    /// A transaction that is stuck.
    Transaction,
    /// A message that somebody else's service put on the topic.
    Foreign,
}

/// One of them.
#[derive(Debug)]
pub struct Known {
    pub what: What,
    pub step: &'static str,
    pub class: Option<String>,
    /// As the product sees it.
    pub cause: Cause,
    pub fingerprint: u64,
    words: String,
}

/// All of them.
#[derive(Debug)]
pub struct Causes(Vec<Known>);

const WHO: [&str; 25] = [
    "loyalty",
    "coupon",
    "ledger",
    "stock",
    "shipping",
    "pricing",
    "fraud",
    "tax",
    "wallet",
    "invoice",
    "address",
    "customs",
    "warranty",
    "courier",
    "billing",
    "voucher",
    "catalogue",
    "warehouse",
    "payment",
    "refund",
    "risk",
    "quota",
    "notification",
    "settlement",
    "clearing",
];
const DID: [&str; 20] = [
    "refused",
    "dropped",
    "rejected",
    "delayed",
    "lost",
    "ignored",
    "aborted",
    "timed out on",
    "closed",
    "throttled",
    "misread",
    "overran",
    "locked",
    "doubted",
    "returned",
    "postponed",
    "cancelled",
    "broke off",
    "suspended",
    "unlocked",
];
const THING: [&str; 20] = [
    "the booking",
    "the hold",
    "the transfer",
    "the claim",
    "the promise",
    "the parcel",
    "the voucher",
    "the receipt",
    "the entry",
    "the batch",
    "the session",
    "the connection",
    "the quote",
    "the balance",
    "the limit",
    "the label",
    "the manifest",
    "the statement",
    "the schedule",
    "the reservation",
];
const WHY: [&str; 2] = ["lock wait timeout exceeded", "upstream went away"];

impl Causes {
    /// So many, always the same.
    pub fn of(groups: u32) -> Self {
        let mut seen = HashSet::new();
        let mut causes = Vec::with_capacity(groups as usize);
        let mut number: u32 = 0;
        while causes.len() < groups as usize {
            let known = Known::of(number);
            if seen.insert(known.fingerprint) {
                causes.push(known);
            }
            number += 1;
            // Every text is there at most once, so that this ends.
            assert!(
                number <= 4 * super::GROUPS_AT_MOST,
                "there are not so many causes"
            );
        }
        Self(causes)
    }

    /// One of them, the first ones far more often.
    pub fn choose(&self, random: &mut Random) -> &Known {
        let end = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        &self.0[random.skewed(end, 3) as usize]
    }

    /// One that an order may have.
    pub fn of_an_order(&self, random: &mut Random) -> &Known {
        for _ in 0..100 {
            let known = self.choose(random);
            if known.what == What::Order {
                return known;
            }
        }
        &self.0[0]
    }
}

impl Known {
    fn of(number: u32) -> Self {
        // The first words change first, so that a few causes are told in different ones.
        let at = number as usize;
        let (who, at) = (WHO[at % WHO.len()], at / WHO.len());
        let (did, at) = (DID[at % DID.len()], at / DID.len());
        let (thing, at) = (THING[at % THING.len()], at / THING.len());
        let (why, at) = (WHY[at % WHY.len()], at / WHY.len());
        let also = if at == 0 { "" } else { ", once more" };
        let words = format!("{who} {did} {thing}: {why}{also}");
        let what = match number % 50 {
            7 => What::Transaction,
            3 | 23 | 43 => What::Foreign,
            _ => What::Order,
        };
        let (step, class) = match what {
            What::Transaction => ("complete", None),
            What::Foreign => (
                "parse",
                Some(format!(
                    "org.example.{who}.{}Exception",
                    thing.replace("the ", "")
                )),
            ),
            What::Order if number % 11 == 5 => ("reserve", None),
            What::Order => ("decide", None),
        };
        let mut known = Self {
            what,
            step,
            class,
            cause: Cause::of(step, None, ""),
            fingerprint: 0,
            words,
        };
        let text = known.text(&mut Random::of(0, 0, number));
        known.cause = Cause::of(known.step, known.class.as_deref(), &text);
        known.fingerprint = known.cause.fingerprint().to_number();
        known
    }

    /// The error as one row has it.
    pub fn text(&self, random: &mut Random) -> String {
        let (attempt, ms) = (1 + random.below(9), random.below(30_000));
        let Self { words, .. } = self;
        format!("{words} after {ms} ms in attempt {attempt} of 9")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_group_of_its_own_whatever_numbers_its_text_has() {
        let causes = Causes::of(3_000);
        for (at, known) in (0..).zip(&causes.0) {
            for other in 0..3 {
                let text = known.text(&mut Random::of(at, 1, other));
                let cause = Cause::of(known.step, known.class.as_deref(), &text);
                assert_eq!(cause, known.cause, "{text}");
            }
        }
        let different: HashSet<u64> = causes.0.iter().map(|known| known.fingerprint).collect();
        assert_eq!(different.len(), 3_000);
        for what in [What::Order, What::Transaction, What::Foreign] {
            assert!(causes.0.iter().any(|known| known.what == what), "{what:?}");
        }
    }

    #[test]
    fn there_are_as_many_as_may_be_asked_for() {
        assert_eq!(
            Causes::of(super::super::GROUPS_AT_MOST).0.len(),
            super::super::GROUPS_AT_MOST as usize
        );
    }
}
