//! `/policy`: what rules, what a change would do, the change itself, and who changed what before.

use super::{ChangeError, change, differences::differences, fields::Fields};
use crate::{
    App,
    access::{Caller, ChangePolicy, Look, May},
    failure::{ErrorPage, Failure},
    frame,
    view::{self, Layout, Moment, Notice, Page, milliseconds},
    web::Form,
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use compensation::{
    attempt::Lane,
    policy::{
        Policy, Schedule, Span,
        stored::{self, ReadError, Stored},
    },
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Versions that are shown.
const HISTORY: u32 = 50;

#[derive(Debug, Serialize)]
struct PolicyPage {
    layout: Layout,
    version: u32,
    /// The version the form's values change.
    made_from: u32,
    /// Whether another rules by now, so that they cannot be taken.
    outdated: bool,
    changed_by: String,
    reason: String,
    changed_at: Moment,
    now: Planned,
    /// What would come of the form's values; where they were looked at.
    preview: Option<Planned>,
    /// What the form's values change.
    changes: Vec<String>,
    fields: Fields,
    new_reason: String,
    may_change: bool,
    history: Vec<Past>,
}

#[derive(Debug, Serialize)]
struct Planned {
    tries: Vec<PlannedTry>,
    archived: String,
}

#[derive(Debug, Serialize)]
struct PlannedTry {
    number: u32,
    lane: &'static str,
    wait: String,
    since_first: String,
}

#[derive(Debug, Serialize)]
struct Past {
    version: u32,
    changed_by: String,
    reason: String,
    changed_at: Moment,
    /// Beside the version before it.
    changes: Vec<String>,
}

impl Page for PolicyPage {
    const TEMPLATE: &'static str = "policy.html";
}

/// The form, whichever button was pressed.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    /// The version it was made from.
    version: u32,
    #[serde(default)]
    reason: String,
    #[serde(flatten)]
    fields: Fields,
}

/// What the page shows besides what rules.
#[derive(Default)]
struct Shown {
    sent: Option<Sent>,
    preview: Option<Policy>,
    notice: Option<Notice>,
}

/// What rules.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
) -> Result<Html<String>, Failure> {
    rendered(&app, &caller, Shown::default()).await
}

/// Shows what would come of the form's values. Changes nothing.
pub(crate) async fn preview(
    State(app): State<App>,
    caller: May<Look>,
    Form(sent): Form<Sent>,
) -> Result<Response, Failure> {
    let tried = sent
        .fields
        .terms()
        .and_then(|terms| Policy::try_from(terms).map_err(|bad| bad.to_string()));
    let (status, preview, notice) = match tried {
        Ok(policy) => (StatusCode::OK, Some(policy), None),
        Err(why) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            None,
            Some(Notice::bad(format!("This cannot rule: {why}."))),
        ),
    };
    let shown = Shown {
        sent: Some(sent),
        preview,
        notice,
    };
    let page = rendered(&app, &caller, shown).await?;
    Ok((status, page).into_response())
}

/// Changes it.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<ChangePolicy>,
    Form(sent): Form<Sent>,
) -> Result<Response, Failure> {
    let terms = match sent.fields.terms() {
        Ok(terms) => terms,
        Err(why) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return not_done(&app, &caller, sent, status, &why).await;
        }
    };
    match change(&app, &caller, sent.version, terms, &sent.reason).await {
        Ok(now) => {
            let notice = format!(
                "Version {} rules. Every compensator follows within two seconds; what waits keeps its due time.",
                now.version
            );
            let shown = Shown {
                notice: Some(Notice::good(notice)),
                ..Shown::default()
            };
            Ok(rendered(&app, &caller, shown).await?.into_response())
        }
        Err(ChangeError::Read(cause)) => Err(unreadable(cause)),
        Err(refused) => {
            let status = match refused {
                ChangeError::Meanwhile { .. } => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            not_done(&app, &caller, sent, status, &refused.to_string()).await
        }
    }
}

