//! Small parts that several pages have.

use super::Moment;
use chrono::{DateTime, Utc};
use compensation::personal::{self, Sight};
use serde::Serialize;
use uuid::Uuid;

/// One of the lists a list can be.
#[derive(Debug, Serialize)]
pub(crate) struct Tab {
    pub label: &'static str,
    /// Nothing where whoever counts those waits for the whole table.
    pub count: Option<String>,
    pub link: String,
    pub current: bool,
}

/// An id as a list has room for it. Ids begin with their time, so their ends tell them apart.
#[derive(Debug, Serialize)]
pub(crate) struct ShortId {
    short: String,
    whole: String,
}

/// One line of what is known.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    name: &'static str,
    value: String,
    /// An id, to be copied.
    id: bool,
    /// Shown instead of the value.
    at: Option<Moment>,
    link: Option<String>,
}

impl ShortId {
    pub fn of(id: Uuid) -> Self {
        let whole = id.to_string();
        Self {
            short: format!("…{}", &whole[whole.len() - 8..]),
            whole,
        }
    }
}

impl ShortId {
    /// A buyer's, as somebody sees it.
    pub fn user(id: Uuid, sight: Sight) -> Self {
        match sight {
            Sight::Whole => Self::of(id),
            Sight::Masked => {
                let shown = personal::user(id, sight);
                Self {
                    short: shown.clone(),
                    whole: shown,
                }
            }
        }
    }
}

impl Fact {
    pub const fn text(name: &'static str, value: String) -> Self {
        Self {
            name,
            value,
            id: false,
            at: None,
            link: None,
        }
    }

    pub fn id(name: &'static str, id: Uuid, link: Option<String>) -> Self {
        Self {
            id: true,
            link,
            ..Self::text(name, id.to_string())
        }
    }

    pub fn at(name: &'static str, at: DateTime<Utc>) -> Self {
        Self {
            at: Some(Moment::of(at)),
            ..Self::text(name, String::new())
        }
    }
}
