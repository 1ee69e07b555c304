//! What an act on an archived row depends on, looked at once: its message, its order with sale and buyer, and what is true of it.

use crate::{App, truth::Seen};
use compensation::archive::{
    Archived, Message,
    versions::{self, Version},
};
use ordering::{
    OrderId,
    message::OrderMessage,
    replay::{self, Outlook},
};
use tracing::warn;

/// All of it, as it was a moment ago.
#[derive(Debug)]
pub(crate) struct Looked {
    /// The message, or why it cannot be read: a row whose file is away is still worth seeing.
    pub message: Result<Message, Unread>,
    /// Which message a replay would take.
    pub takes: Takes,
    /// The order with its sale and buyer; `None` where it has no row, or it is no order.
    pub outlook: Option<Outlook>,
    /// What each place says of the order; `None` where it is no order.
    pub seen: Option<Seen>,
}

/// Which message a replay takes.
#[derive(Debug)]
pub(crate) enum Takes {
    /// The one the archive has.
    Archived,
    /// One that somebody edited, or the one it came as.
    Version(Version),
    /// One there is none of.
    Unknown,
}

/// Why a message cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    /// For people.
    pub why: String,
    /// Whether it may be read later.
    pub passes: bool,
}

impl Looked {
    /// Looks; at this version, or the newest.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn at(app: &App, archived: &Archived, version: Option<u32>) -> sqlx::Result<Self> {
        let outlook = match archived.order_id {
            Some(order) => replay::outlook(&app.db, OrderId::from_uuid(order)).await?,
            None => None,
        };
        Ok(Self {
            message: message(app, archived).await,
            takes: takes(app, archived, version).await?,
            outlook,
            seen: Seen::of(app, archived).await?,
        })
    }

    /// The order a replay would take, where it can be read.
    pub fn order(&self) -> Option<OrderMessage> {
        let payload = match &self.takes {
            Takes::Archived => &self.message.as_ref().ok()?.payload,
            Takes::Version(version) => &version.payload,
            Takes::Unknown => return None,
        };
        OrderMessage::parse(payload).ok()
    }

    /// The number of the version it would take, where there are some.
    pub fn version(&self) -> Option<u32> {
        match &self.takes {
            Takes::Version(version) => Some(version.number),
            Takes::Archived | Takes::Unknown => None,
        }
    }
}

/// What is held goes on as it is.
async fn takes(app: &App, archived: &Archived, version: Option<u32>) -> sqlx::Result<Takes> {
    let number = match version {
        // What came is version 0, also where nobody has edited it.
        Some(0) if archived.version == 0 => return Ok(Takes::Archived),
        None if archived.version == 0 || archived.held => return Ok(Takes::Archived),
        None => archived.version,
        Some(number) => number,
    };
    let mut db = app.db.acquire().await?;
    let found = versions::find(&mut db, archived.id, number).await?;
    Ok(found.map_or(Takes::Unknown, Takes::Version))
}

async fn message(app: &App, archived: &Archived) -> Result<Message, Unread> {
    app.archive.message(archived).await.map_err(|cause| {
        let passes = cause.passes();
        let why = format!("{:#}", anyhow::Error::new(cause));
        warn!(archive.id = %archived.id, "The message of {} cannot be read: {why}", archived.id);
        Unread { why, passes }
    })
}
