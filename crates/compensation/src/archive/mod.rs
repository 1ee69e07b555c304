//! What was given up: one row each in `failed_order_archives`, whoever keeps the payload, with the whole history.
//!
//! An order has one row for ever: a replay that fails too comes back to it with the longer history. So has a transaction that is
//! stuck, under an id of its own.

mod backends;
mod counting;
mod expiry;
pub mod groups;
mod histories;
mod kept;
mod kind;
pub mod listing;
pub mod marks;
pub mod notes;
mod record;
mod stage;
mod standing;
mod store;
pub mod transaction;
pub mod versions;
pub(crate) mod walk;

pub use counting::{Counting, forget};
pub use expiry::Expiry;
pub use histories::histories_of;
pub use kept::Kept;
pub use kind::Kind;
pub use record::Record;
pub use stage::{Pending, Stage};
pub use store::{Store, StoreError};
pub use walk::{Bounds, Found};

use crate::{
    attempt::History,
    fingerprint::{self, Cause, Fingerprint},
    headers::Headers,
    queue::{short, unreadable},
};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// What is put into the archive.
#[derive(Debug, Clone)]
pub struct ToArchive {
    /// Of an order its id; of a transaction [`transaction::id_of`]; of another message one made from where it lay.
    pub id: Uuid,
    /// What it is.
    pub subject: Subject,
    /// The step that failed: `decide`, `parse`, [`transaction::STEP`].
    pub step: &'static str,
    /// The last error.
    pub error: String,
    /// Every try.
    pub history: History,
    /// The message.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Headers,
    /// What else there is of the message.
    pub envelope: Envelope,
    /// Whether its units stay held.
    pub held: bool,
    /// When the first try failed.
    pub first_failed_at: DateTime<Utc>,
}

/// What there is of a message besides payload and headers. Of what we wrote ourselves nothing needs to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The key it came with.
    pub key: Option<Vec<u8>>,
    /// Whether it came without a value, which is not the same as an empty one. The payload is empty then.
    pub is_tombstone: bool,
    /// The kind of error it was given up for, as its headers name it.
    pub error_class: Option<String>,
}

/// What was given up, with what the archive knows of it besides its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An order.
    Order(ArchivedOrder),
    /// A transaction that is stuck.
    Transaction {
        /// The transaction.
        gid: Uuid,
        /// What it contends for.
        label: Uuid,
        /// Completing attempts that failed.
        attempts: u32,
    },
    /// A message that is no order.
    Message,
}

/// What the archive knows of an order besides its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedOrder {
    /// The transaction that gave it up.
    pub gid: Uuid,
    /// 0, or the replay that failed.
    pub generation: u32,
    /// Its sale.
    pub sale_id: Uuid,
    /// Its buyer.
    pub user_id: Uuid,
    /// Units.
    pub quantity: u32,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Archived {
    /// Of an order its id.
    pub id: Uuid,
    /// Nothing for what is no order.
    pub order_id: Option<Uuid>,
    /// The transaction that gave it up, or is stuck; nothing for a message that is no order.
    pub gid: Option<Uuid>,
    /// 0, or the replay that failed.
    pub generation: u32,
    /// Its sale; of a transaction, what it contends for.
    pub sale_id: Option<Uuid>,
    /// Its buyer.
    pub user_id: Option<Uuid>,
    /// Units.
    pub quantity: Option<u32>,
    /// The step that failed.
    pub step: String,
    /// The last error.
    pub error: String,
    /// The kind of error, where it is known besides its text.
    pub error_class: Option<String>,
    /// What it shares with its group; nothing where that is not worked out yet.
    pub fingerprint: Option<Fingerprint>,
    /// The way of comparing that gave it, see [`fingerprint::VERSION`].
    pub fingerprint_version: u16,
    /// Tries, all generations together.
    pub attempts: u32,
    /// Every try.
    pub history: History,
    /// Who keeps its message, see [`service_kit::settings::ArchiveStorage`].
    pub storage: String,
    /// Where it is there; nothing where it is in the row.
    pub location: Option<String>,
    /// Whether its units are held.
    pub held: bool,
    /// Whether nothing is left to do.
    pub handled: bool,
    /// How it ended: `confirmed`, `rejected`, [`transaction::COMPLETED`].
    pub resolution: Option<String>,
    /// The replay under way.
    pub operation_id: Option<Uuid>,
    /// How often it came here.
    pub times_archived: u32,
    /// The number of its newest [version](versions); 0: nobody has edited it.
    pub version: u32,
    /// When the first try failed.
    pub first_failed_at: DateTime<Utc>,
    /// When it came here last.
    pub archived_at: DateTime<Utc>,
    /// When it was handled.
    pub handled_at: Option<DateTime<Utc>>,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its value.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Headers,
    /// Its key, where it was kept: of messages that are no orders.
    pub key: Option<Vec<u8>>,
    /// Whether it came without a value.
    pub is_tombstone: bool,
}

