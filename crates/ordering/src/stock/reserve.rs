//! Taking units for an order, taking them back, and looking at what was taken.

use super::{Reply, Stock, StockError, measures::Measured, scripts};
use crate::{
    ids::{OrderId, Quantity, SaleId},
    keys::{self, Names},
    message::Idempotency,
};
use coordinator::Gid;
use identity::UserId;
use redis::RedisError;
use std::{str::FromStr, time::Duration};

/// What a reservation asks for.
#[derive(Debug, Clone, Copy)]
pub struct Reserve<'a> {
    /// The sale.
    pub sale: SaleId,
    /// The transaction that is to decide it.
    pub gid: Gid,
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Units.
    pub units: Quantity,
    /// The buyer's key for this request.
    pub idempotency: Option<&'a Idempotency>,
    /// Kept with the reservation, so that anyone can publish it again.
    pub message: &'a [u8],
    /// Whether the sale's window counts.
    pub window: Window,
}

/// Whether the sale must be running, by Redis' clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As for every buyer.
    Checked,
    /// As for a replay: it was admitted in time.
    Skipped,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationState {
    /// Units are held.
    Reserved,
    /// Held, and the coordinator has asked.
    Prepared,
    /// Sold.
    Confirmed,
    /// Sold, and given back since.
    Returned,
    /// Given back unsold.
    Released,
    /// The record is gone: it was final, long ago.
    Gone,
}

impl ReservationState {
    /// How it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Prepared => "prepared",
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
            Self::Released => "released",
            Self::Gone => "gone",
        }
    }
}

impl FromStr for ReservationState {
    type Err = StockError;

    fn from_str(text: &str) -> Result<Self, StockError> {
        Ok(match text {
            "reserved" => Self::Reserved,
            "prepared" => Self::Prepared,
            "confirmed" => Self::Confirmed,
            "returned" => Self::Returned,
            "released" => Self::Released,
            "gone" => Self::Gone,
            other => {
                return Err(StockError::UnknownReply(format!(
                    "reservation state {other:?}"
                )));
            }
        })
    }
}

/// A reservation that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Made just now.
    New,
    /// Made before, for the same transaction or under the same key.
    Known {
        /// The order it was made for.
        order: OrderId,
        /// Where it stands.
        state: ReservationState,
        /// The message, while nobody has worked on it: it may never have been published. It cannot be withdrawn any more.
        publish_again: Option<Vec<u8>>,
    },
}

/// Why units were refused. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    /// Paused, not begun, or over.
    #[error("the sale is not open")]
    NotOpen,
    /// The buyer holds all he may.
    #[error("the buyer has ordered already")]
    AlreadyOrdered {
        /// His latest order.
        order: OrderId,
    },
    /// The buyer would hold more than he may.
    #[error("the buyer would hold more than the sale allows")]
    LimitExceeded,
    /// Too many units wait for their decision.
    #[error("too many orders are waiting")]
    Busy,
    /// Nothing is available.
    #[error("sold out")]
    SoldOut,
    /// Less is available than asked for.
    #[error("only {available} left")]
    Insufficient {
        /// What is.
        available: u32,
    },
}

/// Why there is no reservation, or none that is known of.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// Refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The sale is being rebuilt; surely nothing was written.
    #[error("the sale's stock is being rebuilt")]
    Fenced,
    /// No answer: it may have been made.
    #[error("it is unknown whether the reservation was made")]
    Unknown(#[source] StockError),
}

impl From<StockError> for ReserveError {
    fn from(error: StockError) -> Self {
        match error {
            StockError::Fenced => Self::Fenced,
            StockError::Full => Self::Refused(Refusal::Busy),
            StockError::NoAnswer(_) | StockError::UnknownReply(_) => Self::Unknown(error),
        }
    }
}

/// What became of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// Units and key are free again.
    Released,
    /// Somebody published it meanwhile: it lives on.
    PublishedAgain,
    /// There was nothing to withdraw.
    Nothing,
}

/// A reservation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Where it stands.
    pub state: ReservationState,
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Units.
    pub units: u32,
    /// The message, while it is not final.
    pub message: Option<Vec<u8>>,
}

/// A reservation that nobody settled in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueReservation {
    /// Its transaction.
    pub gid: Gid,
    /// What to publish again.
    pub message: Vec<u8>,
}

impl Stock {
    /// Takes units for an order, or tells what became of them before. KEYS and ARGV as `lua/reserve.lua` lists them.
    ///
    /// # Errors
    /// [`ReserveError`] tells apart: refused, surely not made, perhaps made.
    pub async fn reserve(&self, ask: &Reserve<'_>) -> Result<Reserved, ReserveError> {
        let _measured = Measured::new("reserve");
        let reply = self
            .at_epoch(ask.sale, |names| reserve_call(ask, names))
            .await?;
        let unknown = |error| ReserveError::Unknown(error);
        Err(ReserveError::Refused(match reply.code() {
            "reserved" => return Ok(Reserved::New),
            "known" => return known(&reply).map_err(unknown),
            "idempotency_conflict" => Refusal::IdempotencyConflict,
            "not_open" => Refusal::NotOpen,
            "already_ordered" => Refusal::AlreadyOrdered {
                order: reply.id(1).map_err(unknown)?,
            },
            "limit_exceeded" => Refusal::LimitExceeded,
            "busy" => Refusal::Busy,
            "sold_out" => Refusal::SoldOut,
            "insufficient_stock" => Refusal::Insufficient {
                available: reply.get(1).map_err(unknown)?,
            },
            _ => return Err(unknown(reply.unexpected())),
        }))
    }

