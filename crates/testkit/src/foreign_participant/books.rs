//! What a foreign participant remembers: a balance, and of every branch what was asked of it. These are the barrier's rules.

use std::collections::HashMap;
use uuid::Uuid;

/// Units nobody reaches.
const ENDLESS: u64 = u64::MAX;

/// Units on offer, and who has them.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) capacity: u64,
    branches: HashMap<(Uuid, String), Branch>,
    /// What must never be asked.
    pub(super) broken: Vec<String>,
}

#[derive(Debug)]
struct Branch {
    body: String,
    units: u64,
    style: Style,
    asked: Option<Asked>,
    ended: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Tcc,
    Saga,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Promised,
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Confirmed,
    TakenBack,
}

/// 200, or 409 with a code.
pub(super) type Answer = Result<(), String>;

impl Default for Books {
    fn default() -> Self {
        Self {
            capacity: ENDLESS,
            branches: HashMap::new(),
            broken: Vec::new(),
        }
    }
}

impl Books {
    /// Writes down that a branch was called: always in one style, with one body.
    pub(super) fn called(&mut self, op: &str, key: &(Uuid, String), body: &str) {
        let style = match op {
            "action" | "compensate" => Style::Saga,
            _ => Style::Tcc,
        };
        let branch = self.branches.entry(key.clone()).or_insert_with(|| Branch {
            body: body.to_owned(),
            units: units_in(body),
            style,
            asked: None,
            ended: None,
        });
        if branch.style != style {
            self.broken
                .push(format!("{op} of {} in another style", key.0));
        }
        if branch.body != body {
            self.broken
                .push(format!("{op} of {} with another body", key.0));
        }
    }

    /// Does what is asked, once.
    pub(super) fn apply(&mut self, op: &str, key: &(Uuid, String)) -> Answer {
        let left = self.capacity - self.taken();
        let Some(branch) = self.branches.get_mut(key) else {
            return Err("unknown".to_owned());
        };
        match op {
            "try" | "action" => branch.ask(left),
            "confirm" => branch.confirm(),
            _ => branch.take_back(),
        }
        .map_err(|refused| {
            if let Refused::Never(what) = &refused {
                self.broken.push(format!("{what} of {}", key.0));
            }
            match refused {
                Refused::Code(code) => code,
                Refused::Never(_) => "never".to_owned(),
            }
        })
    }

    /// Refuses a try or an action for good, unless it was answered before.
    pub(super) fn refuse(&mut self, op: &str, key: &(Uuid, String), code: &str) {
        if matches!(op, "try" | "action")
            && let Some(branch) = self.branches.get_mut(key)
            && branch.asked.is_none()
        {
            branch.asked = Some(Asked::Refused(code.to_owned()));
        }
    }

    pub(super) fn reserved(&self) -> u64 {
        self.sum(|_, branch| branch.reserved())
    }

    pub(super) fn used(&self) -> u64 {
        self.sum(|_, branch| branch.used())
    }

    pub(super) fn used_by(&self, gid: Uuid) -> u64 {
        self.sum(|of, branch| if of == gid { branch.used() } else { 0 })
    }

    fn taken(&self) -> u64 {
        self.reserved() + self.used()
    }

    fn sum(&self, of: impl Fn(Uuid, &Branch) -> u64) -> u64 {
        self.branches
            .iter()
            .map(|((gid, _), branch)| of(*gid, branch))
            .sum()
    }
}

enum Refused {
    Code(String),
    /// No coordinator may ask this.
    Never(&'static str),
}

impl Branch {
    fn ask(&mut self, left: u64) -> Result<(), Refused> {
        match &self.asked {
            Some(Asked::Promised) => Ok(()),
            Some(Asked::Refused(code)) => Err(Refused::Code(code.clone())),
            None if self.units > left => {
                let code = "used_up".to_owned();
                self.asked = Some(Asked::Refused(code.clone()));
                Err(Refused::Code(code))
            }
            None => {
                self.asked = Some(Asked::Promised);
                Ok(())
            }
        }
    }

