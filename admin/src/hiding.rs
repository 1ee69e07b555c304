//! Hides what is personal in rows right after they were read, so that pages, JSON and exports made of them have nothing left to hide.
//! What is hidden, and how, is [`compensation::personal`]'s to say; here stands only where in a row it may be.

use crate::audit::Line;
use compensation::{
    alerts::{
        Notice,
        incidents::{Counted, Listed as Incident, Sent},
        outbox::{Attempt as Delivered, Delivery, Standing},
    },
    archive::{
        Archived, groups::Group, listing::Listed as Row, notes::Note, transaction::StuckTransaction,
    },
    attempt::History,
    fingerprint::Cause,
    log::reading::Logged,
    operations::{Item, Operation, terms::Selected},
    personal::{self, Sight},
    report::Figures,
    watch::store::Trouble,
};
use coordinator::control::{BranchDetails, Listed as Transaction};
use std::borrow::Cow;
use uuid::Uuid;

/// Something that may hold what is personal.
pub(crate) trait Hide {
    /// Hides what somebody does not see.
    fn hide(&mut self, sight: Sight);

    /// The same with that hidden.
    fn hidden(mut self, sight: Sight) -> Self
    where
        Self: Sized,
    {
        self.hide(sight);
        self
    }
}

impl Hide for String {
    fn hide(&mut self, sight: Sight) {
        if let Cow::Owned(masked) = personal::text(self, sight) {
            *self = masked;
        }
    }
}

impl<T: Hide> Hide for Option<T> {
    fn hide(&mut self, sight: Sight) {
        if let Some(it) = self {
            it.hide(sight);
        }
    }
}

impl<T: Hide> Hide for Vec<T> {
    fn hide(&mut self, sight: Sight) {
        for it in self.iter_mut() {
            it.hide(sight);
        }
    }
}

/// A text about a buyer.
fn about(text: &mut String, user: Option<Uuid>, sight: Sight) {
    if let Cow::Owned(masked) = personal::text_about(text, user, sight) {
        *text = masked;
    }
}

impl Hide for Row {
    fn hide(&mut self, sight: Sight) {
        about(&mut self.error, self.user_id, sight);
    }
}

impl Hide for Archived {
    fn hide(&mut self, sight: Sight) {
        if sight == Sight::Whole {
            return;
        }
        about(&mut self.error, self.user_id, sight);
        let mut history = History::default();
        for attempt in self.history.attempts() {
            let mut attempt = attempt.clone();
            if let Some(error) = &mut attempt.error {
                about(error, self.user_id, sight);
            }
            history.push(attempt);
        }
        self.history = history;
    }
}

impl Hide for StuckTransaction {
    fn hide(&mut self, sight: Sight) {
        self.last_error.hide(sight);
        for branch in &mut self.uncompensated {
            branch.last_error.hide(sight);
        }
    }
}

impl Hide for Cause {
    fn hide(&mut self, sight: Sight) {
        self.pattern.hide(sight);
        self.code.hide(sight);
    }
}

impl Hide for Group {
    fn hide(&mut self, sight: Sight) {
        self.cause.hide(sight);
        if let Some(mark) = &mut self.mark {
            mark.reason.hide(sight);
        }
    }
}

impl Hide for Figures {
    fn hide(&mut self, sight: Sight) {
        for cause in &mut self.causes {
            cause.pattern.hide(sight);
            cause.code.hide(sight);
        }
    }
}

impl Hide for Logged {
    fn hide(&mut self, sight: Sight) {
        self.error.hide(sight);
    }
}

impl Hide for Trouble {
    fn hide(&mut self, sight: Sight) {
        self.said.hide(sight);
    }
}

impl Hide for Transaction {
    fn hide(&mut self, sight: Sight) {
        self.last_error.hide(sight);
        self.reason.hide(sight);
    }
}

impl Hide for BranchDetails {
    fn hide(&mut self, sight: Sight) {
        self.last_error.hide(sight);
        for call in &mut self.history {
            call.answer.hide(sight);
        }
    }
}

impl Hide for Operation {
    fn hide(&mut self, sight: Sight) {
        self.reason.hide(sight);
        self.items.hide(sight);
        if let Some(bulk) = &mut self.bulk {
            bulk.selected.hide(sight);
            if let Some(last) = &mut bulk.last_act {
                last.reason.hide(sight);
            }
        }
    }
}

impl Hide for Item {
    fn hide(&mut self, sight: Sight) {
        self.reason.hide(sight);
    }
}

/// What was searched for may be a buyer's id.
impl Hide for Selected {
    fn hide(&mut self, sight: Sight) {
        if let Some(searched) = &mut self.q {
            match searched.parse() {
                Ok(id) => *searched = personal::user(id, sight),
                // Whatever somebody searched for: a name has no shape.
                Err(_) if sight == Sight::Masked => personal::MASK.clone_into(searched),
                Err(_) => {}
            }
        }
    }
}

impl Hide for Delivery {
    fn hide(&mut self, sight: Sight) {
        self.title.hide(sight);
        self.last_error.hide(sight);
    }
}

impl Hide for Delivered {
    fn hide(&mut self, sight: Sight) {
        self.error.hide(sight);
    }
}

impl Hide for Standing {
    fn hide(&mut self, sight: Sight) {
        self.off_why.hide(sight);
        self.last_error.hide(sight);
    }
}

impl Hide for Notice {
    fn hide(&mut self, sight: Sight) {
        self.alert.title.hide(sight);
        self.alert.text.hide(sight);
        for (_, value) in &mut self.alert.facts {
            value.hide(sight);
        }
        for line in &mut self.lines {
            line.title.hide(sight);
        }
        self.resolution.hide(sight);
    }
}

impl Hide for Incident {
    fn hide(&mut self, sight: Sight) {
        self.title.hide(sight);
        self.resolution.hide(sight);
        self.silence_reason.hide(sight);
    }
}

impl Hide for Counted {
    fn hide(&mut self, sight: Sight) {
        self.title.hide(sight);
    }
}

impl Hide for Sent {
    fn hide(&mut self, sight: Sight) {
        self.last_error.hide(sight);
    }
}

/// Lines written since the policy is there hold nothing personal: it is hidden before they are chained.
impl Hide for Note {
    fn hide(&mut self, sight: Sight) {
        self.text.hide(sight);
    }
}

impl Hide for Line {
    fn hide(&mut self, sight: Sight) {
        self.detail.hide(sight);
    }
}
