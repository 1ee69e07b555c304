//! The survey as people read it: each figure with its unit, its age and the list behind it.

use super::survey::{
    Alerts, Archive, Cause, Drift, InHour, NO_NODE, Part, Process, Survey, Trouble, Unfinished,
    Waiting, Week,
};
use crate::{
    archives::list_of,
    view::{Moment, grouped, milliseconds},
};
use compensation::archive::listing::{COUNTED_AT_MOST, State as Stands};
use coordinator::TxState;
use serde::Serialize;

/// What belongs together.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    title: &'static str,
    /// Why nothing of it is known.
    unknown: Option<&'static str>,
    figures: Vec<Figure>,
    /// Said below the figures.
    note: Option<String>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    name: String,
    value: String,
    unit: &'static str,
    /// How old, in words.
    age: Option<String>,
    at: Option<Moment>,
    /// The list behind it.
    link: String,
    /// `bad` where somebody has to do something, `busy` where work is under way, `plain`.
    tone: &'static str,
}

impl Card {
    fn of<T>(title: &'static str, part: &Part<T>, figures: impl FnOnce(&T) -> Vec<Figure>) -> Self {
        let (figures, unknown) = match part {
            Part::Known(known) => (figures(known), None),
            Part::Unknown(why) => (Vec::new(), Some(*why)),
        };
        Self {
            title,
            unknown,
            figures,
            note: None,
        }
    }

    fn noted(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    /// Whether somebody has to do something.
    pub fn asks(&self) -> bool {
        self.figures.iter().any(|figure| figure.tone == "bad")
    }

    pub const fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }
}

impl Figure {
    fn of(
        name: impl Into<String>,
        count: u64,
        unit: &'static str,
        link: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            value: grouped(count),
            unit,
            age: None,
            at: None,
            link: link.into(),
            tone: "plain",
        }
    }

    /// Counted no further than to [`COUNTED_AT_MOST`].
    fn some(
        name: impl Into<String>,
        count: u64,
        unit: &'static str,
        link: impl Into<String>,
    ) -> Self {
        let mut figure = Self::of(name, count.min(COUNTED_AT_MOST), unit, link);
        if count > COUNTED_AT_MOST {
            figure.value.push('+');
        }
        figure
    }

    fn aged(mut self, age: Option<String>) -> Self {
        self.age = age;
        self
    }

    fn since(mut self, at: chrono::DateTime<chrono::Utc>) -> Self {
        self.at = Some(Moment::of(at));
        self
    }

    fn toned(mut self, tone: &'static str, when: bool) -> Self {
        if when {
            self.tone = tone;
        }
        self
    }
}

/// All of them, what asks for somebody most often first.
pub(super) fn all(survey: &Survey) -> Vec<Card> {
    let uncounted = match &survey.archive {
        Part::Known(archive) if archive.uncounted > 0 => Some(format!(
            "{} rows are not counted yet.",
            grouped(archive.uncounted.into())
        )),
        _ => None,
    };
    vec![
        Card::of(
            "Given up, for somebody to put right",
            &survey.archive,
            archive,
        )
        .noted(uncounted),
        Card::of("Waiting to be tried again", &survey.waiting, |rows| {
            rows.iter().map(waiting).collect()
        }),
        Card::of("Transactions not finished", &survey.transactions, |rows| {
            transactions(rows)
        }),
        Card::of("Stock", &survey.drift, |found| {
            drift(found, &survey.stock_node)
        }),
        Card::of("Alerts", &survey.alerts, alerts),
        Card::of(
            "Key figures beyond their bounds",
            &survey.troubles,
            |rows| troubles(rows),
        ),
        Card::of("Processes", &survey.processes, |rows| {
            rows.iter().map(process).collect()
        }),
        Card::of("Tries, last 24 hours", &survey.hours, |hours| tries(hours))
            .noted(last_week(&survey.week)),
    ]
}

