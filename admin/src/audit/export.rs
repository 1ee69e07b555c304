//! `/audit.csv` for a spreadsheet and `/audit.jsonl` for whoever checks the chain: all that the filter matches, oldest first, sent while
//! it is read.
//!
//! The last of the JSON lines is no line of the audit: it names the head of the chain as it was when the export began, so that a file
//! that was cut off says so.
//!
//! What is hashed cannot be hidden, and older lines may hold what is personal: the JSON lines need the permission to see that.

use super::{Entry, Filter, Line, Outcome, page::bad_query, query::AuditQuery, record_alone};
use crate::{
    App,
    access::{Caller, ExportAudit, May, SeePersonal},
    archives::csv::{self, MARK},
    failure::{self, Failure},
    hiding::Hide as _,
    web,
};
use ::audit::{
    head::{Head, head},
    listing::oldest,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{SecondsFormat, Utc};
use compensation::personal::Sight;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use service_kit::problem::{self, Problem};
use std::borrow::Cow;

/// Lines read at a time.
const PAGE: u32 = 500;
const HEAD: [&str; 12] = [
    "id",
    "at",
    "operator",
    "role",
    "act",
    "subject",
    "outcome",
    "detail",
    "address",
    "operation_id",
    "prev",
    "hash",
];

/// What it is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
}

/// For people, as a spreadsheet.
pub(crate) async fn csv_page(
    State(app): State<App>,
    caller: May<ExportAudit>,
    web::Query(query): web::Query<AuditQuery>,
) -> Result<Response, Failure> {
    let filter = query.filter().map_err(bad_query)?;
    Ok(begun(app, &caller, &query, filter, Form::Csv).await?)
}

/// For people, as JSON lines.
pub(crate) async fn lines_page(
    State(app): State<App>,
    caller: May<ExportAudit>,
    _: May<SeePersonal>,
    web::Query(query): web::Query<AuditQuery>,
) -> Result<Response, Failure> {
    let filter = query.filter().map_err(bad_query)?;
    Ok(begun(app, &caller, &query, filter, Form::JsonLines).await?)
}

/// For programs, as a spreadsheet.
pub(crate) async fn csv_api(
    State(app): State<App>,
    caller: May<ExportAudit>,
    problem::Query(query): problem::Query<AuditQuery>,
) -> Result<Response, Problem> {
    for_programs(app, &caller, &query, Form::Csv).await
}

/// For programs, as JSON lines.
pub(crate) async fn lines_api(
    State(app): State<App>,
    caller: May<ExportAudit>,
    _: May<SeePersonal>,
    problem::Query(query): problem::Query<AuditQuery>,
) -> Result<Response, Problem> {
    for_programs(app, &caller, &query, Form::JsonLines).await
}

async fn for_programs(
    app: App,
    caller: &Caller,
    query: &AuditQuery,
    form: Form,
) -> Result<Response, Problem> {
    let filter = query
        .filter()
        .map_err(|cause| failure::invalid(cause.to_string()))?;
    begun(app, caller, query, filter, form)
        .await
        .map_err(failure::database)
}

/// Audited before the first byte leaves: the export has its own line in it, unless the filter leaves it out.
async fn begun(
    app: App,
    caller: &Caller,
    query: &AuditQuery,
    filter: Filter,
    form: Form,
) -> sqlx::Result<Response> {
    let detail = query.link(form.path(), None);
    let entry = Entry {
        act: "audit.export",
        subject: "",
        outcome: Outcome::Done,
        detail: &detail,
    };
    record_alone(&app.db, &caller.who, entry).await?;
    let head = head(&app.db).await?;
    let name = format!(
        "audit-{}.{}",
        Utc::now().format("%Y%m%dT%H%M%SZ"),
        form.suffix()
    );
    let headers = [
        (header::CONTENT_TYPE, form.media_type().to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((
        headers,
        Body::from_stream(sent(app, filter, form, head, caller.sight())),
    )
        .into_response())
}

/// All up to the head: what is written meanwhile is in the next export.
fn sent(
    app: App,
    filter: Filter,
    form: Form,
    head: Head,
    sight: Sight,
) -> impl futures::Stream<Item = anyhow::Result<Bytes>> {
    let first = stream::once(async move { form.first() });
    let last = form.last(&filter, head);
    let pages = stream::try_unfold(Some(0), move |from| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some(after) = from else { return Ok(None) };
            let mut page = oldest(&app.db, &filter, after, head.id, PAGE).await?;
            // JSON lines are what was chained, or nobody could check them.
            if form == Form::Csv {
                page.hide(sight);
            }
            let Some(last) = page.last().map(|line| line.id) else {
                return Ok(None);
            };
            let full = page.len() == PAGE as usize;
            anyhow::Ok(Some((form.written(&page)?, full.then_some(last))))
        }
    });
    first
        .chain(pages)
        .chain(stream::once(async move { Ok(last) }))
        .inspect_err(|cause| tracing::error!("An export of the audit broke off: {cause:#}"))
}

impl Form {
    const fn path(self) -> &'static str {
        match self {
            Self::Csv => "/audit.csv",
            Self::JsonLines => "/audit.jsonl",
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::JsonLines => "application/jsonl; charset=utf-8",
        }
    }

    fn first(self) -> anyhow::Result<Bytes> {
        Ok(match self {
            Self::Csv => [MARK, &csv::lines([HEAD.map(Cow::from)])?].concat().into(),
            Self::JsonLines => Bytes::new(),
        })
    }

    fn written(self, lines: &[Line]) -> anyhow::Result<Bytes> {
        Ok(match self {
            Self::Csv => csv::lines(lines.iter().map(fields))?.into(),
            Self::JsonLines => {
                let mut bytes = Vec::new();
                for line in lines {
                    serde_json::to_writer(&mut bytes, line)?;
                    bytes.push(b'\n');
                }
                bytes.into()
            }
        })
    }

    fn last(self, filter: &Filter, head: Head) -> Bytes {
        match self {
            Self::Csv => Bytes::new(),
            Self::JsonLines => {
                let end = json!({"head": head, "filtered": !filter.is_empty()});
                format!("{end}\n").into()
            }
        }
    }
}

fn fields(line: &Line) -> [Cow<'_, str>; 12] {
    let hash = |hash: Option<::audit::Hash>| hash.map(|it| it.to_string()).unwrap_or_default();
    [
        line.id.to_string().into(),
        line.at.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
        line.operator.as_str().into(),
        line.role.as_str().into(),
        line.act.as_str().into(),
        line.subject.as_str().into(),
        line.outcome.as_str().into(),
        line.detail.as_str().into(),
        line.address.as_str().into(),
        line.operation_id
            .map(|id| id.to_string())
            .unwrap_or_default()
            .into(),
        hash(line.prev).into(),
        hash(line.hash).into(),
    ]
}
