//! Which sales are rebuilt, and in what order: those that sell now come first, and a large one is never in the way of a small one.

use crate::ids::SaleId;
use sqlx::MySqlPool;
use std::{
    collections::{HashSet, VecDeque},
    time::Instant,
};

/// Units sold from which on a sale has lanes of its own. Below, a sale takes a tenth of a second at most.
const LARGE: i32 = 20_000;

/// A sale that is to be rebuilt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub sale: SaleId,
    /// Units sold: what there is to read, and how busy it was.
    pub sold: i32,
}

impl Planned {
    pub const fn is_large(self) -> bool {
        self.sold >= LARGE
    }
}

/// A sale that scripts cannot touch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub planned: Planned,
    /// The epoch its hash has, if there is one.
    pub old_epoch: Option<i64>,
    /// When it was closed.
    pub since: Instant,
}

/// Every sale: first those that sell now and have something left, the busiest first; then what else is not over.
pub(super) async fn every_sale(db: &MySqlPool) -> sqlx::Result<Vec<Planned>> {
    sqlx::query_as!(
        Planned,
        r#"select s.id as "sale: SaleId", i.sold from sales s join sale_inventory i on i.sale_id = s.id
           order by s.state = 'open' and s.starts_at <= utc_timestamp(3) and s.ends_at > utc_timestamp(3) and i.available > 0 desc,
                    s.ends_at > utc_timestamp(3) desc, i.sold desc"#
    )
    .fetch_all(db)
    .await
}

/// Those of `sales` that there are, in the same order.
pub(super) async fn among(db: &MySqlPool, sales: &[SaleId]) -> sqlx::Result<Vec<Planned>> {
    if let [sale] = *sales {
        let sold = sqlx::query_scalar!("select sold from sale_inventory where sale_id = ?", sale)
            .fetch_optional(db)
            .await?;
        return Ok(sold
            .map(|sold| Planned { sale, sold })
            .into_iter()
            .collect());
    }
    let wanted: HashSet<SaleId> = sales.iter().copied().collect();
    let mut planned = every_sale(db).await?;
    planned.retain(|planned| wanted.contains(&planned.sale));
    Ok(planned)
}

/// Which sales a lane takes while there are some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// So that the large ones do not wait for all others.
    LargeFirst,
    /// So that small ones never wait for a large one.
    SmallFirst,
}

/// What is still to be rebuilt, each kind in the order of the plan.
pub(super) struct Queue {
    small: VecDeque<Closed>,
    large: VecDeque<Closed>,
}

impl Queue {
    pub fn of(closed: Vec<Closed>) -> Self {
        let (large, small): (Vec<_>, Vec<_>) = closed
            .into_iter()
            .partition(|closed| closed.planned.is_large());
        Self {
            small: small.into(),
            large: large.into(),
        }
    }

    pub fn next(&mut self, lane: Lane) -> Option<Closed> {
        let (first, second) = match lane {
            Lane::LargeFirst => (&mut self.large, &mut self.small),
            Lane::SmallFirst => (&mut self.small, &mut self.large),
        };
        first.pop_front().or_else(|| second.pop_front())
    }
}
