//! What an act on an archived row depends on, looked at once: its message, its order with sale and buyer, and what is true of it.

use crate::{App, truth::Seen};
use compensation::archive::{Archived, Message};
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
    /// The order with its sale and buyer; `None` where it has no row, or it is no order.
    pub outlook: Option<Outlook>,
    /// What each place says of the order; `None` where it is no order.
    pub seen: Option<Seen>,
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
    /// Looks.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn at(app: &App, archived: &Archived) -> sqlx::Result<Self> {
        let outlook = match archived.order_id {
            Some(order) => replay::outlook(&app.db, OrderId::from_uuid(order)).await?,
            None => None,
        };
        Ok(Self {
            message: message(app, archived).await,
            outlook,
            seen: Seen::of(app, archived).await?,
        })
    }

    /// The order in the message, where there is one that can be read.
    pub fn order(&self) -> Option<OrderMessage> {
        let message = self.message.as_ref().ok()?;
        OrderMessage::parse(&message.payload).ok()
    }
}

async fn message(app: &App, archived: &Archived) -> Result<Message, Unread> {
    app.archive.message(archived).await.map_err(|cause| {
        let passes = cause.passes();
        let why = format!("{:#}", anyhow::Error::new(cause));
        warn!(archive.id = %archived.id, "The message of {} cannot be read: {why}", archived.id);
        Unread { why, passes }
    })
}
