//! Services outside this system that take part in orders, as the settings name them.

use crate::ids::SaleId;
use coordinator::{
    BadParticipant, ForeignParticipants, HttpParticipant, HttpSettings, SameName, Style,
};
use service_kit::settings::{ParticipantSales, ParticipantSettings, ParticipantStyle};
use std::{sync::Arc, time::Duration};

/// All of a process, and in whose orders each has a part. Cloning shares them; by default there are none.
#[derive(Clone, Default)]
pub struct Foreign {
    pub(crate) participants: ForeignParticipants,
    parts: Arc<[(String, ParticipantSales)]>,
}

/// Why the settings make no participants.
#[derive(Debug, thiserror::Error)]
pub enum BadForeign {
    /// One of them cannot be called.
    #[error(transparent)]
    Participant(#[from] BadParticipant),
    /// Two cannot be told apart.
    #[error(transparent)]
    SameName(#[from] SameName),
}

impl Foreign {
    /// Those of the settings.
    ///
    /// # Errors
    /// [`BadForeign`]; settings that were checked make none, but for a machine without certificates.
    pub fn from_settings(settings: &[ParticipantSettings]) -> Result<Self, BadForeign> {
        let participants = settings
            .iter()
            .map(|one| HttpParticipant::new(http(one)))
            .collect::<Result<Vec<_>, _>>()?;
        let parts = settings
            .iter()
            .map(|one| (one.name.clone(), one.sales.clone()));
        Ok(Self {
            participants: ForeignParticipants::new(participants)?,
            parts: parts.collect(),
        })
    }

    /// Names of those that have a part in this sale's orders.
    #[must_use]
    pub fn of(&self, sale: SaleId) -> Vec<String> {
        self.parts
            .iter()
            .filter(|(_, sales)| sales.contains(sale.as_uuid()))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

fn http(one: &ParticipantSettings) -> HttpSettings {
    HttpSettings {
        name: one.name.clone(),
        style: match one.style {
            ParticipantStyle::Tcc => Style::Tcc,
            ParticipantStyle::Saga => Style::Saga,
        },
        url: one.url.expose().to_owned(),
        timeout: Duration::from_millis(one.timeout_ms),
        in_flight: one.in_flight,
        breaker_failures: one.breaker_failures,
    }
}
