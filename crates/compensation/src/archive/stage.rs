//! What is being done about an archived order, for whoever looks at the order itself.

use super::Archived;
use crate::{queue, state::State};
use sqlx::MySqlPool;
use uuid::Uuid;

/// Operations on one order that are looked at: the latest ones may have left something behind.
const LATEST: u32 = 3;

/// What is being done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is being tried, given up, replayed or discarded.
    UnderWay,
    /// It was given up without a decision, and its units are kept.
    Held,
    /// It was given up, and waits for a person.
    Open,
    /// Nothing is left to do.
    Over,
}

/// An order as the archive and the retry queue know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What is being done about it.
    pub stage: Stage,
    /// Transactions that were to settle it: the archive's, and those of its latest operations.
    pub gids: Vec<Uuid>,
}

impl Pending {
    /// Looks at the queue, too. What is done by operation `mine` does not count.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(db: &MySqlPool, archived: &Archived, mine: Option<Uuid>) -> sqlx::Result<Self> {
        let named = sqlx::query_scalar!(
            r#"select gid as "gid: Uuid" from operation_items where archive_id = ? order by created_at desc limit ?"#,
            archived.id,
            LATEST
        )
        .fetch_all(db)
        .await?;
        let mut gids: Vec<Uuid> = Vec::with_capacity(named.len() + 1);
        for gid in archived.gid.into_iter().chain(named) {
            if !gids.contains(&gid) {
                gids.push(gid);
            }
        }
        let mut worked_on = false;
        let mut db = db.acquire().await?;
        for gid in &gids {
            let state = queue::state_of(&mut db, *gid).await?;
            worked_on |= state.is_some_and(|state| state.is_open() && state != State::Held);
        }
        let claimed = archived.operation_id.is_some() && archived.operation_id != mine;
        let stage = if claimed || worked_on {
            Stage::UnderWay
        } else if archived.handled {
            Stage::Over
        } else if archived.held {
            Stage::Held
        } else {
            Stage::Open
        };
        Ok(Self { stage, gids })
    }
}
