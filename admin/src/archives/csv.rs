//! `/archives.csv`: the whole filtered list as a spreadsheet reads it, sent while it is read.
//!
//! A spreadsheet takes a text that begins with `=` for a formula and runs it, so such texts get an apostrophe before them. The
//! byte order mark tells it that the file is UTF-8.

use super::{ListQuery, list_page::bad_query};
use crate::{
    App,
    access::{Caller, Export, May},
    audit::{self, Entry, Outcome},
    failure::{self, Failure},
    hiding::Hide as _,
    view::visible,
    web,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use compensation::{
    archive::listing::{self, Filter, Listed, State as Stands},
    fingerprint::Fingerprint,
    personal::{self, Sight},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use service_kit::problem::{self, Problem};
use std::borrow::Cow;
use uuid::Uuid;

/// Rows read at a time.
const PAGE: u32 = 500;
/// Tells a spreadsheet that the file is UTF-8.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";
const HEAD: [&str; 19] = [
    "id",
    "order_id",
    "state",
    "resolution",
    "sale_id",
    "user_id",
    "quantity",
    "generation",
    "gid",
    "step",
    "error",
    "attempts",
    "times_archived",
    "held",
    "first_failed_at",
    "archived_at",
    "handled_at",
    "kind",
    "fingerprint",
];

/// The list as CSV, for people. The page's link names the state it shows; without one, it is all of it.
pub(crate) async fn page(
    State(app): State<App>,
    caller: May<Export>,
    web::Query(query): web::Query<ListQuery>,
) -> Result<Response, Failure> {
    let filter = query.filter(None).map_err(bad_query)?;
    begin(&app, &caller, &filter).await?;
    Ok(answer(app, filter, caller.sight()))
}

/// The same for programs.
pub(crate) async fn api(
    State(app): State<App>,
    caller: May<Export>,
    problem::Query(query): problem::Query<ListQuery>,
) -> Result<Response, Problem> {
    let filter = query
        .filter(None)
        .map_err(|cause| failure::invalid(cause.to_string()))?;
    begin(&app, &caller, &filter)
        .await
        .map_err(failure::database)?;
    Ok(answer(app, filter, caller.sight()))
}

fn answer(app: App, filter: Filter, sight: Sight) -> Response {
    let name = format!("archives-{}.csv", Utc::now().format("%Y%m%dT%H%M%SZ"));
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, Body::from_stream(rows(app, filter, sight))).into_response()
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

fn rows(
    app: App,
    filter: Filter,
    sight: Sight,
) -> impl futures::Stream<Item = anyhow::Result<Bytes>> {
    let head =
        stream::once(async { Ok(Bytes::from([MARK, &lines([HEAD.map(Cow::from)])?].concat())) });
    let pages = stream::try_unfold(Some(None::<Uuid>), move |from| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some(after) = from else { return Ok(None) };
            let page = listing::stream_after(&app.db, &filter, after, PAGE)
                .await?
                .hidden(sight);
            let Some(last) = page.last().map(|row| row.id) else {
                return Ok(None);
            };
            let full = page.len() == PAGE as usize;
            let text = lines(page.iter().map(|row| fields(row, sight)))?;
            anyhow::Ok(Some((Bytes::from(text), full.then_some(Some(last)))))
        }
    });
    head.chain(pages).inspect_err(|cause| {
        tracing::error!("An export broke off: {cause:#}");
    })
}

/// Rows as a spreadsheet reads them, and runs none.
pub(crate) fn lines<'a, const COLUMNS: usize>(
    rows: impl IntoIterator<Item = [Cow<'a, str>; COLUMNS]>,
) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(
            row.iter()
                .map(|field| guarded(&visible(field)).as_bytes().to_vec()),
        )?;
    }
    Ok(writer.into_inner()?)
}

fn fields(row: &Listed, sight: Sight) -> [Cow<'_, str>; 19] {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    [
        row.id.to_string().into(),
        id(row.order_id).into(),
        Stands::as_str(row.state()).into(),
        row.resolution.as_deref().unwrap_or_default().into(),
        id(row.sale_id).into(),
        row.user_id
            .map(|id| personal::user(id, sight))
            .unwrap_or_default()
            .into(),
        row.quantity
            .map(|units| units.to_string())
            .unwrap_or_default()
            .into(),
        row.generation.to_string().into(),
        id(row.gid).into(),
        row.step.as_str().into(),
        row.error.as_str().into(),
        row.attempts.to_string().into(),
        row.times_archived.to_string().into(),
        if row.held { "yes" } else { "no" }.into(),
        time(row.first_failed_at).into(),
        time(row.archived_at).into(),
        row.handled_at.map(time).unwrap_or_default().into(),
        row.kind().as_str().into(),
        row.fingerprint
            .map(|it| Fingerprint::from_number(it).to_string())
            .unwrap_or_default()
            .into(),
    ]
}

/// The text as a spreadsheet shows it and does not run it.
fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_texts() {
        for formula in ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        assert_eq!(guarded("lock wait = 5"), "lock wait = 5");
        assert_eq!(guarded(""), "");
    }
}
