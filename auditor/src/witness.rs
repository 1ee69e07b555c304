//! What the journals testify: who asked for what, and what each was told.
//!
//! Held in compact tables, about 150 bytes a request, for every order row is looked up in them once.

use crate::{
    checks::Check,
    journal::{Answer, Intent, Read, Reader, Record},
    verdict::{JournalCounts, Tally},
};
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};
use uuid::Uuid;

/// All journals of an audit, read to their ends.
#[derive(Debug, Default)]
pub struct Witness {
    asks: Vec<Ask>,
    by_digest: HashMap<Digested, u32>,
    already: HashMap<Uuid, u32>,
    sales: HashSet<Uuid>,
    counts: JournalCounts,
}

/// Sale, user, key and quantity in sixteen bytes.
type Digested = [u8; 16];

/// One wish and what became of it. Intents that are the same wish share it.
#[derive(Debug, Clone, Copy)]
struct Ask {
    sale: Uuid,
    user: Uuid,
    /// The order of its 202 answers; nil without any.
    order: Uuid,
    /// When the first 202 came.
    accepted_us: i64,
    /// When the last sending that was refused for good was sent.
    refused_us: i64,
    /// Some sending may have become an order without our knowing.
    uncertain: bool,
    /// Some sending was answered so that it surely made no order.
    answered: bool,
    /// Its order row was seen.
    seen: bool,
}

/// An order row, as far as the buyer knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The order.
    pub id: Uuid,
    /// Its sale.
    pub sale: Uuid,
    /// Its buyer.
    pub user: Uuid,
    /// The key it was asked for under.
    pub key: Option<&'a str>,
    /// Its units.
    pub quantity: i32,
    /// Stock was given to it at some time.
    pub granted: bool,
}

impl Witness {
    /// Reads journals one after another. Repeats that were answered differently are noted at once.
    ///
    /// # Errors
    /// A journal cannot be read, or is damaged other than at its end.
    pub fn read(paths: &[impl AsRef<Path>], tally: &mut Tally) -> anyhow::Result<Self> {
        let mut witness = Self::default();
        for path in paths {
            let path = path.as_ref();
            witness
                .read_one(path, tally)
                .with_context(|| format!("journal {}", path.display()))?;
        }
        for ask in &witness.asks {
            if ask.accepted_us != 0 && ask.refused_us != 0 {
                tally.note(Check::SameAnswer, ask.refused_us < ask.accepted_us, || {
                    format!(
                        "order {}: accepted, then a repeat of the request was refused",
                        ask.order
                    )
                });
            }
        }
        Ok(witness)
    }

    /// What the journals hold in numbers.
    #[must_use]
    pub fn counts(&self) -> JournalCounts {
        JournalCounts {
            accepted: self.asks.iter().filter(|ask| ask.is_accepted()).count() as u64,
            ..self.counts
        }
    }

    /// Compares an order row with what was asked and answered. Rows of sales no journal names are not ours to judge.
    pub fn compare(&mut self, row: Stored<'_>, rejected: bool, tally: &mut Tally) {
        if !self.sales.contains(&row.sale) {
            return;
        }
        if let Some(&told) = self.already.get(&row.id) {
            let ask = &self.asks[told as usize];
            tally.note(
                Check::AnswerKept,
                ask.user == row.user && ask.sale == row.sale,
                || {
                    format!(
                        "order {}: named to user {} as theirs, stored for user {}",
                        row.id, ask.user, row.user
                    )
                },
            );
        }
        let ask = self
            .by_digest
            .get(&digest(
                row.sale,
                row.user,
                row.key,
                i64::from(row.quantity),
            ))
            .copied();
        tally.note(Check::AskedFor, ask.is_some(), || {
            format!(
                "order {}: nobody asked for it (sale {}, user {}, {} units, key {:?})",
                row.id, row.sale, row.user, row.quantity, row.key
            )
        });
        let Some(ask) = ask else { return };
        let ask = &mut self.asks[ask as usize];
        if ask.order == row.id {
            ask.seen = true;
            tally.note(Check::AnswerKept, true, String::new);
        } else {
            // An order of a sending whose answer never came; the repeat made another, and one of the two is rejected as a duplicate.
            let may_exist = ask.uncertain || !ask.answered || rejected;
            tally.note(Check::AnswerKept, may_exist, || {
                let told = if ask.is_accepted() {
                    format!("told {}", ask.order)
                } else {
                    "refused".into()
                };
                format!(
                    "order {}: stored {}, but its buyer was {told}",
                    row.id,
                    if row.granted {
                        "as granted"
                    } else {
                        "as given up"
                    }
                )
            });
        }
    }

