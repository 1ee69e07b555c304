//! Everything known about one transaction.

use super::acts::{resume_refusal, roll_back_refusal, stop_refusal};
use crate::{
    App, archives,
    audit::{self, Filter, Line},
    hiding::Hide as _,
};
use compensation::{
    alerts::{
        incidents::{self, Listed},
        outbox::{self, Delivery},
    },
    archive::{self, transaction},
    personal::{self, Sight, Style},
};
use coordinator::{Gid, control};
use serde_json::value::RawValue;
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
    sight: Sight,
}

impl Detail {
    /// Looks all of it up, for somebody who sees so much.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(app: &App, gid: Gid, sight: Sight) -> sqlx::Result<Option<Self>> {
        let Some(mut known) = control::get(&app.db, gid).await? else {
            return Ok(None);
        };
        known.transaction.hide(sight);
        known.branches.hide(sight);
        let letter = transaction::id_of(gid.as_uuid());
        let is_archived = archive::exists(&mut *app.db.acquire().await?, letter).await?;
        let about = Filter::of_subject(&gid);
        Ok(Some(Self {
            known,
            dead_letter: is_archived.then_some(letter),
            alerts: outbox::of_subject(&app.db, &letter.to_string())
                .await?
                .hidden(sight),
            incidents: incidents::of_subject(&app.db, &letter.to_string())
                .await?
                .hidden(sight),
            audit: audit::newest(&app.db, &about, None, SHOWN_AT_MOST)
                .await?
                .hidden(sight),
            sight,
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

    /// What its participants are told.
    pub fn payload(&self) -> String {
        personal::message(
            self.known.payload.as_bytes(),
            None,
            self.sight,
            Style::Pretty,
        )
    }

    /// The same for programs.
    pub fn payload_json(&self) -> Box<RawValue> {
        archives::raw(self.known.payload.as_bytes(), None, self.sight)
    }
}
