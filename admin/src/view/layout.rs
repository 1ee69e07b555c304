//! What is around every page: where one is, who one is, what just happened.

use crate::access::{Caller, ManageOperators};
use chrono::{SecondsFormat, Utc};
use serde::Serialize;

/// The frame of a page.
#[derive(Debug, Serialize)]
pub(crate) struct Layout {
    /// The page's title.
    title: String,
    /// The room of the house it is in; lit in the navigation.
    room: &'static str,
    name: String,
    role: &'static str,
    manages_operators: bool,
    /// What every form of the page carries.
    csrf: String,
    /// Alerts nobody got, shown in the navigation.
    undelivered: u64,
    notice: Option<Notice>,
    /// Seconds after which the browser looks again.
    refresh: Option<u32>,
    /// By this machine's clock, for programs: ages are counted on from here.
    served_at: String,
}

/// A line above the page: what the last act did, or why it did not.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Notice {
    /// `good` or `bad`.
    tone: &'static str,
    text: String,
    /// Something to be copied now, for it is not shown again.
    secret: Option<String>,
}

impl Layout {
    pub fn new(caller: &Caller, room: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            room,
            name: caller.who.name.clone(),
            role: caller.role().as_str(),
            manages_operators: caller.may::<ManageOperators>(),
            csrf: caller.csrf.clone(),
            undelivered: 0,
            notice: None,
            refresh: None,
            served_at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    pub fn refresh(mut self, seconds: u32) -> Self {
        self.refresh = Some(seconds);
        self
    }

    pub fn undelivered(mut self, alerts: u64) -> Self {
        self.undelivered = alerts;
        self
    }

    pub fn notice(mut self, notice: Option<Notice>) -> Self {
        self.notice = notice;
        self
    }
}

impl Notice {
    pub fn good(text: impl Into<String>) -> Self {
        Self {
            tone: "good",
            text: text.into(),
            secret: None,
        }
    }

    pub fn bad(text: impl Into<String>) -> Self {
        Self {
            tone: "bad",
            text: text.into(),
            secret: None,
        }
    }

    pub fn with_secret(mut self, secret: String) -> Self {
        self.secret = Some(secret);
        self
    }
}
