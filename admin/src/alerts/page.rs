//! `/alerts`: what nobody got stands first.

use super::{AlertQuery, PER_PAGE, notice_page, place};
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
use compensation::alerts::{
    Status,
    outbox::{self, Delivery, Show},
};
use serde::Serialize;
use uuid::Uuid;

/// The kinds of alerts that are about a row of the archive.
const ARCHIVED: [&str; 2] = ["archived", "transaction_stuck"];

#[derive(Debug, Serialize)]
struct AlertsPage {
    layout: Layout,
    tabs: Vec<Tab>,
    /// Channels that are off: nothing is sent on them until somebody switches them on.
    off: Vec<Off>,
    /// Not delivered, on the first page of all.
    undelivered: Vec<Row>,
    /// Whether there are more of them than are shown.
    more_undelivered: bool,
    rows: Vec<Row>,
    all: bool,
    next: Option<String>,
}

/// An alert on a channel, here and on the page of what it is about.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    title: String,
    /// The page of the notice, with its tries.
    page: String,
    kind: String,
    /// Why people are told, where it is not that something is new.
    status: Option<&'static str>,
    severity: Chip,
    state: Chip,
    subject: String,
    /// The page of what it is about, when there is one.
    link: Option<String>,
    channel: String,
    attempts: u32,
    last_error: Option<String>,
    raised_at: Moment,
    delivered_at: Option<Moment>,
}

#[derive(Debug, Serialize)]
struct Off {
    name: String,
    why: String,
    waiting: String,
}

impl Page for AlertsPage {
    const TEMPLATE: &'static str = "alerts.html";
}

/// The alerts.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<AlertQuery>,
) -> Result<Html<String>, Failure> {
    let show = query.show().map_err(bad_query)?;
    let before = query.before().map_err(bad_query)?;
    let counts = outbox::counts(&app.db).await?;
    let sight = caller.sight();
    let found = outbox::list(&app.db, show, PER_PAGE + 1, before.as_ref())
        .await?
        .hidden(sight);
    let CursorPage { items, next } =
        CursorPage::of(found, PER_PAGE, |alert| place::written(&alert.position()));
    let all = show == Show::All;
    let first = if all && before.is_none() {
        outbox::list(&app.db, Show::NotDelivered, PER_PAGE + 1, None)
            .await?
            .hidden(sight)
    } else {
        Vec::new()
    };
    let CursorPage {
        items: undelivered,
        next: more,
    } = CursorPage::of(first, PER_PAGE, |_| String::new());
    let off = outbox::standings(&app.db)
        .await?
        .hidden(sight)
        .into_iter()
        .filter(|channel| channel.off_at.is_some())
        .map(|channel| Off {
            name: channel.name,
            why: channel.off_why.unwrap_or_default(),
            waiting: grouped(channel.pending),
        })
        .collect();
    let page = AlertsPage {
        layout: frame::layout(&app, &caller, "alerts", "Alerts").await?,
        tabs: vec![
            Tab {
                label: "All",
                link: "/alerts".to_owned(),
                count: None,
                current: all,
            },
            Tab {
                label: "Not delivered",
                link: "/alerts?show=undelivered".to_owned(),
                count: Some(grouped(counts.pending + counts.undelivered)),
                current: !all,
            },
            Tab {
                label: "Channels",
                link: "/alerts/channels".to_owned(),
                count: None,
                current: false,
            },
        ],
        off,
        undelivered: undelivered.into_iter().map(Row::of).collect(),
        more_undelivered: more.is_some(),
        rows: items.into_iter().map(Row::of).collect(),
        all,
        next: next.map(|next| {
            let show = (!all).then(|| "undelivered".to_owned());
            with_query("/alerts", &[("show", show), ("before", Some(next))])
        }),
    };
    Ok(view::render(&page)?)
}

fn bad_query(cause: place::BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

/// The page of what such an alert is about, where it is a row of the archive. Sales, figures and servers have none, whatever they are called;
/// an order that is still tried has none yet.
pub(crate) fn page_of_subject(kind: &str, subject: &str) -> Option<String> {
    let id = Uuid::parse_str(subject).ok()?;
    ARCHIVED.contains(&kind).then(|| format!("/archives/{id}"))
}

impl Row {
    /// The row.
    pub fn of(delivery: Delivery) -> Self {
        let state = delivery.state.as_str();
        let link = page_of_subject(&delivery.kind, &delivery.subject);
        Self {
            title: delivery.title,
            page: notice_page::page_of(delivery.id),
            status: (delivery.status != Status::Firing).then(|| delivery.status.as_str()),
            kind: delivery.kind,
            severity: Chip::new(
                delivery.severity.as_str(),
                outcome_tone(delivery.severity.as_str()),
            ),
            state: Chip::new(state, outcome_tone(state)),
            link,
            subject: delivery.subject,
            channel: delivery.channel,
            attempts: delivery.attempts,
            last_error: delivery.last_error,
            raised_at: Moment::of(delivery.created_at),
            delivered_at: delivery.delivered_at.map(Moment::of),
        }
    }
}
