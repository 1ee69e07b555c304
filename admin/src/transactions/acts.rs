//! What a person may do to a transaction. Every act is audited with it, and so is what is refused.
//!
//! An order that is not decided is rolled back by its archive: the compensator gives it up as if its tries were used up, so that its
//! units come back, its row and its history are kept, and people are told.

use crate::{
    App,
    access::{Caller, Permission as _, Resume, RollBack, Stop},
    audit::{self, Entry, Outcome},
    doubt,
};
use compensation::{
    archive,
    headers::Headers,
    queue::{self, NewWork},
    state::State,
};
use coordinator::{
    Gid, ResumeError, TxState,
    control::{self, Listed, StopError},
};
use ordering::{engine, message::OrderMessage};
use sqlx::MySqlConnection;
use std::time::Duration;

/// The kind of a transaction that places an order.
const ORDER: &str = "order";
/// The error of an order that was given up before it failed. No name: it is told outside.
const BY_AN_OPERATOR: &str = "rolled back by an operator";

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error("there is no such transaction")]
    NotFound,
    /// The code says why.
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

impl ActError {
    const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Refused(code) => code,
            Self::Database(_) => "unavailable",
        }
    }
}

/// The page of a transaction.
pub(crate) fn page_of(gid: impl std::fmt::Display) -> String {
    format!("/transactions/{gid}")
}

/// Why it would not be rolled back now.
pub(super) fn roll_back_refusal(listed: &Listed) -> Option<&'static str> {
    match listed.state {
        TxState::Begun | TxState::Prepared if listed.kind == ORDER => None,
        TxState::Begun | TxState::Prepared => Some("not_an_order"),
        _ => Some("already_decided"),
    }
}

/// Why it would not be resumed now.
pub(super) const fn resume_refusal(listed: &Listed) -> Option<&'static str> {
    match listed.state {
        TxState::StuckCommitting | TxState::StuckRollingBack => None,
        _ => Some("not_stuck"),
    }
}

/// Why it would not be stopped now.
pub(super) const fn stop_refusal(listed: &Listed) -> Option<&'static str> {
    cannot_stop(listed.state)
}

const fn cannot_stop(state: TxState) -> Option<&'static str> {
    match state {
        TxState::Committing | TxState::RollingBack => None,
        TxState::StuckCommitting | TxState::StuckRollingBack => Some("already_stuck"),
        TxState::Begun | TxState::Prepared => Some("not_decided"),
        TxState::Committed | TxState::RolledBack => Some("finished"),
    }
}

/// Has an undecided order given up: the compensator decides it, and archives it.
///
/// # Errors
/// [`ActError`]
pub(super) async fn roll_back(app: &App, caller: &Caller, gid: Gid) -> Result<(), ActError> {
    let entry = entry(RollBack::NAME, "");
    let given_up = async {
        let found = control::get(&app.db, gid)
            .await?
            .ok_or(ActError::NotFound)?;
        if let Some(code) = roll_back_refusal(&found.transaction) {
            return Err(ActError::Refused(code));
        }
        let mut tx = app.db.begin().await?;
        give_up(&mut tx, gid).await?;
        record(&mut tx, caller, gid, entry).await?;
        Ok(doubt::commit(tx).await?)
    };
    told(app, caller, gid, entry, given_up.await).await
}

/// Lets a stuck one go on, the way it was decided; the state it has then.
///
/// # Errors
/// [`ActError`]
pub(super) async fn resume(app: &App, caller: &Caller, gid: Gid) -> Result<TxState, ActError> {
    let entry = entry(Resume::NAME, "");
    let resumed = async {
        let mut tx = app.db.begin().await?;
        let state = coordinator::resume(&mut tx, gid)
            .await
            .map_err(|refused| match refused {
                ResumeError::NotFound(_) => ActError::NotFound,
                ResumeError::NotStuck(_) => ActError::Refused("not_stuck"),
                ResumeError::NotHandedOver(_) => ActError::Refused("dead_letter_pending"),
                ResumeError::Database(cause) => cause.into(),
            })?;
        record(&mut tx, caller, gid, entry).await?;
        doubt::commit(tx).await?;
        Ok(state)
    };
    told(app, caller, gid, entry, resumed.await).await
}

