//! Everything known about one transaction.

use super::acts::{resume_refusal, roll_back_refusal, stop_refusal};
use crate::{
    App,
    archives::masking,
    audit::{self, Filter, Line},
};
use compensation::{
    alerts::{
        incidents::{self, Listed},
        outbox::{self, Delivery},
    },
    archive::{self, transaction},
};
use coordinator::{Gid, control};
use identity::OperatorRole;
use uuid::Uuid;

/// Lines of the audit shown at most, newest first.
const SHOWN_AT_MOST: u32 = 100;

/// One of it.
pub(super) struct Detail {
    pub known: control::Details,
    /// The archive's row about it, if it was ever stuck.
    pub dead_letter: Option<Uuid>,
    /// Newest first.
    pub alerts: Vec<Delivery>,
    /// Those that its alerts are counted in, newest first.
    pub incidents: Vec<Listed>,
    /// Newest first.
    pub audit: Vec<Line>,
}

impl Detail {
    /// Looks all of it up.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(app: &App, gid: Gid) -> sqlx::Result<Option<Self>> {
        let Some(known) = control::get(&app.db, gid).await? else {
            return Ok(None);
        };
        let letter = transaction::id_of(gid.as_uuid());
        let is_archived = archive::exists(&mut *app.db.acquire().await?, letter).await?;
        let about = Filter::of_subject(&gid);
        Ok(Some(Self {
            known,
            dead_letter: is_archived.then_some(letter),
            alerts: outbox::of_subject(&app.db, &letter.to_string()).await?,
            incidents: incidents::of_subject(&app.db, &letter.to_string()).await?,
            audit: audit::newest(&app.db, &about, None, SHOWN_AT_MOST).await?,
        }))
    }

    /// Why each act would be refused now: roll back, resume, stop.
    pub fn refusals(&self) -> [Option<&'static str>; 3] {
        let listed = &self.known.transaction;
        [
            roll_back_refusal(listed),
            resume_refusal(listed),
            stop_refusal(listed),
        ]
    }

    /// What its participants are told, as a role may see it.
    pub fn payload(&self, role: OperatorRole) -> String {
        masking::payload(self.known.payload.as_bytes(), role)
    }

    /// The same for programs.
    pub fn payload_json(&self, role: OperatorRole) -> serde_json::Value {
        masking::payload_json(self.known.payload.as_bytes(), role)
    }
}
