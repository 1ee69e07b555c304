//! `/incidents/{id}`: one incident with its alerts, who was told and how far that came, and what may be done.

use super::{
    AlertsQuery, PER_PAGE,
    list_page::{bad_query, chips},
    page_of, query,
};
use crate::{
    App,
    access::{Acknowledge, Assign, Caller, CloseIncident, Look, May, Silence},
    address::with_query,
    alerts,
    archives::{Chip, outcome_tone},
    audit::{self, Filter, page::Row as AuditRow},
    cursor::CursorPage,
    failure::{ErrorPage, Failure},
    frame,
    hiding::Hide as _,
    view::{self, Fact, Layout, Moment, Notice, Page, grouped},
    web::{Path, Query},
};
use axum::{extract::State, response::Html};
use chrono::Utc;
use compensation::alerts::incidents::{self, Counted, Listed, Sent, State as Stands};
use identity::operators;
use serde::Serialize;
use uuid::Uuid;

/// Lines of the audit shown at most, newest first.
const AUDIT_AT_MOST: u32 = 100;

#[derive(Debug, Serialize)]
struct IncidentPage {
    layout: Layout,
    title: String,
    chips: Vec<Chip>,
    alerts: String,
    resolution: Option<String>,
    silence: Option<String>,
    facts: Vec<Fact>,
    acts: Acts,
    rows: Vec<AlertRow>,
    next: Option<String>,
    deliveries: Vec<DeliveryRow>,
    audit: Vec<AuditRow>,
}

/// What may be done; a sentence where it may not.
#[derive(Debug, Serialize)]
struct Acts {
    page: String,
    acknowledge: Option<String>,
    assign: Option<String>,
    silence: Option<String>,
    unsilence: Option<String>,
    close: Option<String>,
    /// Who can look after it.
    operators: Vec<String>,
    assigned_to: String,
}

#[derive(Debug, Serialize)]
struct AlertRow {
    title: String,
    subject: String,
    /// The page of what it is about, when there is one.
    link: Option<String>,
    raised_at: Moment,
}

#[derive(Debug, Serialize)]
struct DeliveryRow {
    /// Of the notice, with its tries.
    page: String,
    sequence: u32,
    status: String,
    channel: String,
    state: Chip,
    attempts: u32,
    last_error: Option<String>,
    made_at: Moment,
    delivered_at: Option<Moment>,
}

impl Page for IncidentPage {
    const TEMPLATE: &'static str = "incident.html";
}

/// The page.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
    Query(query): Query<AlertsQuery>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, id, &query, None).await
}

/// The page, with what the last act did.
///
/// # Errors
/// [`Failure`]; 404 when there is no such incident.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    id: Uuid,
    query: &AlertsQuery,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let before = query.before().map_err(bad_query)?;
    let incident = incidents::find(&app.db, id)
        .await?
        .ok_or_else(|| ErrorPage::not_found("incident"))?;
    let sight = caller.sight();
    let incident = incident.hidden(sight);
    let found = incidents::alerts_of(&app.db, id, PER_PAGE + 1, before)
        .await?
        .hidden(sight);
    let CursorPage { items, next } =
        CursorPage::of(found, PER_PAGE, |alert| query::written(alert.position()));
    let about = Filter::of_subject(&id);
    let audit = audit::newest(&app.db, &about, None, AUDIT_AT_MOST)
        .await?
        .hidden(sight);
    let names = operators::list(&app.db).await?;
    let page = IncidentPage {
        layout: frame::layout(app, caller, "incidents", incident.title.clone())
            .await?
            .notice(notice),
        chips: chips(&incident),
        alerts: count(incident.alerts),
        silence: silence(&incident),
        facts: facts(&incident),
        acts: Acts::of(
            &incident,
            caller,
            names.into_iter().map(|it| it.username).collect(),
        ),
        rows: items
            .into_iter()
            .map(|alert| AlertRow::of(alert, &incident.kind))
            .collect(),
        next: next.map(|next| with_query(&page_of(id), &[("before", Some(next))])),
        deliveries: incidents::deliveries_of(&app.db, id)
            .await?
            .hidden(sight)
            .into_iter()
            .map(DeliveryRow::of)
            .collect(),
        audit: audit.into_iter().map(AuditRow::from).collect(),
        resolution: incident.resolution,
        title: incident.title,
    };
    Ok(view::render(&page)?)
}