impl ToArchive {
    /// What it shares with others: of what is stored, so that it can be worked out again.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let class = self.envelope.error_class.as_deref().map(short_class);
        Cause::of(self.step, class.as_deref(), &short(&self.error)).fingerprint()
    }
}

/// Writes the row, open, in the caller's transaction: anew, or over the one its order has. `kept` is what [`Store::keep`] gave.
///
/// # Errors
/// What the database says.
pub async fn put(db: &mut MySqlConnection, what: &ToArchive, kept: &Kept) -> sqlx::Result<()> {
    let (order, gid, attempts) = match what.subject {
        Subject::Order(order) => (Some(order), Some(order.gid), what.history.tries()),
        Subject::Transaction { gid, attempts, .. } => (None, Some(gid), attempts),
        Subject::Message => (None, None, what.history.tries()),
    };
    let sale = match what.subject {
        Subject::Order(order) => Some(order.sale_id),
        Subject::Transaction { label, .. } => Some(label),
        Subject::Message => None,
    };
    let error = short(&what.error);
    let class = what.envelope.error_class.as_deref().map(short_class);
    let fingerprint = what.fingerprint();
    sqlx::query!(
        "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, error_class, \
         fingerprint, fingerprint_version, attempts, history, storage, location, payload, headers, message_key, tombstone, held, handled, \
         times_archived, first_failed_at, archived_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, 1, ?, utc_timestamp(3))
         on duplicate key update gid = values(gid), generation = values(generation), quantity = values(quantity), step = values(step), error = values(error),
         error_class = values(error_class), fingerprint = values(fingerprint), fingerprint_version = values(fingerprint_version),
         message_key = values(message_key), tombstone = values(tombstone),
         attempts = values(attempts), history = values(history), storage = values(storage), location = values(location),
         payload = values(payload), headers = values(headers), held = values(held), handled = false, resolution = null,
         handled_at = null, operation_id = null, times_archived = times_archived + 1, archived_at = values(archived_at)",
        what.id,
        order.map(|_| what.id),
        gid,
        order.map_or(0, |order| order.generation),
        sale,
        order.map(|order| order.user_id),
        order.map(|order| order.quantity),
        what.step,
        error,
        class,
        fingerprint.to_number(),
        fingerprint::VERSION,
        attempts,
        what.history.to_json(),
        kept.storage().as_str(),
        kept.location(),
        kept.payload(),
        kept.headers(),
        kept.key(),
        what.envelope.is_tombstone,
        what.held,
        what.first_failed_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether there is a row already.
///
/// # Errors
/// What the database says.
pub async fn exists(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<bool> {
    Ok(
        sqlx::query_scalar!("select 1 from failed_order_archives where id = ?", id)
            .fetch_optional(db)
            .await?
            .is_some(),
    )
}

/// The history of an order that came here before; an empty one for any other.
///
/// # Errors
/// What the database says.
pub async fn history_of(db: &mut MySqlConnection, order: Uuid) -> sqlx::Result<History> {
    let stored = sqlx::query_scalar!(
        "select history from failed_order_archives where id = ?",
        order
    )
    .fetch_optional(db)
    .await?;
    stored.map_or_else(
        || Ok(History::default()),
        |text| History::from_json(&text).map_err(unreadable),
    )
}

/// Closes an order's row: a replay settled it so. Nothing happens to an order that was never archived.
///
/// # Errors
/// What the database says.
pub async fn resolve(
    db: &mut MySqlConnection,
    order: Uuid,
    resolution: &str,
    history: &History,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update failed_order_archives set handled = true, handled_at = utc_timestamp(3), resolution = ?, operation_id = null,
                held = false, history = ?, attempts = ?
         where id = ? and handled = false",
        resolution,
        history.to_json(),
        history.tries(),
        order
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One row.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, id: Uuid) -> sqlx::Result<Option<Archived>> {
    sqlx::query_as!(
        Row,
        r#"select id as "id: _", order_id as "order_id: _", gid as "gid: _", generation as "generation: u32",
                  sale_id as "sale_id: _", user_id as "user_id: _", quantity as "quantity: u32", step, error,
                  error_class, fingerprint, fingerprint_version, attempts as "attempts: u32", history, storage, location, held as "held: bool", handled as "handled: bool",
                  resolution, operation_id as "operation_id: _", times_archived as "times_archived: u32", version as "version: u32",
                  first_failed_at as "first_failed_at: _", archived_at as "archived_at: _", handled_at as "handled_at: _"
           from failed_order_archives where id = ?"#,
        id
    )
    .fetch_optional(db)
    .await?
    .map(Row::archived)
    .transpose()
}

/// The message of a row that is kept in it, or in a file: for these no settings are needed. [`Store::message`] reads them all.
///
/// # Errors
/// [`StoreError`].
pub async fn message(db: &MySqlPool, archived: &Archived) -> Result<Message, StoreError> {
    Store::of_rows(db.clone()).message(archived).await
}

/// How many rows are open.
///
/// # Errors
/// What the database says.
pub async fn open(db: &MySqlPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select count(*) from failed_order_archives where handled = false")
        .fetch_one(db)
        .await
}

impl Archived {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::of(self.order_id, self.gid)
    }

    /// What it shares with its group, as this build compares; [`Archived::fingerprint`] may still be of an older way.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause::of(&self.step, self.error_class.as_deref(), &self.error)
    }
}

/// As much of an error's kind as its column takes.
fn short_class(class: &str) -> String {
    class.chars().take(200).collect()
}

struct Row {
    id: Uuid,
    order_id: Option<Uuid>,
    gid: Option<Uuid>,
    generation: u32,
    sale_id: Option<Uuid>,
    user_id: Option<Uuid>,
    quantity: Option<u32>,
    step: String,
    error: String,
    error_class: Option<String>,
    fingerprint: Option<u64>,
    fingerprint_version: u16,
    attempts: u32,
    history: String,
    storage: String,
    location: Option<String>,
    held: bool,
    handled: bool,
    resolution: Option<String>,
    operation_id: Option<Uuid>,
    times_archived: u32,
    version: u32,
    first_failed_at: DateTime<Utc>,
    archived_at: DateTime<Utc>,
    handled_at: Option<DateTime<Utc>>,
}

impl Row {
    fn archived(self) -> sqlx::Result<Archived> {
        Ok(Archived {
            id: self.id,
            order_id: self.order_id,
            gid: self.gid,
            generation: self.generation,
            sale_id: self.sale_id,
            user_id: self.user_id,
            quantity: self.quantity,
            step: self.step,
            error: self.error,
            error_class: self.error_class,
            fingerprint: self.fingerprint.map(Fingerprint::from_number),
            fingerprint_version: self.fingerprint_version,
            attempts: self.attempts,
            history: History::from_json(&self.history).map_err(unreadable)?,
            storage: self.storage,
            location: self.location,
            held: self.held,
            handled: self.handled,
            resolution: self.resolution,
            operation_id: self.operation_id,
            times_archived: self.times_archived,
            version: self.version,
            first_failed_at: self.first_failed_at,
            archived_at: self.archived_at,
            handled_at: self.handled_at,
        })
    }
}
