//! Everything known about one thing that was given up.

use crate::{
    App,
    audit::{self, Filter, Line},
    discard,
    hiding::Hide as _,
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
    personal::{self, Sight, Style},
};
use serde_json::value::RawValue;
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
    sight: Sight,
}

impl Detail {
    /// Looks all of it up, for somebody who sees so much; a replay would take this version of its message, or the newest.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(
        app: &App,
        id: Uuid,
        sight: Sight,
        version: Option<u32>,
    ) -> sqlx::Result<Option<Self>> {
        let Some(archived) = archive::find(&app.db, id).await? else {
            return Ok(None);
        };
        let looked = Looked::at(app, &archived, version).await?;
        let group = match archived.fingerprint {
            Some(fingerprint) => groups::find(&app.db, fingerprint).await?,
            None => None,
        };
        let about = Filter::of_subject(&id);
        let subject = id.to_string();
        Ok(Some(Self {
            operations: operations::latest(&app.db, Some(id), SHOWN_AT_MOST)
                .await?
                .hidden(sight),
            alerts: outbox::of_subject(&app.db, &subject).await?.hidden(sight),
            incidents: incidents::of_subject(&app.db, &subject)
                .await?
                .hidden(sight),
            notes: notes::of(&app.db, id).await?.hidden(sight),
            audit: audit::newest(&app.db, &about, None, SHOWN_AT_MOST)
                .await?
                .hidden(sight),
            replay: replay::Preview::of(&archived, &looked),
            discard: discard::Preview::of(&archived, &looked),
            archived: archived.hidden(sight),
            group: group.hidden(sight),
            looked,
            sight,
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

    /// The key it came with, where that was kept.
    pub fn key(&self) -> Option<String> {
        let key = self.message()?.key.as_deref()?;
        Some(personal::opaque(key, self.sight))
    }

    /// The buyer's id, as it is shown.
    pub fn user(&self) -> Option<String> {
        self.archived
            .user_id
            .map(|id| personal::user(id, self.sight))
    }

    /// Whether it came without a value.
    pub fn is_tombstone(&self) -> bool {
        self.message().is_some_and(|it| it.is_tombstone)
    }

    /// The payload, or why it cannot be read.
    pub fn payload(&self) -> Result<String, &str> {
        match &self.looked.message {
            Ok(message) if message.is_tombstone => Ok(NO_VALUE.to_owned()),
            Ok(message) => Ok(personal::message(
                &message.payload,
                self.archived.user_id,
                self.sight,
                Style::Pretty,
            )),
            Err(unread) => Err(&unread.why),
        }
    }

    /// The payload for programs; nothing when it cannot be read.
    pub fn payload_json(&self) -> Option<Box<RawValue>> {
        let message = self.message()?;
        (!message.is_tombstone).then(|| raw(&message.payload, self.archived.user_id, self.sight))
    }

    /// What is known of the transaction it is about, if it is about one.
    pub fn transaction(&self) -> Option<StuckTransaction> {
        StuckTransaction::read(&self.message()?.headers).hidden(self.sight)
    }

    /// Names and readable values.
    pub fn headers(&self) -> Vec<(String, String)> {
        let Some(message) = self.message() else {
            return Vec::new();
        };
        let headers = message.headers.show().into_iter();
        headers
            .map(|(name, value)| {
                let value = personal::header(&name, value, self.archived.user_id, self.sight);
                (name, value)
            })
            .collect()
    }
}

/// A message for programs: JSON as it came, numbers of any length too; what is none, as a text.
pub(crate) fn raw(bytes: &[u8], user: Option<Uuid>, sight: Sight) -> Box<RawValue> {
    let text = personal::json(bytes, user, sight, Style::Compact)
        .unwrap_or_else(|| serde_json::Value::String(personal::opaque(bytes, sight)).to_string());
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