fn archive(archive: &Archive) -> Vec<Figure> {
    let open =
        Figure::of("Open rows", archive.open, "rows", "/groups").toned("bad", archive.open > 0);
    let cause = |cause: &Cause| {
        let link = cause.fingerprint.parse().map_or_else(
            |_| "/groups".to_owned(),
            |it| list_of(it, Some(Stands::Open)),
        );
        Figure::of(
            format!("{}: {}", cause.step, cause.pattern),
            cause.open,
            "rows",
            link,
        )
        .since(cause.last_seen_at)
    };
    std::iter::once(open)
        .chain(archive.causes.iter().map(cause))
        .collect()
}

fn waiting(row: &Waiting) -> Figure {
    let (name, link) = match row.state {
        "scheduled" => ("Retries", "/compensation-log?lane=retry"),
        "dead" => (
            "Dead letters, tried again",
            "/compensation-log?lane=dead_letter",
        ),
        "archiving" => ("Being archived", "/compensation-log?lane=archive"),
        _ => ("Archived, units held", "/archives?state=open"),
    };
    let age = row
        .due_for_s
        .filter(|_| row.count > 0 && row.state != "held")
        .map(|due| format!("the first has been due for {}", milliseconds(due * 1000)));
    Figure::some(name, row.count, "orders", link)
        .aged(age)
        .toned("busy", row.count > 0)
}

fn transactions(rows: &[Unfinished]) -> Vec<Figure> {
    let group = |name: &'static str, in_address: &str, states: [TxState; 2]| {
        let mine: Vec<&Unfinished> = rows
            .iter()
            .filter(|row| row.state().is_some_and(|it| states.contains(&it)))
            .collect();
        let count = mine.iter().map(|row| row.count).sum();
        let late: u64 = mine.iter().map(|row| row.late).sum();
        let oldest = mine.iter().map(|row| row.oldest_s).max();
        let age =
            oldest.map(|oldest| format!("the oldest began {} ago", milliseconds(oldest * 1000)));
        let is_stuck = in_address == "stuck";
        Figure::some(
            name,
            count,
            "transactions",
            format!("/transactions?state={in_address}"),
        )
        .aged(age)
        .toned("busy", count > 0)
        .toned("bad", late > 0 || (is_stuck && count > 0))
    };
    vec![
        group(
            "Stuck",
            "stuck",
            [TxState::StuckCommitting, TxState::StuckRollingBack],
        ),
        group(
            "Not decided",
            "undecided",
            [TxState::Begun, TxState::Prepared],
        ),
        group(
            "Not everyone told",
            "completing",
            [TxState::Committing, TxState::RollingBack],
        ),
    ]
}

fn drift(drift: &Drift, node: &Part<&'static str>) -> Vec<Figure> {
    let age = drift
        .oldest_s
        .map(|oldest| format!("the first was found {} ago", milliseconds(oldest * 1000)));
    let said = match node {
        Part::Known("answers") => "answers",
        Part::Known(_) => "is being rebuilt",
        Part::Unknown(why) => why,
    };
    let asks = !matches!(node, Part::Known("answers") | Part::Unknown(NO_NODE));
    let mut node = Figure::of("Redis, which counts it", 0, "", "/sales").toned("bad", asks);
    said.clone_into(&mut node.value);
    vec![
        Figure::of(
            "Redis and MySQL differ",
            drift.sales,
            "sales",
            "/sales?show=drifting",
        )
        .aged(age)
        .toned("bad", drift.sales > 0),
        node,
    ]
}