/// Has nobody try any more to complete one that is decided: it is stuck, and gets its dead letter. The state it has then.
///
/// # Errors
/// [`ActError`]
pub(super) async fn stop(
    app: &App,
    caller: &Caller,
    gid: Gid,
    reason: &str,
) -> Result<TxState, ActError> {
    let entry = entry(Stop::NAME, reason);
    let stopped = async {
        let mut tx = app.db.begin().await?;
        let state = control::stop(&mut tx, gid, &caller.who.name, reason)
            .await
            .map_err(|refused| match refused {
                StopError::NotFound(_) => ActError::NotFound,
                StopError::CannotStop(illegal) => {
                    ActError::Refused(cannot_stop(illegal.from).unwrap_or("finished"))
                }
                StopError::Database(cause) => cause.into(),
            })?;
        record(&mut tx, caller, gid, entry).await?;
        doubt::commit(tx).await?;
        Ok(state)
    };
    told(app, caller, gid, entry, stopped.await).await
}

/// Leaves the order to the archive, where its retries had it or not.
async fn give_up(tx: &mut MySqlConnection, gid: Gid) -> Result<(), ActError> {
    let mut stood = queue::give_up(&mut *tx, gid.as_uuid()).await?;
    if stood.is_none() {
        let order = undecided(&mut *tx, gid).await?;
        let work = given_up(&mut *tx, &order).await?;
        queue::enqueue(&mut *tx, &work).await?;
        stood = queue::give_up(tx, gid.as_uuid()).await?;
    }
    match stood {
        Some(State::Scheduled | State::Dead | State::Archiving) => Ok(()),
        Some(State::Held) => Err(ActError::Refused("held")),
        Some(State::Archived | State::Closed) | None => Err(ActError::Refused("settled")),
    }
}

async fn undecided(db: &mut MySqlConnection, gid: Gid) -> Result<OrderMessage, ActError> {
    match engine::undecided(db, gid).await {
        Ok(order) => order.ok_or(ActError::Refused("already_decided")),
        Err(sqlx::Error::Decode(_)) => Err(ActError::Refused("message_unreadable")),
        Err(cause) => Err(cause.into()),
    }
}

async fn given_up(db: &mut MySqlConnection, order: &OrderMessage) -> sqlx::Result<NewWork> {
    let order_id = order.order_id.as_uuid();
    Ok(NewWork {
        gid: order.gid.as_uuid(),
        kind: ORDER,
        order_id,
        generation: order.generation,
        sale_id: order.sale_id.as_uuid(),
        user_id: order.user_id.as_uuid(),
        state: State::Archiving,
        attempts: 0,
        due_after: Duration::ZERO,
        payload: order.to_bytes(),
        headers: Headers::default(),
        history: archive::history_of(db, order_id).await?,
        error: Some(BY_AN_OPERATOR.to_owned()),
    })
}

const fn entry<'a>(act: &'a str, detail: &'a str) -> Entry<'a> {
    Entry {
        act,
        subject: "",
        outcome: Outcome::Done,
        detail,
    }
}

/// The act's line, in the act's own transaction: what cannot be written down is not done.
async fn record(
    db: &mut MySqlConnection,
    caller: &Caller,
    gid: Gid,
    entry: Entry<'_>,
) -> sqlx::Result<()> {
    let subject = gid.to_string();
    let entry = Entry {
        subject: &subject,
        ..entry
    };
    audit::record(db, &caller.who, entry).await
}

/// Audits an act that was refused, or failed.
async fn told<T>(
    app: &App,
    caller: &Caller,
    gid: Gid,
    entry: Entry<'_>,
    acted: Result<T, ActError>,
) -> Result<T, ActError> {
    let Err(refused) = &acted else { return acted };
    let outcome = match refused {
        ActError::Database(_) => Outcome::Failed,
        ActError::NotFound | ActError::Refused(_) => Outcome::Refused,
    };
    let subject = gid.to_string();
    let entry = Entry {
        subject: &subject,
        outcome,
        detail: refused.code(),
        ..entry
    };
    let audited = audit::record_alone(&app.db, &caller.who, entry).await;
    // A database that is away has been told of once.
    if outcome == Outcome::Refused {
        audited?;
    }
    acted
}
