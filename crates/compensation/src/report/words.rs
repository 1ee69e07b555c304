//! A week in sentences: those of the alert, of the command and of the page.

use super::{Figures, Spread};

/// The longest pattern of a cause in a sentence, in characters.
const PATTERN_AT_MOST: usize = 80;
/// Causes that are named.
const CAUSES: usize = 3;

impl Figures {
    /// What is said of the week in one line.
    #[must_use]
    pub fn title(&self) -> String {
        let tried = self.tries.map_or_else(String::new, |tries| {
            tries.success().map_or_else(
                || "nothing was tried again, ".to_owned(),
                |success| {
                    format!(
                        "{} of {} tries settled their order, ",
                        percent(success),
                        tries.made
                    )
                },
            )
        });
        format!("{}: {tried}{} archived", self.week, self.archived)
    }

    /// What is said of it besides, a sentence a line. `before`: the week before, where it is known.
    #[must_use]
    pub fn sentences(&self, before: Option<&Self>) -> Vec<String> {
        let mut said = Vec::new();
        match self.tries {
            Some(tries) => said.push(format!(
                "{} tries{}, {} of them settled their work{}. {} orders were given up{}.",
                tries.made,
                change(tries.made, before.and_then(|it| it.tries).map(|it| it.made)),
                tries.settled,
                tries
                    .success()
                    .map_or_else(String::new, |success| format!(" ({})", percent(success))),
                tries.given_up,
                change(tries.given_up, before.and_then(|it| it.tries).map(|it| it.given_up)),
            )),
            None => said.push(
                "How much was tried is not known: compensation.log_storage keeps tries in a file only.".to_owned(),
            ),
        }
        said.push(format!(
            "{} were archived{}, {} settled after a replay, {} discarded.",
            self.archived,
            change(self.archived, before.map(|it| it.archived)),
            self.replayed(),
            self.discarded()
        ));
        said.extend(repair("by itself", &self.repaired_by_itself));
        said.extend(repair("after it was archived", &self.repaired_by_people));
        for cause in self.causes.iter().take(CAUSES) {
            let code = cause
                .code
                .as_ref()
                .map_or_else(String::new, |code| format!(", {code}"));
            said.push(format!(
                "{} for: {} (at {}{code})",
                cause.count,
                shortened(&cause.pattern),
                cause.step
            ));
        }
        said.push(format!(
            "{} alerts were raised, {} of them reached nobody.",
            self.alerts, self.alerts_undelivered
        ));
        said.push(format!(
            "Open when this was counted: {} in work, {} in the archive.",
            self.open.work, self.open.archived
        ));
        said
    }
}

fn repair(how: &str, spread: &Spread) -> Option<String> {
    (spread.count > 0).then(|| {
        format!(
            "{} repaired {how}: half within {}, 95 % within {}, the longest took {}.",
            spread.count,
            lasting(spread.p50_ms),
            lasting(spread.p95_ms),
            lasting(spread.longest_ms)
        )
    })
}

/// Hundredths of a percent.
fn percent(hundredths: u64) -> String {
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn change(now: u64, before: Option<u64>) -> String {
    before.map_or_else(String::new, |before| {
        format!(" (the week before: {before}{})", {
            match now.cmp(&before) {
                std::cmp::Ordering::Equal => "",
                std::cmp::Ordering::Less => ", now fewer",
                std::cmp::Ordering::Greater => ", now more",
            }
        })
    })
}

/// Milliseconds in the unit one would say them in.
fn lasting(ms: u64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms.div_ceil(1_000)),
        120_000..7_200_000 => format!("{} min", ms.div_ceil(60_000)),
        7_200_000..172_800_000 => format!("{} h", ms.div_ceil(3_600_000)),
        _ => format!("{} d", ms.div_ceil(86_400_000)),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= PATTERN_AT_MOST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(PATTERN_AT_MOST - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Cause, Open, Tries};
    use std::collections::BTreeMap;

    fn figures() -> Figures {
        Figures {
            week: "2026-W47".parse().unwrap(),
            tries: Some(Tries {
                made: 3_000,
                settled: 2_999,
                given_up: 4,
            }),
            archived: 5,
            ended: BTreeMap::from([
                ("confirmed".to_owned(), 2),
                ("discarded".to_owned(), 1),
                ("completed".to_owned(), 7),
            ]),
            causes: vec![Cause {
                fingerprint: "00000000000000ff".to_owned(),
                step: "decide".to_owned(),
                code: Some("database 1213".to_owned()),
                pattern: "Deadlock found".to_owned(),
                count: 4,
            }],
            repaired_by_itself: Spread {
                count: 2_999,
                p50_ms: 900,
                p95_ms: 61_000,
                longest_ms: 7_300_000,
            },
            repaired_by_people: Spread::default(),
            alerts: 9,
            alerts_undelivered: 1,
            open: Open {
                work: 3,
                archived: 2,
            },
        }
    }

    #[test]
    fn a_week_is_said_in_sentences() {
        let now = figures();
        assert_eq!(
            now.title(),
            "2026-W47: 99.96 % of 3000 tries settled their order, 5 archived"
        );
        let mut before = figures();
        before.archived = 9;
        assert_eq!(
            now.sentences(Some(&before)),
            [
                "3000 tries (the week before: 3000), 2999 of them settled their work (99.96 %). 4 orders were given up (the week before: 4).",
                "5 were archived (the week before: 9, now fewer), 2 settled after a replay, 1 discarded.",
                "2999 repaired by itself: half within 900 ms, 95 % within 61 s, the longest took 3 h.",
                "4 for: Deadlock found (at decide, database 1213)",
                "9 alerts were raised, 1 of them reached nobody.",
                "Open when this was counted: 3 in work, 2 in the archive.",
            ]
        );
    }

    #[test]
    fn a_week_without_tries_divides_by_nothing() {
        let mut quiet = figures();
        quiet.tries = Some(Tries::default());
        assert_eq!(
            quiet.title(),
            "2026-W47: nothing was tried again, 5 archived"
        );
        quiet.tries = None;
        assert_eq!(quiet.title(), "2026-W47: 5 archived");
        assert!(quiet.sentences(None)[0].contains("log_storage"));
    }
}
