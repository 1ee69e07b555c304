//! What would happen, were an operation begun now: counted on the server, by what each item would come to, without changing anything.
//!
//! A sale's units are given to its orders in the order in which they were archived, as long as there are some: a hundred orders that
//! would each get the last unit are not a hundred replays.

use compensation::{
    archive::{
        Kind as What,
        listing::{Filter, State},
        versions,
    },
    operations::{Kind, Matching, matching},
};
use ordering::{
    message::OrderMessage,
    replay::{self, Prospect},
};
use serde::Serialize;
use sqlx::MySqlPool;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Counted exactly up to here; beyond it the answer is "more than", and so it is of rows that are rare among very many.
pub(crate) const COUNTED_AT_MOST: u64 = 10_000;
/// Rows looked at at a time.
const PAGE: u32 = 500;

/// What would happen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Forecast {
    /// Rows that match.
    pub matches: u64,
    /// Whether there are more than were counted.
    pub more_than: bool,
    /// Would be tried again.
    pub replayed: u64,
    /// Would be given up for good.
    pub discarded: u64,
    /// Would be refused, by the reason's code.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Looks at what the filter matches now.
///
/// # Errors
/// What the database says.
pub(crate) async fn forecast(
    db: &MySqlPool,
    kind: Kind,
    filter: &Filter,
) -> sqlx::Result<Forecast> {
    let mut forecast = Forecast::default();
    let mut left = HashMap::new();
    let mut after = None;
    loop {
        let found = matching(db, filter, after, PAGE).await?;
        let gave_up = found.stopped_at.is_some();
        let mut rows = found.rows;
        let last_page = rows.len() < PAGE as usize;
        let room = usize::try_from(COUNTED_AT_MOST - forecast.matches).unwrap_or(usize::MAX);
        // Where matching rows are rare, nobody waits until a million others were looked at.
        forecast.more_than = gave_up || rows.len() > room;
        rows.truncate(room);
        let orders: Vec<Uuid> = rows
            .iter()
            .filter(|row| row.state() == State::Open && row.kind() == What::Order && !row.held)
            .map(|row| row.id)
            .collect();
        let prospects = replay::prospects(db, &orders, &edited(db, &rows).await?).await?;
        for row in &rows {
            forecast.count(kind, row, prospects.get(&row.id), &mut left);
        }
        if last_page || forecast.more_than {
            return Ok(forecast);
        }
        after = rows.last().map(Matching::after).or(after);
    }
}

/// Units of those that were edited: a replay takes the newest version.
async fn edited(db: &MySqlPool, rows: &[Matching]) -> sqlx::Result<BTreeMap<Uuid, i64>> {
    let rows: Vec<Uuid> = rows
        .iter()
        .filter(|row| row.version > 0)
        .map(|row| row.id)
        .collect();
    let found = versions::newest(db, &rows).await?.into_iter();
    Ok(found
        .filter_map(|(id, payload)| {
            let order = OrderMessage::parse(&payload).ok()?;
            Some((id, i64::from(order.quantity.get())))
        })
        .collect())
}

impl Forecast {
    fn count(
        &mut self,
        kind: Kind,
        row: &Matching,
        prospect: Option<&Prospect>,
        left: &mut HashMap<Uuid, i64>,
    ) {
        self.matches += 1;
        let refusal = match kind {
            Kind::Replay => replay_refusal(row, prospect, left),
            Kind::Discard => discard_refusal(row, prospect),
            Kind::Reconcile => Some("one_by_one"),
        };
        match (refusal, kind) {
            (Some(code), _) => *self.refused.entry(code).or_default() += 1,
            (None, Kind::Replay) => self.replayed += 1,
            (None, Kind::Discard) => self.discarded += 1,
            (None, Kind::Reconcile) => {}
        }
    }

    /// Whether so many are discarded only when a second operator confirms it.
    pub fn needs_second_person(&self, kind: Kind, above: u32) -> bool {
        kind == Kind::Discard && (self.more_than || self.matches > u64::from(above))
    }

    /// How many would be refused.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

fn refusal_of_any(row: &Matching) -> Option<&'static str> {
    match (row.state(), row.kind()) {
        (State::Handled, _) => Some("already_resolved"),
        (State::Replaying, _) => Some("replaying"),
        (State::Open, What::Transaction) => Some("a_transaction"),
        (State::Open, What::Order | What::Message) => None,
    }
}

fn replay_refusal(
    row: &Matching,
    prospect: Option<&Prospect>,
    left: &mut HashMap<Uuid, i64>,
) -> Option<&'static str> {
    if let Some(code) = refusal_of_any(row) {
        return Some(code);
    }
    if row.kind() == What::Message {
        return Some("not_an_order");
    }
    if row.held {
        return None;
    }
    let Some(prospect) = prospect else {
        return Some("not_found");
    };
    if prospect.refusal.is_some() {
        return prospect.refusal;
    }
    let left = left.entry(prospect.sale).or_insert(prospect.available);
    if *left < prospect.quantity {
        return Some(if *left == 0 {
            "sold_out"
        } else {
            "insufficient_stock"
        });
    }
    *left -= prospect.quantity;
    None
}

fn discard_refusal(row: &Matching, prospect: Option<&Prospect>) -> Option<&'static str> {
    if let Some(code) = refusal_of_any(row) {
        return Some(code);
    }
    if row.kind() == What::Message || row.held {
        return None;
    }
    match prospect {
        None => Some("not_found"),
        Some(prospect) => (!prospect.failed).then_some("already_resolved"),
    }
}