/// Until when nothing is sent, who wanted that, and why.
fn silence(incident: &Listed) -> Option<String> {
    let until = incident
        .silenced_until
        .filter(|until| *until > Utc::now())?;
    let by = incident.silenced_by.as_deref().unwrap_or("somebody");
    let why = incident.silence_reason.as_deref().unwrap_or_default();
    Some(format!(
        "{by} silenced it until {} UTC: {why}",
        until.format("%Y-%m-%d %H:%M:%S")
    ))
}

fn facts(incident: &Listed) -> Vec<Fact> {
    [
        Some(Fact::id("Incident", incident.id, None)),
        Some(Fact::text("Kind", incident.kind.clone())),
        Some(Fact::text("Group", incident.group.clone())),
        Some(Fact::at("First alert", incident.first_at)),
        Some(Fact::at("Latest alert", incident.last_at)),
        Some(Fact::text("Notices", incident.notices.to_string())),
        incident
            .acknowledged_by
            .clone()
            .map(|by| Fact::text("Acknowledged by", by)),
        incident
            .acknowledged_at
            .map(|at| Fact::at("Acknowledged", at)),
        incident
            .assigned_to
            .clone()
            .map(|to| Fact::text("Assigned to", to)),
        incident
            .escalate_at
            .filter(|_| incident.acknowledged_by.is_none())
            .map(|at| Fact::at("Escalated unless acknowledged", at)),
        incident.resolved_at.map(|at| Fact::at("Resolved", at)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Acts {
    fn of(incident: &Listed, caller: &Caller, operators: Vec<String>) -> Self {
        let over = (incident.state == Stands::Resolved).then(|| "It is over.".to_owned());
        let known = incident
            .acknowledged_by
            .as_ref()
            .map(|by| format!("{by} looks after it."));
        let silenced = matches!(
            incident.state,
            Stands::Silenced | Stands::AcknowledgedAndSilenced
        );
        let loud = (!silenced).then(|| "It is not silenced.".to_owned());
        Self {
            page: page_of(incident.id),
            acknowledge: over
                .clone()
                .or(known)
                .or_else(|| caller.why_not::<Acknowledge>()),
            assign: over.clone().or_else(|| caller.why_not::<Assign>()),
            silence: over.clone().or_else(|| caller.why_not::<Silence>()),
            unsilence: over
                .clone()
                .or(loud)
                .or_else(|| caller.why_not::<Silence>()),
            close: over.or_else(|| caller.why_not::<CloseIncident>()),
            operators,
            assigned_to: incident.assigned_to.clone().unwrap_or_default(),
        }
    }
}

impl AlertRow {
    fn of(alert: Counted, kind: &str) -> Self {
        Self {
            title: alert.title,
            link: alerts::page_of_subject(kind, &alert.subject),
            subject: alert.subject,
            raised_at: Moment::of(alert.created_at),
        }
    }
}

impl DeliveryRow {
    fn of(sent: Sent) -> Self {
        Self {
            page: alerts::page_of(sent.id),
            sequence: sent.sequence,
            status: sent.status,
            channel: sent.channel,
            state: Chip::new(sent.state.as_str(), outcome_tone(&sent.state)),
            attempts: sent.attempts,
            last_error: sent.last_error,
            made_at: Moment::of(sent.created_at),
            delivered_at: sent.delivered_at.map(Moment::of),
        }
    }
}

fn count(alerts: u32) -> String {
    match alerts {
        1 => "1 alert".to_owned(),
        more => format!("{} alerts", grouped(more.into())),
    }
}
