//! What failed alone: tried again, given up, archived, told of, put back.

mod archive;
mod batches;
mod edited;
mod foreign;
mod held;
mod intake;
mod kills;
mod operations;
mod outage;
mod pace;
mod reconciles;
mod replays;
mod retries;
mod steps;
mod stuck;
mod undecided;

/// Orders that fail three times and heal, and orders that fail as often as they are tried.
pub const BREAKS: &str = "faults: [\"decide:remark=breaks:6\", \"decide:remark=heals:3\"]\n";