/// The page with what was typed, and why it was refused.
async fn not_done(
    app: &App,
    caller: &Caller,
    sent: Sent,
    status: StatusCode,
    why: &str,
) -> Result<Response, Failure> {
    let shown = Shown {
        sent: Some(sent),
        preview: None,
        notice: Some(Notice::bad(format!("Nothing was done: {why}."))),
    };
    let page = rendered(app, caller, shown).await?;
    Ok((status, page).into_response())
}

async fn rendered(app: &App, caller: &Caller, shown: Shown) -> Result<Html<String>, Failure> {
    let current = stored::current(&app.db).await.map_err(unreadable)?;
    let versions = stored::page(&app.db, u32::MAX, HISTORY + 1).await?;
    let layout = frame::layout(app, caller, "policy", "Retry policy").await?;
    let rules = current.policy.terms();
    // What was typed stays a change of the version it was made from: what came meanwhile must be looked at.
    let sent = shown.sent.unwrap_or_else(|| Sent {
        version: current.version,
        reason: String::new(),
        fields: Fields::from(rules),
    });
    let page = PolicyPage {
        layout: layout.notice(shown.notice),
        version: current.version,
        made_from: sent.version,
        outdated: sent.version != current.version,
        changed_by: current.changed_by,
        reason: current.reason,
        changed_at: Moment::of(current.changed_at),
        now: Planned::of(&current.policy.schedule()),
        changes: shown
            .preview
            .as_ref()
            .map(|policy| differences(rules, policy.terms()))
            .unwrap_or_default(),
        preview: shown.preview.map(|policy| Planned::of(&policy.schedule())),
        fields: sent.fields,
        new_reason: sent.reason,
        may_change: caller.may::<ChangePolicy>(),
        history: history(versions),
    };
    Ok(view::render(&page)?)
}

/// Each beside the one before it.
fn history(versions: Vec<Stored>) -> Vec<Past> {
    let mut before: Vec<Option<Policy>> = versions
        .iter()
        .skip(1)
        .map(|stored| stored.clone().version().ok().map(|it| it.policy))
        .collect();
    before.push(None);
    versions
        .into_iter()
        .zip(before)
        .take(HISTORY as usize)
        .map(|(stored, before)| Past {
            version: stored.version,
            changed_by: stored.changed_by.clone(),
            reason: stored.reason.clone(),
            changed_at: Moment::of(stored.changed_at),
            changes: match (before, stored.version()) {
                (Some(before), Ok(it)) => differences(before.terms(), it.policy.terms()),
                (None, Ok(_)) => Vec::new(),
                (_, Err(cause)) => vec![cause.to_string()],
            },
        })
        .collect()
}

impl Planned {
    fn of(schedule: &Schedule) -> Self {
        Self {
            tries: schedule
                .tries
                .iter()
                .map(|planned| PlannedTry {
                    number: planned.number,
                    lane: match planned.lane {
                        Lane::DeadLetter => "dead letter",
                        _ => "retry",
                    },
                    wait: between(planned.wait),
                    since_first: between(planned.since_first),
                })
                .collect(),
            archived: between(schedule.archived),
        }
    }
}

/// From when to when, in words.
fn between(span: Span) -> String {
    let words = |seconds| {
        let time = Duration::from_secs_f64(seconds);
        milliseconds(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let (earliest, latest) = (words(span.earliest_s), words(span.latest_s));
    if earliest == latest {
        earliest
    } else {
        format!("{earliest} to {latest}")
    }
}

fn unreadable(cause: ReadError) -> Failure {
    match cause {
        ReadError::Database(cause) => cause.into(),
        ReadError::Missing => ErrorPage::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "There is no retry policy yet",
            cause.to_string(),
        )
        .into(),
        ReadError::Unreadable(..) | ReadError::Bad(..) => Failure::Internal(cause.into()),
    }
}
