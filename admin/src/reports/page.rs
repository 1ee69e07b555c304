//! `/report`: a week beside the one before it, and the causes to look at.

use super::{Found, WeekQuery, find};
use crate::{
    App,
    access::{Look, May},
    address::with_query,
    archives::list_of,
    failure::{ErrorPage, Failure},
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, grouped, milliseconds},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use compensation::report::{Figures, Week};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct ReportPage {
    layout: Layout,
    /// Nothing where no week is stored yet.
    report: Option<Report>,
    weeks: Vec<Offered>,
}

#[derive(Debug, Serialize)]
struct Report {
    week: String,
    first_day: String,
    last_day: String,
    made_at: Moment,
    /// Whether there is a week before to compare with.
    compared: bool,
    rows: Vec<Row>,
    causes: Vec<CauseRow>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    now: String,
    before: String,
}

#[derive(Debug, Serialize)]
struct CauseRow {
    count: String,
    pattern: String,
    step: String,
    code: Option<String>,
    /// Nothing where only another build knows what the fingerprint is.
    link: Option<String>,
}

#[derive(Debug, Serialize)]
struct Offered {
    week: String,
    link: String,
    current: bool,
}

impl Page for ReportPage {
    const TEMPLATE: &'static str = "report.html";
}

/// The report of `?week=`, or the last one.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<WeekQuery>,
) -> Result<Html<String>, Failure> {
    let week = query.week().map_err(|cause| {
        Failure::from(web::not_understood(format!("In this address, {cause}.")))
    })?;
    let found = find(&app.db, week).await?.hidden(caller.sight());
    if found.is_none() && week.is_some() {
        return Err(ErrorPage::not_found("weekly report").into());
    }
    let layout = frame::layout(&app, &caller, "report", "Weekly report").await?;
    let page = match found {
        None => ReportPage {
            layout,
            report: None,
            weeks: Vec::new(),
        },
        Some(found) => ReportPage {
            layout,
            weeks: offered(&found.weeks, found.stored.figures.week),
            report: Some(Report::of(&found)),
        },
    };
    Ok(view::render(&page)?)
}

fn offered(weeks: &[Week], current: Week) -> Vec<Offered> {
    let one = |week: &Week| Offered {
        week: week.to_string(),
        link: with_query("/report", &[("week", Some(week.to_string()))]),
        current: *week == current,
    };
    weeks.iter().map(one).collect()
}

impl Report {
    fn of(Found { stored, before, .. }: &Found) -> Self {
        let figures = &stored.figures;
        let before = before.as_ref().map(|before| &before.figures);
        Self {
            week: figures.week.to_string(),
            first_day: figures.week.starts_at().format("%Y-%m-%d").to_string(),
            last_day: figures.week.last_day().format("%Y-%m-%d").to_string(),
            made_at: Moment::of(stored.made_at),
            compared: before.is_some(),
            rows: ROWS
                .iter()
                .map(|(name, shown)| Row {
                    name,
                    now: shown(figures),
                    before: before.map(shown).unwrap_or_default(),
                })
                .collect(),
            causes: figures
                .causes
                .iter()
                .map(|cause| CauseRow {
                    count: grouped(cause.count),
                    pattern: cause.pattern.clone(),
                    step: cause.step.clone(),
                    code: cause.code.clone(),
                    link: cause
                        .fingerprint
                        .parse()
                        .ok()
                        .map(|fingerprint| list_of(fingerprint, None)),
                })
                .collect(),
        }
    }
}

/// What is shown of a week, and how.
type Shown = (&'static str, fn(&Figures) -> String);

const ROWS: &[Shown] = &[
    ("Tries", |week| {
        week.tries
            .map_or_else(not_known, |tries| grouped(tries.made))
    }),
    ("Tries that settled their work", |week| {
        week.tries.map_or_else(not_known, |tries| {
            let share = tries.success().map_or_else(String::new, |share| {
                format!(" ({}.{:02} %)", share / 100, share % 100)
            });
            format!("{}{share}", grouped(tries.settled))
        })
    }),
    ("Orders given up", |week| {
        week.tries
            .map_or_else(not_known, |tries| grouped(tries.given_up))
    }),
    ("Archived", |week| grouped(week.archived)),
    ("Settled after a replay", |week| grouped(week.replayed())),
    ("Discarded", |week| grouped(week.discarded())),
    ("Repaired by itself", |week| {
        repaired(&week.repaired_by_itself)
    }),
    ("Repaired after it was archived", |week| {
        repaired(&week.repaired_by_people)
    }),
    ("Alerts raised", |week| grouped(week.alerts)),
    ("Alerts nobody got", |week| grouped(week.alerts_undelivered)),
    ("Work open when it was counted", |week| {
        grouped(week.open.work)
    }),
    ("Archive open when it was counted", |week| {
        grouped(week.open.archived)
    }),
];

fn not_known() -> String {
    "not known".to_owned()
}

fn repaired(times: &compensation::report::Spread) -> String {
    if times.count == 0 {
        return "0".to_owned();
    }
    format!(
        "{}: half within {}, 95 % within {}, longest {}",
        grouped(times.count),
        milliseconds(times.p50_ms),
        milliseconds(times.p95_ms),
        milliseconds(times.longest_ms)
    )
}
