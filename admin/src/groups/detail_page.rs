//! `/groups/{fingerprint}`: one cause, what operators say of it, and the ways to its rows; and the form that says it.

use super::{acts, page::Card};
use crate::{
    App,
    access::{Caller, Look, MarkGroup, May},
    audit::{self, Filter, page::Row as AuditRow},
    failure::{ErrorPage, Failure},
    frame,
    hiding::Hide as _,
    view::{self, Layout, Notice, Page},
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse as _, Redirect, Response},
};
use compensation::{
    archive::{
        groups,
        marks::{Change, NotMarked, Status},
    },
    fingerprint::Fingerprint,
};
use identity::operators;
use serde::{Deserialize, Serialize};

/// Lines of the audit shown at most, newest first.
const AUDIT_AT_MOST: u32 = 50;

#[derive(Debug, Serialize)]
struct GroupPage {
    layout: Layout,
    group: Card,
    /// Where the form goes.
    action: String,
    /// What is shown now; whoever changes it meanwhile is not overruled.
    version: u32,
    statuses: Vec<Choice>,
    assignees: Vec<Choice>,
    disabled: Option<String>,
    /// The look ahead at a replay of all of it.
    replay: String,
    audit: Vec<AuditRow>,
}

#[derive(Debug, Serialize)]
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

/// What is said of it.
#[derive(Debug, Deserialize)]
pub(crate) struct MarkForm {
    status: String,
    #[serde(default)]
    assignee: String,
    #[serde(default)]
    reason: String,
    version: u32,
}

impl Page for GroupPage {
    const TEMPLATE: &'static str = "group.html";
}

/// The address of a group's page.
pub(crate) fn page_of(group: impl std::fmt::Display) -> String {
    format!("/groups/{group}")
}

/// The page.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(group): Path<String>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, read(&group)?, None).await
}

/// Says what is to become of it. Back to the page; a refusal is shown where the form is.
pub(crate) async fn mark(
    State(app): State<App>,
    caller: May<MarkGroup>,
    Path(group): Path<String>,
    Form(form): Form<MarkForm>,
) -> Result<Response, Failure> {
    let group = read(&group)?;
    let said = form.status.parse().map(|status: Status| Change {
        status: Some(status),
        assignee: form.assignee.as_str().into(),
        reason: form.reason,
        seen: Some(form.version),
    });
    let refused = match said {
        Err(_) => NotMarked::Bad("a group is open, ignored or resolved"),
        Ok(change) => match acts::mark(&app, &caller, group, &change).await {
            Ok(()) => return Ok(Redirect::to(&page_of(group)).into_response()),
            Err(NotMarked::NotFound) => return Err(ErrorPage::not_found("group").into()),
            Err(NotMarked::Database(cause)) => return Err(cause.into()),
            Err(refused) => refused,
        },
    };
    let status = match refused {
        NotMarked::Bad(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    };
    let notice = Notice::bad(format!(
        "Nothing was changed: {}.",
        acts::sentence(&refused)
    ));
    let page = with_notice(&app, &caller, group, Some(notice)).await?;
    Ok((status, page).into_response())
}

fn read(group: &str) -> Result<Fingerprint, ErrorPage> {
    group.parse().map_err(|_| ErrorPage::not_found("group"))
}

async fn with_notice(
    app: &App,
    caller: &Caller,
    group: Fingerprint,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let sight = caller.sight();
    let found = groups::find(&app.db, group)
        .await?
        .ok_or_else(|| ErrorPage::not_found("group"))?
        .hidden(sight);
    let names = operators::list(&app.db).await?;
    let audit = audit::newest(&app.db, &Filter::of_subject(&group), None, AUDIT_AT_MOST)
        .await?
        .hidden(sight);
    let (status, mark) = (found.status(), found.mark.clone());
    let assignee = mark.as_ref().and_then(|mark| mark.assignee.clone());
    let page = GroupPage {
        layout: frame::layout(app, caller, "groups", format!("Group {group}"))
            .await?
            .notice(notice),
        action: page_of(group),
        version: mark.map_or(0, |mark| mark.version),
        statuses: Status::ALL
            .into_iter()
            .map(|one| Choice {
                value: one.to_string(),
                label: meaning(one).to_owned(),
                chosen: one == status,
            })
            .collect(),
        assignees: names
            .into_iter()
            .map(|operator| Choice {
                chosen: assignee.as_deref() == Some(&operator.username),
                value: operator.username.clone(),
                label: operator.username,
            })
            .collect(),
        disabled: caller.why_not::<MarkGroup>(),
        replay: format!("/operations/preview?kind=replay&state=open&fingerprint={group}"),
        audit: audit.into_iter().map(AuditRow::from).collect(),
        group: Card::of(found),
    };
    Ok(view::render(&page)?)
}

const fn meaning(status: Status) -> &'static str {
    match status {
        Status::Open => "Open: somebody has to look",
        Status::Ignored => "Ignored: left alone, also when it fails again",
        Status::Resolved => "Resolved: open again when it fails again",
    }
}
