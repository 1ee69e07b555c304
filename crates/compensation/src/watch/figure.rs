//! The figures that are watched.

use crate::alerts::Severity;
use std::fmt;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Figure {
    /// How many dead letters wait.
    DeadLetters,
    /// The share of orders that are given up.
    FinalFailures,
    /// The share of transactions that are decided.
    TransactionSuccess,
    /// How long completing takes.
    CommitMean,
    /// How many transactions hang.
    Hanging,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::DeadLetters,
        Self::FinalFailures,
        Self::TransactionSuccess,
        Self::CommitMean,
        Self::Hanging,
    ];

    /// As it is stored, and shown to programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::FinalFailures => "final_failures",
            Self::TransactionSuccess => "transaction_success",
            Self::CommitMean => "commit_mean",
            Self::Hanging => "hanging",
        }
    }

    /// How soon someone has to look.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::FinalFailures | Self::TransactionSuccess | Self::Hanging => Severity::Urgent,
            Self::DeadLetters | Self::CommitMean => Severity::Warning,
        }
    }

    /// What it means and where to look, for people.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::DeadLetters => {
                "Orders used up their retries and are tried a few times more before they are given up. \
                 Look what they have in common in the archive and the compensation log."
            }
            Self::FinalFailures => {
                "More orders than usual are given up. Look at the latest archived orders: they can be replayed once the cause is mended."
            }
            Self::TransactionSuccess => {
                "Transactions are tried and not decided: MySQL, a participant outside or the orders themselves are the cause. \
                 What was accepted waits."
            }
            Self::CommitMean => {
                "Orders are decided, but it takes long until Redis and MySQL have all been told. Look at the servers' load and disks."
            }
            Self::Hanging => {
                "Transactions are decided and not completed for longer than a minute, or stuck. Look at the list of transactions, \
                 unfinished first: each says which participant it waits for."
            }
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