    /// Takes back a reservation whose message surely was not published. KEYS and ARGV as `lua/withdraw.lua` lists them.
    ///
    /// # Errors
    /// When the sale is fenced or Redis does not answer: the reservation may stand, and is settled by itself.
    pub async fn withdraw(
        &self,
        sale: SaleId,
        gid: Gid,
        user: UserId,
        key: Option<&str>,
    ) -> Result<Withdrawn, StockError> {
        let _measured = Measured::new("withdraw");
        let reply = self
            .at_epoch(sale, |names| {
                let mut keys = vec![
                    keys::stock(sale),
                    names.buyers(),
                    names.pending(),
                    names.reservation(gid),
                ];
                keys.extend(key.map(|key| names.key(user, key)));
                let mut call = scripts::WITHDRAW.call(&keys);
                call.arg(names.epoch).arg(gid.to_string());
                call
            })
            .await?;
        match reply.code() {
            "released" => Ok(Withdrawn::Released),
            "published_again" => Ok(Withdrawn::PublishedAgain),
            "nothing" => Ok(Withdrawn::Nothing),
            _ => Err(reply.unexpected()),
        }
    }

    /// One reservation; `None` when there surely is none.
    ///
    /// # Errors
    /// When the sale is fenced or Redis does not answer.
    pub async fn reservation(
        &self,
        sale: SaleId,
        gid: Gid,
    ) -> Result<Option<Reservation>, StockError> {
        let reply = self
            .at_epoch(sale, |names| {
                let mut call =
                    scripts::RESERVATION.call(&[keys::stock(sale), names.reservation(gid)]);
                call.arg(names.epoch);
                call
            })
            .await?;
        found(&reply)
    }

    /// Gids of reservations whose next look is due by Redis' clock, oldest first: `limit` at most, after the first `offset`.
    ///
    /// # Errors
    /// When the sale is fenced or Redis does not answer.
    pub async fn overdue(
        &self,
        sale: SaleId,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<Gid>, StockError> {
        let reply = self
            .at_epoch(sale, |names| {
                let mut call = scripts::OVERDUE.call(&[keys::stock(sale), names.pending()]);
                call.arg(names.epoch).arg(offset).arg(limit);
                call
            })
            .await?;
        (1..=reply.rest().len())
            .map(|at| reply.id::<uuid::Uuid>(at).map(Gid::from_uuid))
            .collect()
    }

    /// Marks reservations as published again and puts their next look off; gives the messages of those that still wait.
    ///
    /// # Errors
    /// When the sale is fenced or Redis does not answer.
    pub async fn publish_again(
        &self,
        sale: SaleId,
        gids: &[Gid],
        look_again_after: Duration,
    ) -> Result<Vec<OverdueReservation>, StockError> {
        let mut overdue = Vec::with_capacity(gids.len());
        for gids in gids.chunks(super::GIDS_A_CALL) {
            let reply = self
                .at_epoch(sale, |names| {
                    let mut keys = vec![keys::stock(sale), names.pending()];
                    keys.extend(gids.iter().map(|gid| names.reservation(*gid)));
                    let mut call = scripts::PUBLISH_AGAIN.call(&keys);
                    call.arg(names.epoch)
                        .arg(u64::try_from(look_again_after.as_millis()).unwrap_or(u64::MAX));
                    for gid in gids {
                        call.arg(gid.to_string());
                    }
                    call
                })
                .await?;
            for (at, gid) in (1..).zip(gids) {
                if let Some(message) = reply.get(at)? {
                    overdue.push(OverdueReservation { gid: *gid, message });
                }
            }
        }
        Ok(overdue)
    }
}

fn reserve_call(ask: &Reserve<'_>, names: Names) -> redis::Cmd {
    let mut keys = vec![
        keys::stock(ask.sale),
        names.buyers(),
        names.pending(),
        names.reservation(ask.gid),
    ];
    keys.extend(ask.idempotency.map(|known| names.key(ask.user, &known.key)));
    let mut call = scripts::RESERVE.call(&keys);
    call.arg(names.epoch)
        .arg(ask.gid.to_string())
        .arg(ask.order.to_string())
        .arg(ask.user.to_string())
        .arg(ask.units.get())
        .arg(u8::from(ask.window == Window::Checked))
        .arg(names.reservations())
        .arg(ask.message);
    if let Some(known) = ask.idempotency {
        call.arg(&known.body_hash);
    }
    call
}

/// What `reservation.lua` answers.
pub(super) fn found(reply: &Reply) -> Result<Option<Reservation>, StockError> {
    match reply.code() {
        "none" => Ok(None),
        "found" => Ok(Some(Reservation {
            state: reply.get::<String>(1)?.parse()?,
            order: reply.id(2)?,
            user: reply.id(3)?,
            units: reply.get(4)?,
            message: reply.get(5)?,
        })),
        _ => Err(reply.unexpected()),
    }
}

fn known(reply: &Reply) -> Result<Reserved, StockError> {
    Ok(Reserved::Known {
        order: reply.id(1)?,
        state: reply.get::<String>(2)?.parse()?,
        publish_again: reply.get(3)?,
    })
}

impl From<RedisError> for StockError {
    fn from(cause: RedisError) -> Self {
        Self::NoAnswer(cause)
    }
}
