//! Orders that are neither decided nor given up, and wait elsewhere to be tried again: their units stay held, whatever Redis lost.

use crate::ids::SaleId;
use coordinator::Gid;
use futures::future::BoxFuture;
use sqlx::MySqlConnection;

/// One order that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The transaction that is to decide it.
    pub gid: Gid,
    /// Its message, as it was published.
    pub message: Vec<u8>,
}

/// Whoever keeps orders that wait.
pub trait OpenWork: Send + Sync + 'static {
    /// Up to `limit` of those of `sale` whose gid comes after `after`, in the order of their gids. `db` is the rebuild's snapshot:
    /// only what is read there was true at the moment that counts.
    fn of_sale<'a>(
        &'a self,
        db: &'a mut MySqlConnection,
        sale: SaleId,
        after: Gid,
        limit: u32,
    ) -> BoxFuture<'a, sqlx::Result<Vec<Waiting>>>;
}
