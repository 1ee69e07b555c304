//! How an operation on many moves on, a little at a time: whoever finds it due locks its row, writes a piece of its items, adds up
//! what has ended, judges it, begins as many as rate and ladder let it, and says when it is due again.
//!
//! All of a tick is one transaction of the caller's under that row's lock: of many processes one does it, acts of operators come
//! before or after it, and one that dies in the middle did nothing. So the rate is one rate, however many processes there are.
//! What a tick costs has a bound, however many items there are.

mod adding_up;
mod beginning;
mod due;
mod selecting;

pub use adding_up::add_up;
pub use beginning::begin_some;
pub use due::{Due, due, put_off, save};
pub use selecting::select_some;

use super::{
    filled_up,
    ladder::{Verdict, Window},
    state::{Event, IllegalMove, State},
};
use sqlx::{MySql, MySqlConnection, QueryBuilder};
use uuid::Uuid;

/// Items that are selected, added up, or begun in a tick, at most.
pub const AT_ONCE: u32 = 500;

/// Moves it on: to a second person, or to its end where none confirmed it; out of its grace, to a pause where too many failed, to its end.
///
/// # Errors
/// [`IllegalMove`] where this code and its states disagree.
pub fn judge(due: &mut Due) -> Result<(), IllegalMove> {
    if due.needs_confirmation() {
        due.state = due.state.on(Event::TooManyForOne)?;
    }
    if due.state == State::Unconfirmed && due.confirm_until <= due.now {
        due.state = due.state.on(Event::NotConfirmedInTime)?;
    }
    if due.state == State::Waiting && due.selected_all && due.starts_at <= due.now {
        due.state = due.state.on(Event::GraceOver)?;
        due.window = Window::first(due.canary);
    }
    let done = due.selected_all && due.counts.left() == 0 && due.counts.under_way() == 0;
    if done && matches!(due.state, State::Running | State::Paused) {
        due.state = due.state.on(Event::AllEnded)?;
    }
    if due.state == State::Running {
        match due.window.judged(due.stop_percent, due.counts.under_way()) {
            Verdict::GoOn(window) => due.window = window,
            Verdict::Stop => {
                due.state = due.state.on(Event::FailedTooOften)?;
                due.stopped_itself = Some(format!(
                    "{} of {} that ended had failed, and it stops above {} %",
                    due.window.failed, due.window.ended, due.stop_percent
                ));
            }
        }
    }
    Ok(())
}

/// Writes `to` into these items of an operation.
async fn set_items(
    db: &mut MySqlConnection,
    operation: Uuid,
    ids: Vec<Uuid>,
    to: &'static str,
    reason: Option<&str>,
) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut update = QueryBuilder::<MySql>::new("update operation_items set ");
    update.push(to);
    if let Some(reason) = reason {
        update.push(", reason = ").push_bind(reason.to_owned());
    }
    update.push(" where operation_id = ").push_bind(operation);
    update.push(" and archive_id in (");
    let mut list = update.separated(", ");
    for id in filled_up(ids) {
        list.push_bind(id);
    }
    update.push(")").build().execute(db).await?;
    Ok(())
}
