//! `/alerts/{id}`: a notice on all its channels, with every try.

use super::{acts, page::Row};
use crate::{
    App,
    access::{Caller, Look, May, Redeliver},
    archives::{Chip, outcome_tone},
    failure::{ErrorPage, Failure},
    frame,
    hiding::Hide as _,
    view::{self, Fact, Layout, Moment, Notice, Page, grouped, milliseconds},
    web::Path,
};
use axum::{extract::State, response::Html};
use compensation::alerts::{
    self,
    outbox::{self, Attempt, Delivery, State as Delivered},
};
use serde::Serialize;
use uuid::Uuid;

/// How often a page looks again by itself while something is under way, in seconds.
const REFRESH: u32 = 3;
/// What is tried by then, or waits for a receiver that is away, is not looked at every few seconds.
const REFRESHED_FOR: chrono::TimeDelta = chrono::TimeDelta::minutes(2);

#[derive(Debug, Serialize)]
struct NoticePage {
    layout: Layout,
    id: String,
    title: String,
    chips: Vec<Chip>,
    facts: Vec<Fact>,
    /// Nothing where nobody can read what it says.
    text: Option<String>,
    /// Of a digest.
    lines: Vec<Line>,
    /// Digested notices without a line.
    more: Option<String>,
    deliveries: Vec<On>,
    /// Channels of the settings that it was not meant for.
    others: Vec<String>,
    /// Why it cannot be sent once more.
    no_redelivery: Option<String>,
    attempts: Vec<Try>,
    digested: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Line {
    status: &'static str,
    severity: Chip,
    title: String,
    count: String,
    link: Option<String>,
}

/// How it stands on a channel.
#[derive(Debug, Serialize)]
struct On {
    channel: String,
    state: Chip,
    attempts: u32,
    last_error: Option<String>,
    delivered_at: Option<Moment>,
    /// The page of the digest that tells of it instead.
    digest: Option<String>,
    /// Whether the settings have the channel.
    is_configured: bool,
}

#[derive(Debug, Serialize)]
struct Try {
    at: Moment,
    channel: String,
    outcome: Chip,
    error: Option<String>,
    took: String,
    asked_by: Option<String>,
}

impl Page for NoticePage {
    const TEMPLATE: &'static str = "alert.html";
}

/// The page of a notice.
pub(crate) fn page_of(id: Uuid) -> String {
    format!("/alerts/{id}")
}

/// One notice.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, id, None).await
}

/// The page, with why the last act was not done.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    id: Uuid,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let sight = caller.sight();
    let deliveries = outbox::of_notice(&app.db, id).await?.hidden(sight);
    let Some(first) = deliveries.first().cloned() else {
        return Err(ErrorPage::not_found("alert").into());
    };
    let said = outbox::notice(&app.db, id).await?.hidden(sight);
    let attempts = outbox::attempts(&app.db, id).await?.hidden(sight);
    let digested = if first.status == alerts::Status::Digest {
        outbox::digested(&app.db, id).await?.hidden(sight)
    } else {
        Vec::new()
    };
    let no_redelivery = match caller.why_not::<Redeliver>() {
        None if outbox::stands_no_more(&app.db, id).await? => {
            Some(acts::refusal("over").to_owned())
        }
        why => why,
    };
    let mut layout = frame::layout(app, caller, "alerts", first.title.clone()).await?;
    if is_under_way(&deliveries) {
        layout = layout.refresh(REFRESH);
    }
    let is_new = |name: &&String| !deliveries.iter().any(|it| it.channel == **name);
    let page = NoticePage {
        layout: layout.notice(notice),
        id: id.to_string(),
        chips: vec![
            Chip::new(
                first.severity.as_str(),
                outcome_tone(first.severity.as_str()),
            ),
            Chip::new(first.status.as_str(), "plain"),
        ],
        facts: facts(&first, said.as_ref()),
        more: said.as_ref().and_then(more),
        lines: said
            .as_ref()
            .map(|said| said.lines.iter().map(Line::of).collect())
            .unwrap_or_default(),
        text: said.map(|said| said.alert.text),
        title: first.title,
        others: app.channels.iter().filter(is_new).cloned().collect(),
        deliveries: deliveries.into_iter().map(|it| On::of(app, it)).collect(),
        no_redelivery,
        attempts: attempts.into_iter().map(Try::of).collect(),
        digested: digested.into_iter().map(Row::of).collect(),
    };
    Ok(view::render(&page)?)
}

fn is_under_way(deliveries: &[Delivery]) -> bool {
    let young = |it: &Delivery| chrono::Utc::now() - it.created_at < REFRESHED_FOR;
    deliveries
        .iter()
        .any(|it| it.state == Delivered::Pending && young(it))
}

fn facts(first: &Delivery, said: Option<&alerts::Notice>) -> Vec<Fact> {
    let mut facts = vec![
        Fact::text("Kind", first.kind.clone()),
        Fact::text("About", first.subject.clone()),
        Fact::at("Raised", first.created_at),
    ];
    if let Some(incident) = first.incident {
        facts.push(Fact::id(
            "Incident",
            incident,
            Some(format!("/incidents/{incident}")),
        ));
        facts.push(Fact::text("Its notice", first.sequence.to_string()));
    }
    if let Some(said) = said {
        facts.push(Fact::text("Count", grouped(said.count)));
        facts.extend(
            said.resolution
                .clone()
                .map(|how| Fact::text("Resolved", how)),
        );
    }
    facts
}

/// How many a digest tells of beyond its lines.
fn more(said: &alerts::Notice) -> Option<String> {
    let shown = u64::try_from(said.lines.len()).unwrap_or(u64::MAX);
    let more = said.count.saturating_sub(shown);
    (shown > 0 && more > 0).then(|| grouped(more))
}

impl Line {
    fn of(line: &alerts::Line) -> Self {
        Self {
            status: line.status.as_str(),
            severity: Chip::new(line.severity.as_str(), outcome_tone(line.severity.as_str())),
            title: line.title.clone(),
            count: grouped(line.count),
            link: line.link.clone(),
        }
    }
}

impl On {
    fn of(app: &App, it: Delivery) -> Self {
        Self {
            is_configured: app.channels.contains(&it.channel),
            channel: it.channel,
            state: Chip::new(it.state.as_str(), outcome_tone(it.state.as_str())),
            attempts: it.attempts,
            last_error: it.last_error,
            delivered_at: it.delivered_at.map(Moment::of),
            digest: it.digest.map(page_of),
        }
    }
}

impl Try {
    fn of(it: Attempt) -> Self {
        let tone = match it.outcome.as_str() {
            "sent" => "good",
            "slow_down" | "partly" => "busy",
            _ => "bad",
        };
        Self {
            at: Moment::of(it.at),
            channel: it.channel,
            outcome: Chip::new(it.outcome.replace('_', " "), tone),
            error: it.error,
            took: milliseconds(u64::from(it.took_ms)),
            asked_by: it.asked_by,
        }
    }
}
