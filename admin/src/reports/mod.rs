//! Weekly reports as they were stored: a page and JSON. Nothing is counted here; who makes them is the compensator.

pub(crate) mod api;
pub(crate) mod page;

use crate::hiding::Hide;
use compensation::{
    personal::Sight,
    report::{self, Stored, Week},
};
use serde::Deserialize;
use sqlx::MySqlPool;

/// Weeks that are offered, the newest first: half a year.
const WEEKS: u32 = 26;

/// `?week=2026-W47`; without it, or empty, the last week that is stored.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct WeekQuery {
    week: Option<String>,
}

impl WeekQuery {
    /// The week that is asked for.
    ///
    /// # Errors
    /// In words, where it is none.
    fn week(&self) -> Result<Option<Week>, String> {
        let text = self.week.as_deref().map(str::trim);
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| {
            text.parse()
                .map_err(|cause| format!("week cannot be understood: {cause}"))
        })
        .transpose()
    }
}

/// A stored week, the one before it where that is stored too, and the weeks there are.
struct Found {
    stored: Stored,
    before: Option<Stored>,
    weeks: Vec<Week>,
}

impl Hide for Found {
    fn hide(&mut self, sight: Sight) {
        self.stored.figures.hide(sight);
        if let Some(before) = &mut self.before {
            before.figures.hide(sight);
        }
    }
}

/// `None`: that week is not stored, or none is.
async fn find(db: &MySqlPool, week: Option<Week>) -> sqlx::Result<Option<Found>> {
    let stored = match week {
        Some(week) => report::find(db, week).await?,
        None => report::latest(db).await?,
    };
    let Some(stored) = stored else {
        return Ok(None);
    };
    Ok(Some(Found {
        before: report::find(db, stored.figures.week.before()).await?,
        weeks: report::newest(db, WEEKS).await?,
        stored,
    }))
}
