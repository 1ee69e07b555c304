//! Bars, an hour each, as a drawing a page has in itself: no script draws it, and the policy's ban on inline style holds. The same
//! numbers stand in a table beside it, for those who do not see the drawing.

use super::survey::InHour;
use crate::view::grouped;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// A bar, and the gap after it.
const STEP: u64 = 10;
const WIDTH: u64 = 8;
/// The highest bar.
const HEIGHT: u64 = 100;

/// One drawing.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    title: &'static str,
    /// What there is to see, in a sentence.
    summary: String,
    width: u64,
    height: u64,
    bars: Vec<Bar>,
    /// What the highest bar stands for.
    highest: String,
    begin: String,
    /// What the colours stand for; the first is drawn at the bottom.
    legend: Vec<Legend>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Legend {
    name: &'static str,
    tone: &'static str,
}

/// A part of a bar.
#[derive(Debug, Serialize)]
struct Bar {
    x: u64,
    y: u64,
    width: u64,
    height: u64,
    tone: &'static str,
    title: String,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct Row {
    hour: String,
    values: Vec<String>,
}

/// Name, colour, and a way to get at it.
pub(super) type Kind = (&'static str, &'static str, fn(&InHour) -> u64);

/// What a chart draws: in an hour, so many of each of its kinds; nothing where that is not counted.
pub(super) struct Drawn<'a> {
    pub title: &'static str,
    pub kinds: &'a [Kind],
}

impl Chart {
    pub fn of(drawn: &Drawn<'_>, hours: &[InHour]) -> Self {
        let of_hour =
            |hour: &InHour| -> Vec<u64> { drawn.kinds.iter().map(|(_, _, of)| of(hour)).collect() };
        let sum = |hour: &InHour| of_hour(hour).iter().sum::<u64>();
        let highest = hours.iter().map(sum).max().unwrap_or_default();
        let whole: u64 = hours.iter().map(sum).sum();
        let mut bars = Vec::new();
        for (at, hour) in (0..).zip(hours) {
            let mut below = 0;
            let title = told(drawn, hour);
            for ((_, tone, _), value) in drawn.kinds.iter().zip(of_hour(hour)) {
                // What there is is seen, however little it is.
                let height = (value * HEIGHT)
                    .div_ceil(highest.max(1))
                    .min(HEIGHT - below);
                if height > 0 {
                    below += height;
                    bars.push(Bar {
                        x: at * STEP,
                        y: HEIGHT - below,
                        width: WIDTH,
                        height,
                        tone,
                        title: title.clone(),
                    });
                }
            }
        }
        Self {
            title: drawn.title,
            summary: format!(
                "{}, hour by hour in the last {} hours: {} in all, {} in the hour with the most.",
                drawn.title,
                hours.len(),
                grouped(whole),
                grouped(highest)
            ),
            width: STEP * u64::try_from(hours.len()).unwrap_or_default(),
            height: HEIGHT,
            bars,
            highest: grouped(highest),
            begin: hours.first().map(|hour| named(hour.at)).unwrap_or_default(),
            legend: drawn
                .kinds
                .iter()
                .map(|(name, tone, _)| Legend { name, tone })
                .collect(),
            rows: hours
                .iter()
                .rev()
                .map(|hour| Row {
                    hour: named(hour.at),
                    values: of_hour(hour)
                        .into_iter()
                        .map(|value| {
                            if hour.counted {
                                grouped(value)
                            } else {
                                "–".to_owned()
                            }
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

fn told(drawn: &Drawn<'_>, hour: &InHour) -> String {
    let parts: Vec<String> = drawn
        .kinds
        .iter()
        .map(|(name, _, of)| format!("{} {name}", grouped(of(hour))))
        .collect();
    format!("{}: {}", named(hour.at), parts.join(", "))
}

fn named(hour: DateTime<Utc>) -> String {
    hour.format("%a %d %b %H:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: Drawn<'_> = Drawn {
        title: "Tries",
        kinds: &[
            ("settled", "good", |hour| hour.settled.unwrap_or_default()),
            ("archived", "bad", |hour| hour.archived),
        ],
    };

    fn hour(at: i64, settled: u64, archived: u64) -> InHour {
        InHour {
            at: DateTime::from_timestamp(at * 3600, 0).expect("a time"),
            counted: true,
            tries: None,
            settled: Some(settled),
            archived,
        }
    }

    #[test]
    fn what_there_is_is_seen_and_nothing_is_higher_than_the_drawing() {
        let chart = Chart::of(
            &DRAWN,
            &[hour(0, 0, 0), hour(1, 1, 999_999), hour(2, 500_000, 0)],
        );
        let drawn: Vec<_> = chart
            .bars
            .iter()
            .map(|bar| (bar.x, bar.y, bar.height, bar.tone))
            .collect();
        assert_eq!(
            drawn,
            [
                (10, 99, 1, "good"),
                (10, 0, 99, "bad"),
                (20, 50, 50, "good")
            ]
        );
        assert_eq!(chart.width, 30);
        assert_eq!(chart.highest, grouped(1_000_000));
    }

    #[test]
    fn hours_without_anything_divide_by_nothing() {
        let chart = Chart::of(&DRAWN, &[hour(0, 0, 0)]);
        assert!(chart.bars.is_empty());
        assert!(chart.summary.contains("0 in all"), "{}", chart.summary);
        assert_eq!(Chart::of(&DRAWN, &[]).width, 0);
    }
}