    /// Once every row was compared: whatever was answered 202 must have been among them.
    pub fn finish(&self, tally: &mut Tally) {
        for ask in self.asks.iter().filter(|ask| ask.is_accepted()) {
            tally.note(Check::AcceptedHasRow, ask.seen, || {
                format!(
                    "order {}: answered 202 to user {}, no such order row",
                    ask.order, ask.user
                )
            });
        }
    }

    fn read_one(&mut self, path: &Path, tally: &mut Tally) -> anyhow::Result<()> {
        let mut reader = Reader::open(path)?;
        let mut own: Vec<u32> = Vec::new();
        let mut closed = false;
        loop {
            match reader.read_next()? {
                Read::Record(Record::Intent(intent)) => {
                    ensure!(
                        intent.n == own.len() as u64 + 1,
                        "intent {} is out of order",
                        intent.n
                    );
                    own.push(self.intend(&intent)?);
                }
                Read::Record(Record::Answer(answer)) => {
                    let index = usize::try_from(answer.n)?
                        .checked_sub(1)
                        .and_then(|at| own.get(at));
                    let index = index.with_context(|| {
                        format!("an answer to intent {}, which was never noted", answer.n)
                    })?;
                    self.answer(*index, &answer, tally);
                }
                Read::Record(Record::End { .. }) => closed = true,
                Read::Torn => {
                    self.counts.torn += 1;
                    break;
                }
                Read::End => break,
            }
        }
        if !closed {
            self.counts.cut_off += 1;
            // Whoever wrote it was killed: any of its requests may have been on the way.
            for index in own {
                self.asks[index as usize].uncertain = true;
            }
        }
        Ok(())
    }

    fn intend(&mut self, intent: &Intent) -> anyhow::Result<u32> {
        self.counts.intents += 1;
        self.sales.insert(intent.sale);
        let next =
            u32::try_from(self.asks.len()).context("more than four thousand million requests")?;
        let digested = digest(
            intent.sale,
            intent.user,
            intent.key.as_deref(),
            i64::from(intent.quantity),
        );
        let index = *self.by_digest.entry(digested).or_insert(next);
        if index == next {
            self.asks.push(Ask {
                sale: intent.sale,
                user: intent.user,
                order: Uuid::nil(),
                accepted_us: 0,
                refused_us: 0,
                uncertain: intent.key.is_none(),
                answered: false,
                seen: false,
            });
        }
        Ok(index)
    }

    fn answer(&mut self, index: u32, answer: &Answer, tally: &mut Tally) {
        self.counts.answers += 1;
        let ask = &mut self.asks[index as usize];
        match Meaning::of(answer) {
            Meaning::Accepted => {
                let order = answer.order.unwrap_or_default();
                tally.note(
                    Check::SameAnswer,
                    !order.is_nil() && (!ask.is_accepted() || ask.order == order),
                    || {
                        format!(
                            "order {}: a repeat of its request was told {order}",
                            ask.order
                        )
                    },
                );
                ask.answered = true;
                if !ask.is_accepted() {
                    ask.order = order;
                    ask.accepted_us = answer.answered_us;
                }
                ask.accepted_us = ask.accepted_us.min(answer.answered_us);
            }
            Meaning::Refused => {
                ask.answered = true;
                ask.refused_us = ask.refused_us.max(answer.sent_us);
                if let ("already_ordered", Some(order)) =
                    (answer.code.as_deref().unwrap_or_default(), answer.order)
                {
                    self.already.insert(order, index);
                }
            }
            Meaning::NotNow => ask.answered = true,
            Meaning::Unknown => ask.uncertain = true,
        }
    }
}

impl Ask {
    fn is_accepted(&self) -> bool {
        !self.order.is_nil()
    }
}

/// What an answer says of the order.
enum Meaning {
    /// It will be settled.
    Accepted,
    /// There is none, and asking again changes nothing.
    Refused,
    /// There is none yet; asking again may make one.
    NotNow,
    /// There may be one.
    Unknown,
}

impl Meaning {
    fn of(answer: &Answer) -> Self {
        match (answer.status, answer.code.as_deref().unwrap_or_default()) {
            (202, _) => Self::Accepted,
            (409, "in_progress") | (401 | 429, _) | (503, "not_ready" | "busy" | "unavailable") => {
                Self::NotNow
            }
            (400..=499, _) => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

fn digest(sale: Uuid, user: Uuid, key: Option<&str>, quantity: i64) -> Digested {
    let mut hash = Sha256::new();
    hash.update(sale.as_bytes());
    hash.update(user.as_bytes());
    hash.update(quantity.to_be_bytes());
    // A missing key and an empty one are not the same wish.
    hash.update([u8::from(key.is_some())]);
    hash.update(key.unwrap_or_default());
    let mut digested = Digested::default();
    digested.copy_from_slice(&hash.finalize()[..16]);
    digested
}
