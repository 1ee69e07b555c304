//! `/incidents`: what stands, and what is over.

use super::{IncidentQuery, PER_PAGE, page_of, query};
use crate::{
    App,
    access::{Look, May},
    address::with_query,
    archives::{Chip, outcome_tone},
    cursor::CursorPage,
    failure::Failure,
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, Tab, grouped},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use compensation::alerts::incidents::{self, Listed, Show, State as Stands};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct IncidentsPage {
    layout: Layout,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    open: bool,
    next: Option<String>,
}

/// An incident in a list, here and on the page of what it is about.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    link: String,
    title: String,
    kind: String,
    chips: Vec<Chip>,
    alerts: String,
    resolution: Option<String>,
    looked_after_by: Option<String>,
    first_at: Moment,
    last_at: Moment,
}

impl Page for IncidentsPage {
    const TEMPLATE: &'static str = "incidents.html";
}

/// The incidents.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<IncidentQuery>,
) -> Result<Html<String>, Failure> {
    let show = query.show().map_err(bad_query)?;
    let before = query.before().map_err(bad_query)?;
    let found = incidents::list(&app.db, show, PER_PAGE + 1, before)
        .await?
        .hidden(caller.sight());
    let CursorPage { items, next } =
        CursorPage::of(found, PER_PAGE, |it| query::written(it.position()));
    let open = show == Show::Open;
    let count = incidents::open(&app.db).await?;
    let tab = |label, link: &str, count, current| Tab {
        label,
        link: link.to_owned(),
        count,
        current,
    };
    let page = IncidentsPage {
        layout: frame::layout(&app, &caller, "incidents", "Incidents").await?,
        tabs: vec![
            tab("Open", "/incidents", Some(grouped(count)), open),
            tab("Resolved", "/incidents?show=resolved", None, !open),
        ],
        rows: items.into_iter().map(Row::of).collect(),
        open,
        next: next.map(|next| {
            let show = (!open).then(|| "resolved".to_owned());
            with_query("/incidents", &[("show", show), ("before", Some(next))])
        }),
    };
    Ok(view::render(&page)?)
}

pub(super) fn bad_query(cause: query::BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

impl Row {
    /// The row.
    pub fn of(incident: Listed) -> Self {
        Self {
            link: page_of(incident.id),
            chips: chips(&incident),
            alerts: grouped(incident.alerts.into()),
            title: incident.title,
            kind: incident.kind,
            resolution: incident.resolution,
            looked_after_by: incident.acknowledged_by.or(incident.assigned_to),
            first_at: Moment::of(incident.first_at),
            last_at: Moment::of(incident.last_at),
        }
    }
}

pub(super) fn chips(incident: &Listed) -> Vec<Chip> {
    let severity = incident.severity.as_str();
    let tone = match incident.state {
        Stands::Firing => "bad",
        Stands::Acknowledged | Stands::Silenced | Stands::AcknowledgedAndSilenced => "busy",
        Stands::Resolved => "good",
    };
    vec![
        Chip::new(severity, outcome_tone(severity)),
        Chip::new(incident.state.as_str(), tone),
    ]
}
