//! Acts of which it is not known whether they were done: a COMMIT whose answer never came. Nobody is told "nothing was done" of them.

use sqlx::{MySql, Transaction};
use std::io;

/// What is in doubt. It travels as the cause of a [`sqlx::Error`], so that every way an error takes takes it along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Doubt {
    /// Whether it was done.
    #[error("the COMMIT was not answered")]
    MayBeDone,
    /// It was done, and how things stand now cannot be read.
    #[error("it was done, and cannot be shown")]
    WasDone,
}

impl Doubt {
    /// The doubt an error carries.
    pub fn of(cause: &sqlx::Error) -> Option<Self> {
        match cause {
            sqlx::Error::Io(cause) => cause.get_ref()?.downcast_ref().copied(),
            _ => None,
        }
    }

    /// For people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::MayBeDone => {
                "It may have been done all the same: look how it stands before you try again."
            }
            Self::WasDone => "It was done. How it stands now cannot be shown: look in a moment.",
        }
    }

    /// For programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MayBeDone => "outcome_unknown",
            Self::WasDone => "done",
        }
    }

    /// An error that carries it.
    pub fn error(self) -> sqlx::Error {
        sqlx::Error::Io(io::Error::other(self))
    }
}

/// Commits. What the server refuses is undone; where it does not answer, nobody knows.
///
/// # Errors
/// What the server says, or [`Doubt::MayBeDone`].
pub(crate) async fn commit(tx: Transaction<'_, MySql>) -> sqlx::Result<()> {
    tx.commit().await.map_err(|cause| match cause {
        sqlx::Error::Database(_) => cause,
        unanswered => {
            tracing::error!("A COMMIT was not answered: {unanswered}");
            Doubt::MayBeDone.error()
        }
    })
}
