//! `/archives.csv` for a spreadsheet and `/archives.jsonl` for programs: the whole filtered list, sent while it is read.

use super::{
    ListQuery,
    api::Row,
    columns::Columns,
    csv::{self, MARK},
    list_page::bad_query,
};
use crate::{
    App,
    access::{Caller, Export, May},
    audit::{self, Entry, Outcome},
    failure::{self, Failure},
    hiding::Hide as _,
    web,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use compensation::{
    archive::listing::{self, Filter, Listed},
    personal::Sight,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use service_kit::problem::{self, Problem};
use std::collections::HashMap;
use uuid::Uuid;

/// Rows read at a time.
const PAGE: u32 = 500;

/// The list's filter, and the columns that are wanted: `columns=id,step`, or the page's ticked boxes.
#[derive(Debug, Deserialize)]
pub(crate) struct ExportQuery {
    #[serde(flatten)]
    list: ListQuery,
    columns: Option<String>,
    #[serde(flatten)]
    ticked: HashMap<String, String>,
}

/// In what form.
#[derive(Debug, Clone, Copy)]
enum Form {
    Csv,
    JsonLines,
}

/// An export that was asked for as it must be.
struct Asked {
    form: Form,
    filter: Filter,
    columns: Columns,
    sight: Sight,
}

/// The list as CSV, for people. The page's link names the state it shows; without one, it is all of it.
pub(crate) async fn csv_page(
    State(app): State<App>,
    caller: May<Export>,
    web::Query(query): web::Query<ExportQuery>,
) -> Result<Response, Failure> {
    page(app, &caller, &query, Form::Csv).await
}

/// The same as JSON, a row a line.
pub(crate) async fn lines_page(
    State(app): State<App>,
    caller: May<Export>,
    web::Query(query): web::Query<ExportQuery>,
) -> Result<Response, Failure> {
    page(app, &caller, &query, Form::JsonLines).await
}

/// The list as CSV, for programs.
pub(crate) async fn csv_api(
    State(app): State<App>,
    caller: May<Export>,
    problem::Query(query): problem::Query<ExportQuery>,
) -> Result<Response, Problem> {
    api(app, &caller, &query, Form::Csv).await
}

/// The same as JSON, a row a line.
pub(crate) async fn lines_api(
    State(app): State<App>,
    caller: May<Export>,
    problem::Query(query): problem::Query<ExportQuery>,
) -> Result<Response, Problem> {
    api(app, &caller, &query, Form::JsonLines).await
}

async fn page(
    app: App,
    caller: &Caller,
    query: &ExportQuery,
    form: Form,
) -> Result<Response, Failure> {
    let filter = query.list.filter(None).map_err(bad_query)?;
    let columns = Columns::chosen(query.columns.as_deref(), &query.ticked)
        .map_err(|cause| web::not_understood(format!("In this address, {cause}.")))?;
    begin(&app, caller, &filter).await?;
    Ok(Asked::by(caller, form, filter, columns).answer(app))
}

async fn api(
    app: App,
    caller: &Caller,
    query: &ExportQuery,
    form: Form,
) -> Result<Response, Problem> {
    let filter = query
        .list
        .filter(None)
        .map_err(|cause| failure::invalid(cause.to_string()))?;
    let columns = Columns::chosen(query.columns.as_deref(), &query.ticked)
        .map_err(|cause| failure::invalid(cause.to_string()))?;
    begin(&app, caller, &filter)
        .await
        .map_err(failure::database)?;
    Ok(Asked::by(caller, form, filter, columns).answer(app))
}

/// Audited before the first byte leaves.
async fn begin(app: &App, caller: &Caller, filter: &Filter) -> sqlx::Result<()> {
    let detail = super::list_query::link("/archives", filter, None);
    let entry = Entry {
        act: "archives.export",
        subject: "",
        outcome: Outcome::Done,
        detail: &detail,
    };
    audit::record_alone(&app.db, &caller.who, entry).await
}

impl Form {
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
}

impl Asked {
    fn by(caller: &Caller, form: Form, filter: Filter, columns: Columns) -> Self {
        Self {
            form,
            filter,
            columns,
            sight: caller.sight(),
        }
    }

    fn answer(self, app: App) -> Response {
        let (form, now) = (self.form, Utc::now().format("%Y%m%dT%H%M%SZ"));
        let name = format!("archives-{now}.{}", form.suffix());
        let headers = [
            (header::CONTENT_TYPE, form.media_type().to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{name}\""),
            ),
        ];
        (headers, Body::from_stream(self.rows(app))).into_response()
    }

    fn rows(self, app: App) -> impl futures::Stream<Item = anyhow::Result<Bytes>> {
        let head = self.first();
        let pages = stream::try_unfold(
            (self, app, Some(None::<Uuid>)),
            |(asked, app, from)| async move {
                let Some(after) = from else { return Ok(None) };
                let page = listing::stream_after(&app.db, &asked.filter, after, PAGE)
                    .await?
                    .hidden(asked.sight);
                let Some(last) = page.last().map(|row| row.id) else {
                    return Ok(None);
                };
                let full = page.len() == PAGE as usize;
                let written = asked.written(page)?;
                let next = full.then_some(Some(last));
                anyhow::Ok(Some((written, (asked, app, next))))
            },
        );
        stream::once(async { head })
            .chain(pages)
            .inspect_err(|cause| {
                tracing::error!("An export broke off: {cause:#}");
            })
    }

    fn first(&self) -> anyhow::Result<Bytes> {
        Ok(match self.form {
            Form::Csv => [MARK, &csv::lines([self.columns.names()])?].concat().into(),
            Form::JsonLines => Bytes::new(),
        })
    }

    fn written(&self, page: Vec<Listed>) -> anyhow::Result<Bytes> {
        match self.form {
            Form::Csv => {
                let rows = page.iter().map(|row| self.columns.of(row, self.sight));
                Ok(csv::lines(rows)?.into())
            }
            Form::JsonLines => self.json_lines(page),
        }
    }

    fn json_lines(&self, page: Vec<Listed>) -> anyhow::Result<Bytes> {
        let mut bytes = Vec::new();
        for row in page {
            let mut row = serde_json::to_value(Row::of(row, self.sight))?;
            if let Some(fields) = row.as_object_mut() {
                fields.retain(|name, _| self.columns.has(name));
            }
            serde_json::to_writer(&mut bytes, &row)?;
            bytes.push(b'\n');
        }
        Ok(bytes.into())
    }
}
