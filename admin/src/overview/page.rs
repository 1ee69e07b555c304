//! `/overview`.

use super::{
    cards::{self, Card},
    chart::{Chart, Drawn},
    survey::{InHour, Part, Survey},
};
use crate::{
    App,
    access::{Look, May},
    failure::Failure,
    frame,
    view::{self, Layout, Moment, Page},
};
use axum::{extract::State, response::Html};
use serde::Serialize;
use tracing::error;

#[derive(Debug, Serialize)]
struct OverviewPage {
    layout: Layout,
    at: Moment,
    /// What all of it comes to.
    said: Said,
    cards: Vec<Card>,
    charts: Vec<Chart>,
}

#[derive(Debug, Serialize)]
struct Said {
    tone: &'static str,
    text: String,
}

impl Page for OverviewPage {
    const TEMPLATE: &'static str = "overview.html";
}

const TRIES: Drawn<'_> = Drawn {
    title: "Tries",
    kinds: &[
        ("settled", "good", |hour| hour.settled.unwrap_or_default()),
        ("failed again", "busy", failed),
    ],
};

const ARCHIVED: Drawn<'_> = Drawn {
    title: "Archived",
    kinds: &[("archived", "bad", |hour| hour.archived)],
};

fn failed(hour: &InHour) -> u64 {
    hour.tries
        .unwrap_or_default()
        .saturating_sub(hour.settled.unwrap_or_default())
}

/// The page. Where MySQL does not tell of one part, the others are there.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
) -> Result<Html<String>, Failure> {
    let survey = Survey::make(&app, caller.sight()).await;
    let (room, title) = ("overview", "Overview");
    let layout = match frame::layout(&app, &caller, room, title).await {
        Ok(layout) => layout,
        Err(cause) => {
            error!("The overview does without the number of alerts nobody got: {cause}");
            Layout::new(&caller, room, title)
        }
    };
    let cards = cards::all(&survey);
    let page = OverviewPage {
        layout,
        at: Moment::of(survey.at),
        said: Said::of(&cards),
        cards,
        charts: charts(&survey),
    };
    Ok(view::render(&page)?)
}

fn charts(survey: &Survey) -> Vec<Chart> {
    let Part::Known(hours) = &survey.hours else {
        return Vec::new();
    };
    let tries_are_kept = hours.iter().any(|hour| hour.tries.is_some());
    [Some(TRIES).filter(|_| tries_are_kept), Some(ARCHIVED)]
        .into_iter()
        .flatten()
        .map(|drawn| Chart::of(&drawn, hours))
        .collect()
}

impl Said {
    fn of(cards: &[Card]) -> Self {
        let asking = cards.iter().filter(|card| card.asks()).count();
        let unknown = cards.iter().filter(|card| card.is_unknown()).count();
        let (tone, text) = match (asking, unknown) {
            (0, 0) => ("good", "Nothing asks for anybody.".to_owned()),
            (0, _) => ("busy", "Not everything is known.".to_owned()),
            (1, _) => ("bad", "1 part asks for somebody.".to_owned()),
            (many, _) => ("bad", format!("{many} parts ask for somebody.")),
        };
        Self { tone, text }
    }
}
