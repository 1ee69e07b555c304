//! Everything known about one thing that was given up.

use super::masking;
use crate::{
    App,
    audit::{self, Filter, Line},
    discard,
    replay::{self, Looked},
};
use compensation::{
    alerts::{
        incidents::{self, Listed},
        outbox::{self, Delivery},
    },
    archive::{
        self, Archived, Message,
        groups::{self, Group},
        listing::State,
        notes::{self, Note},
        transaction::StuckTransaction,
    },
    fingerprint::VERSION,
    operations::{self, Operation},
};
use identity::OperatorRole;
use uuid::Uuid;

/// Replays and lines of the audit shown at most, newest first.
const SHOWN_AT_MOST: u32 = 100;

/// In place of the payload of a message that has none.
const NO_VALUE: &str = "(It came without a value: a tombstone.)";

/// One of it.
pub(crate) struct Detail {
    pub archived: Archived,
    /// Its message, and what an act on it depends on.
    pub looked: Looked,
    /// Those with the same cause, once they are counted.
    pub group: Option<Group>,
    /// Newest first.
    pub operations: Vec<Operation>,
    /// Newest first.
    pub alerts: Vec<Delivery>,
    /// Those that its alerts are counted in, newest first.
    pub incidents: Vec<Listed>,
    /// Newest first.
    pub notes: Vec<Note>,
    /// Newest first.
    pub audit: Vec<Line>,
    /// What would become of a replay now.
    pub replay: replay::Preview,
    /// And of a discard.
    pub discard: discard::Preview,
}

impl Detail {
    /// Looks all of it up; a replay would take this version of its message, or the newest.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(app: &App, id: Uuid, version: Option<u32>) -> sqlx::Result<Option<Self>> {
        let Some(archived) = archive::find(&app.db, id).await? else {
            return Ok(None);
        };
        let looked = Looked::at(app, &archived, version).await?;
        let group = match archived.fingerprint {
            Some(fingerprint) => groups::find(&app.db, fingerprint).await?,
            None => None,
        };
        let about = Filter::of_subject(&id);
        Ok(Some(Self {
            operations: operations::latest(&app.db, Some(id), SHOWN_AT_MOST).await?,
            alerts: outbox::of_subject(&app.db, &id.to_string()).await?,
            incidents: incidents::of_subject(&app.db, &id.to_string()).await?,
            notes: notes::of(&app.db, id).await?,
            audit: audit::newest(&app.db, &about, None, SHOWN_AT_MOST).await?,
            replay: replay::Preview::of(&archived, &looked),
            discard: discard::Preview::of(&archived, &looked),
            archived,
            group,
            looked,
        }))
    }

    fn message(&self) -> Option<&Message> {
        self.looked.message.as_ref().ok()
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        State::of(self.archived.handled, self.archived.operation_id.is_some())
    }

    /// Why it is in its group; nothing before it was compared in the way this build compares.
    pub fn why_grouped(&self) -> Option<String> {
        let compared = self.archived.fingerprint_version == VERSION;
        compared.then(|| self.archived.cause().why_grouped())
    }

    /// The key it came with, where that was kept, as a role may see it.
    pub fn key(&self, role: OperatorRole) -> Option<String> {
        let key = self.message()?.key.as_deref()?;
        Some(masking::text(key, role))
    }

    /// Whether it came without a value.
    pub fn is_tombstone(&self) -> bool {
        self.message().is_some_and(|it| it.is_tombstone)
    }

    /// The payload as a role may see it, or why it cannot be read.
    pub fn payload(&self, role: OperatorRole) -> Result<String, &str> {
        match &self.looked.message {
            Ok(message) if message.is_tombstone => Ok(NO_VALUE.to_owned()),
            Ok(message) => Ok(masking::payload(&message.payload, role)),
            Err(unread) => Err(&unread.why),
        }
    }

    /// The payload for programs; null when it cannot be read.
    pub fn payload_json(&self, role: OperatorRole) -> serde_json::Value {
        self.message().map_or(serde_json::Value::Null, |message| {
            if message.is_tombstone {
                return serde_json::Value::Null;
            }
            masking::payload_json(&message.payload, role)
        })
    }

    /// What is known of the transaction it is about, if it is about one.
    pub fn transaction(&self) -> Option<StuckTransaction> {
        let message = self.message()?;
        StuckTransaction::read(&message.headers)
    }

    /// Names and readable values.
    pub fn headers(&self) -> Vec<(String, String)> {
        let Some(message) = self.message() else {
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
