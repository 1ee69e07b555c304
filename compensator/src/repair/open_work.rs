//! What the rebuild of Redis has to hold for orders that wait here.

use compensation::queue;
use coordinator::Gid;
use futures::future::BoxFuture;
use ordering::{
    SaleId,
    rebuild::{OpenWork, Waiting},
};
use sqlx::MySqlConnection;

/// Orders with an open compensation.
#[derive(Debug, Clone, Copy)]
pub struct OpenCompensations;

impl OpenWork for OpenCompensations {
    fn of_sale<'a>(
        &'a self,
        db: &'a mut MySqlConnection,
        sale: SaleId,
        after: Gid,
        limit: u32,
    ) -> BoxFuture<'a, sqlx::Result<Vec<Waiting>>> {
        Box::pin(async move {
            let open = queue::open_of_sale(db, sale.as_uuid(), after.as_uuid(), limit).await?;
            Ok(open
                .into_iter()
                .map(|(gid, message)| Waiting {
                    gid: Gid::from_uuid(gid),
                    message,
                })
                .collect())
        })
    }
}
