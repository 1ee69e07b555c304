//! What operators wish of work, whoever has it in hand.

use super::{illegal, stored_state};
use crate::state::{Event, State};
use sqlx::MySqlConnection;
use uuid::Uuid;

/// Puts what is held back into the retry queue, due at once. `false`: it is not held.
///
/// # Errors
/// What the database says.
pub async fn replay_held(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<bool> {
    let state = State::Held.on(Event::Replayed).map_err(illegal)?;
    let written = sqlx::query!(
        "update compensations set state = ?, attempts = 0, due_at = utc_timestamp(3), claim = default where gid = ? and state = 'held'",
        state.as_str(),
        gid
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Closes what is held: a decision settled it so, and its units are not held any more. Nothing happens to any other work.
///
/// # Errors
/// What the database says.
pub async fn close_held(db: &mut MySqlConnection, gid: Uuid, outcome: &str) -> sqlx::Result<()> {
    let state = State::Held.on(Event::Settled).map_err(illegal)?;
    sqlx::query!(
        "update compensations set state = ?, outcome = ?, closed_at = utc_timestamp(3), claim = default where gid = ? and state = 'held'",
        state.as_str(),
        outcome,
        gid
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has work given up at once, whatever tries are left: an operator's wish. A try under way changes nothing any more, but what it
/// decided stands. Gives the state it had; `None`: there is no such work. Nothing is written where that state does not allow it, see
/// [`State::on`]. Locks its row.
///
/// # Errors
/// What the database says.
pub async fn give_up(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<Option<State>> {
    let Some(state) = locked_state(&mut *db, gid).await? else {
        return Ok(None);
    };
    let Ok(becomes) = state.on(Event::AskedToGiveUp) else {
        return Ok(Some(state));
    };
    // Also the claim of who is just putting it away, and would hold its units: it finds the wish when it begins anew.
    sqlx::query!(
        "update compensations set state = ?, given_up = 1, due_at = utc_timestamp(3), claim = default where gid = ?",
        becomes.as_str(),
        gid
    )
    .execute(db)
    .await?;
    Ok(Some(state))
}

async fn locked_state(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<Option<State>> {
    sqlx::query_scalar!(
        "select state from compensations where gid = ? for update",
        gid
    )
    .fetch_optional(db)
    .await?
    .map(|name| stored_state(&name))
    .transpose()
}