fn alerts(alerts: &Alerts) -> Vec<Figure> {
    let mut figures = vec![
        Figure::of(
            "Incidents that stand",
            alerts.incidents,
            "incidents",
            "/incidents",
        )
        .toned("bad", alerts.incidents > 0),
        Figure::of(
            "Reached nobody",
            alerts.undelivered,
            "notices",
            "/alerts?show=undelivered",
        )
        .toned("bad", alerts.undelivered > 0),
        Figure::of(
            "Waiting to be sent",
            alerts.pending,
            "notices",
            "/alerts?show=undelivered",
        )
        .toned("busy", alerts.pending > 0),
    ];
    for channel in &alerts.channels {
        let mut figure = Figure::of(
            format!("Channel {}", channel.name),
            0,
            "",
            "/alerts/channels",
        )
        .toned("bad", true);
        let stands = if channel.is_off { "is off" } else { "rests" };
        stands.clone_into(&mut figure.value);
        figures.push(match channel.last_delivered_at {
            Some(at) => figure.since(at),
            None => figure,
        });
    }
    figures
}

fn troubles(rows: &[Trouble]) -> Vec<Figure> {
    if rows.is_empty() {
        return vec![Figure::of(
            "Beyond their bounds",
            0,
            "figures",
            "/incidents",
        )];
    }
    let trouble = |row: &Trouble| {
        let mut figure = Figure::of(row.figure.replace('_', " "), 0, "", "/incidents")
            .since(row.since)
            .toned("bad", true);
        figure.value.clone_from(&row.said);
        figure
    };
    rows.iter().map(trouble).collect()
}

fn process(row: &Process) -> Figure {
    let running = u64::try_from(row.running).unwrap_or_default();
    let age = match (row.running, row.silent_s) {
        (0, Some(silent)) => Some(format!("silent for {}", milliseconds(silent * 1000))),
        (0, None) => Some("no sign of life within a day".to_owned()),
        (_, silent) => silent.map(|it| format!("last sign {} ago", milliseconds(it * 1000))),
    };
    let link = match row.name.as_str() {
        "compensator" => "/compensation-log",
        "order-consumer" => "/transactions",
        _ => "/sales?show=live",
    };
    Figure::of(row.name.clone(), running, "running", link)
        .aged(age)
        .toned("bad", row.running == 0)
}

fn tries(hours: &[InHour]) -> Vec<Figure> {
    let day = &hours[hours.len().saturating_sub(24)..];
    let uncounted = hours.iter().filter(|hour| !hour.counted).count();
    let age =
        (uncounted > 0).then(|| format!("{uncounted} of {} hours are being counted", hours.len()));
    let archived: u64 = day.iter().map(|hour| hour.archived).sum();
    let archived = Figure::of("Archived", archived, "rows", "/archives?state=all");
    if day.iter().any(|hour| hour.counted && hour.tries.is_none()) {
        let mut kept = Figure::of("Tries", 0, "", "/compensation-log");
        "are kept in a file only".clone_into(&mut kept.value);
        return vec![kept, archived];
    }
    let sum = |of: fn(&InHour) -> Option<u64>| day.iter().filter_map(of).sum::<u64>();
    let (made, settled) = (sum(|hour| hour.tries), sum(|hour| hour.settled));
    let mut success = Figure::of(
        "Settled their order",
        settled,
        "tries",
        "/compensation-log?outcome=settled",
    );
    success.age = (settled * 10_000)
        .checked_div(made)
        .map(|it| percent("", it));
    vec![
        Figure::of("Made", made, "tries", "/compensation-log").aged(age),
        success,
        Figure::of(
            "Failed again",
            made - settled.min(made),
            "tries",
            "/compensation-log?outcome=failed",
        ),
        archived,
    ]
}

fn last_week(week: &Part<Option<Week>>) -> Option<String> {
    let Part::Known(Some(week)) = week else {
        return None;
    };
    let success = week
        .success
        .map(|it| percent(" of them settled their order", it));
    let tries = week.tries.map(|it| format!("{} tries", grouped(it)));
    let parts = [
        tries,
        success,
        Some(format!("{} archived", grouped(week.archived))),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    Some(format!("Week {}: {}.", week.name, said.join(", ")))
}

/// Of hundredths of a percent.
fn percent(of_what: &str, hundredths: u64) -> String {
    format!("{}.{:02} %{of_what}", hundredths / 100, hundredths % 100)
}
