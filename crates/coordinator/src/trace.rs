//! A span for each phase of each batch, so that a trace shows where an order's time went.
//!
//! A batch belongs to many traces: its spans carry the trace contexts of some of its transactions, and are no child of any of them.

use crate::{
    core::BatchId,
    transaction::{Transaction, Work},
};
use std::fmt;
use tracing::{Span, debug_span};

/// Trace contexts a span carries, at most.
const LINKS: usize = 16;

/// What is being done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    Begin,
    Ask,
    Note,
    Prepare,
    Decide,
    Complete,
}

/// The span of one phase; costs nothing while nobody listens.
pub(crate) fn span<'a, W: Work>(
    phase: Phase,
    batch: Option<BatchId>,
    transactions: impl IntoIterator<Item = &'a Transaction<W>>,
) -> Span {
    let phase = match phase {
        Phase::Begin => "begin",
        Phase::Ask => "ask",
        Phase::Note => "note",
        Phase::Prepare => "prepare",
        Phase::Decide => "decide",
        Phase::Complete => "complete",
    };
    let span = debug_span!(
        "transactions",
        phase,
        batch,
        count = tracing::field::Empty,
        links = tracing::field::Empty
    );
    if !span.is_disabled() {
        let (mut count, mut links) = (0_u64, Links(Vec::new()));
        for transaction in transactions {
            count += 1;
            if links.0.len() < LINKS {
                links.0.extend(transaction.work.traceparent());
            }
        }
        span.record("count", count);
        span.record("links", tracing::field::display(&links));
    }
    span
}

struct Links<'a>(Vec<&'a str>);

impl fmt::Display for Links<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}