    fn confirm(&mut self) -> Result<(), Refused> {
        match (&self.asked, self.ended) {
            (Some(Asked::Promised), None | Some(End::Confirmed)) => {
                self.ended = Some(End::Confirmed);
                Ok(())
            }
            (_, Some(End::TakenBack)) => Err(Refused::Never("confirm after cancel")),
            _ => Err(Refused::Never("confirm without a promise")),
        }
    }

    fn take_back(&mut self) -> Result<(), Refused> {
        if self.ended == Some(End::Confirmed) {
            return Err(Refused::Never("cancel after confirm"));
        }
        // What was never asked for is refused from now on.
        self.asked
            .get_or_insert_with(|| Asked::Refused("too_late".to_owned()));
        self.ended = Some(End::TakenBack);
        Ok(())
    }

    fn reserved(&self) -> u64 {
        self.if_promised(self.style == Style::Tcc && self.ended.is_none())
    }

    fn used(&self) -> u64 {
        let is_used = match self.style {
            Style::Tcc => self.ended == Some(End::Confirmed),
            Style::Saga => self.ended.is_none(),
        };
        self.if_promised(is_used)
    }

    fn if_promised(&self, and: bool) -> u64 {
        if and && self.asked == Some(Asked::Promised) {
            self.units
        } else {
            0
        }
    }
}

/// `units` or `quantity` of a JSON object, else 1.
fn units_in(body: &str) -> u64 {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let mut named = ["units", "quantity"].into_iter();
    named
        .find_map(|name| body.get(name).and_then(serde_json::Value::as_u64))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"units":3}"#;

    /// Calls one after another on one branch: the answers, and what is reserved and used in the end.
    fn story(ops: &[&str]) -> (Vec<Answer>, u64, u64, usize) {
        let mut books = Books {
            capacity: 5,
            ..Books::default()
        };
        let key = (Uuid::nil(), "coupon".to_owned());
        let answers = ops
            .iter()
            .map(|op| {
                books.called(op, &key, BODY);
                books.apply(op, &key)
            })
            .collect();
        (answers, books.reserved(), books.used(), books.broken.len())
    }

    #[test]
    fn a_repeat_changes_nothing() {
        let done = |times| vec![Ok(()); times];
        assert_eq!(story(&["try", "try"]), (done(2), 3, 0, 0));
        assert_eq!(
            story(&["try", "confirm", "confirm", "try"]),
            (done(4), 0, 3, 0)
        );
        assert_eq!(story(&["try", "cancel", "cancel"]), (done(3), 0, 0, 0));
        assert_eq!(story(&["action", "action"]), (done(2), 0, 3, 0));
        assert_eq!(
            story(&["action", "compensate", "compensate"]),
            (done(3), 0, 0, 0)
        );
    }

    #[test]
    fn what_comes_after_it_was_taken_back_is_refused() {
        let late = vec![Ok(()), Err("too_late".to_owned()), Ok(())];
        assert_eq!(story(&["cancel", "try", "cancel"]), (late.clone(), 0, 0, 0));
        assert_eq!(
            story(&["compensate", "action", "compensate"]),
            (late, 0, 0, 0)
        );
    }

    #[test]
    fn what_must_never_be_asked_is_noticed() {
        for never in [
            &["confirm"][..],
            &["try", "cancel", "confirm"],
            &["try", "confirm", "cancel"],
            &["try", "compensate"],
        ] {
            assert_eq!(story(never).3, 1, "{never:?}");
        }
    }

    #[test]
    fn nobody_gets_more_than_there_is() {
        let mut books = Books {
            capacity: 5,
            ..Books::default()
        };
        let asked: Vec<Answer> = (0..2)
            .map(|gid| {
                let key = (Uuid::from_u128(gid), "coupon".to_owned());
                books.called("try", &key, BODY);
                books.apply("try", &key)
            })
            .collect();
        assert_eq!(asked, [Ok(()), Err("used_up".to_owned())]);
        assert_eq!(books.reserved(), 3);
    }
}
