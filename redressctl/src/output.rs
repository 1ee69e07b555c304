//! How a command prints what it found: a table for people, JSON for programs.

use crate::{
    Report,
    admin::Rows,
    table::{Column, table},
};
use clap::Args;

/// How it is printed, and how much.
#[derive(Debug, Clone, Args)]
pub struct Listing {
    /// Rows at most
    #[arg(long, value_name = "ROWS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON, one line a row, instead of a table
    #[arg(long)]
    json: bool,
}

impl Listing {
    /// Rows at most.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// A list.
    pub(crate) fn report(&self, columns: &[Column], found: &Rows) -> Report {
        if self.json {
            let lines = found.rows.iter().map(|row| format!("{row}\n"));
            return Report::well(lines.collect());
        }
        if found.rows.is_empty() {
            return Report::well("Nothing.\n".to_owned());
        }
        let mut text = table(columns, &found.rows);
        if found.more {
            text.push_str("There are more: say --limit, or choose fewer.\n");
        }
        Report::well(text)
    }
}
