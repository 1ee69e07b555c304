//! Everything known about one thing that was given up.

use super::masking;
use crate::{
    App,
    audit::{self, Line, Search},
    replay,
};
use compensation::{
    alerts::outbox::{self, Delivery},
    archive::{self, Archived, Message, listing::State, transaction::StuckTransaction},
    operations::{self, Operation},
};
use identity::OperatorRole;
use tracing::warn;
use uuid::Uuid;

/// Replays and lines of the audit shown at most, newest first.
const SHOWN_AT_MOST: u32 = 100;

/// One of it.
pub(crate) struct Detail {
    pub archived: Archived,
    /// The message, or why it cannot be read: a row whose file is away is still worth seeing.
    message: Result<Message, String>,
    /// Newest first.
    pub operations: Vec<Operation>,
    /// Newest first.
    pub alerts: Vec<Delivery>,
    /// Newest first.
    pub audit: Vec<Line>,
    /// Why a replay would be refused now.
    pub refusal: Option<&'static str>,
}

impl Detail {
    /// Looks all of it up.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(app: &App, id: Uuid) -> sqlx::Result<Option<Self>> {
        let Some(archived) = archive::find(&app.db, id).await? else {
            return Ok(None);
        };
        let message = archive::message(&app.db, &archived).await.map_err(|cause| {
            let why = format!("{:#}", anyhow::Error::new(cause));
            warn!(archive.id = %id, "The message of {id} cannot be read: {why}");
            why
        });
        let search = Search {
            subject: Some(id.to_string()),
            before: None,
        };
        Ok(Some(Self {
            operations: operations::latest(&app.db, Some(id), SHOWN_AT_MOST).await?,
            alerts: outbox::of_subject(&app.db, &id.to_string()).await?,
            audit: audit::lines(&app.db, &search, SHOWN_AT_MOST).await?,
            refusal: replay::refusal(&app.db, &archived).await?,
            archived,
            message,
        }))
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        State::of(self.archived.handled, self.archived.operation_id.is_some())
    }

    /// The payload as a role may see it, or why it cannot be read.
    pub fn payload(&self, role: OperatorRole) -> Result<String, &str> {
        match &self.message {
            Ok(message) => Ok(masking::payload(&message.payload, role)),
            Err(why) => Err(why),
        }
    }

    /// The payload for programs; null when it cannot be read.
    pub fn payload_json(&self, role: OperatorRole) -> serde_json::Value {
        self.message
            .as_ref()
            .map_or(serde_json::Value::Null, |message| {
                masking::payload_json(&message.payload, role)
            })
    }

    /// What is known of the transaction it is about, if it is about one.
    pub fn transaction(&self) -> Option<StuckTransaction> {
        let message = self.message.as_ref().ok()?;
        StuckTransaction::read(&message.headers)
    }

    /// Names and readable values.
    pub fn headers(&self) -> Vec<(String, String)> {
        let Ok(message) = &self.message else {
            return Vec::new();
        };
        let headers = message.headers.show().into_iter();
        headers
            .map(|(name, value)| {
                let value = masking::header(&name, value);
                (name, value)
            })
            .collect()
    }
}
