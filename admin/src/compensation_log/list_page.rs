//! The page.

use super::list_query::{BadQuery, LANES, LogQuery};
use crate::{
    App,
    access::{Look, May},
    archives::{Chip, outcome_tone},
    failure::Failure,
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Page, ShortId, milliseconds},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use compensation::{
    attempt::Lane,
    log::reading::{self, Logged},
};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct LogPage {
    layout: Layout,
    /// Whether the settings keep tries out of the table.
    only_in_file: bool,
    order: String,
    lane: String,
    outcome: String,
    until: String,
    lanes: Vec<&'static str>,
    filtered: bool,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    started_at: Moment,
    order: ShortId,
    /// The page of the order where it was given up, and says so where it was not.
    order_link: String,
    only_order: String,
    transaction_link: String,
    transaction: ShortId,
    generation: u32,
    attempt: u32,
    lane: String,
    outcome: Chip,
    error: Option<String>,
    took: String,
    next_after: Option<String>,
    worker: String,
}

impl Page for LogPage {
    const TEMPLATE: &'static str = "compensation_log.html";
}

/// The log.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<LogQuery>,
) -> Result<Html<String>, Failure> {
    let filter = query.filter().map_err(bad_query)?;
    let cursor = query.cursor().map_err(bad_query)?;
    let limit = query.limit().map_err(bad_query)?;
    let mut found = reading::page(&app.db, &filter, cursor, limit).await?;
    found.rows.hide(caller.sight());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let page = LogPage {
        layout: frame::layout(&app, &caller, "compensation-log", "Compensation log").await?,
        only_in_file: !app.tries_in_table,
        order: text(&query.order),
        lane: text(&query.lane),
        outcome: text(&query.outcome),
        until: text(&query.until),
        lanes: LANES.map(Lane::as_str).to_vec(),
        filtered: query.is_filtered(),
        rows: found
            .rows
            .into_iter()
            .map(|row| Row::of(row, &query))
            .collect(),
        first: cursor.map(|_| query.link(None)),
        next: found.next.map(|next| query.link(Some(next.to_string()))),
    };
    Ok(view::render(&page)?)
}

fn outcome_chip(outcome: String) -> Chip {
    let tone = outcome_tone(&outcome);
    Chip::new(outcome, tone)
}

fn bad_query(cause: BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

impl Row {
    fn of(logged: Logged, query: &LogQuery) -> Self {
        let of_order = LogQuery {
            order: Some(logged.order_id.to_string()),
            ..query.clone()
        };
        Self {
            started_at: Moment::of(logged.started_at),
            order: ShortId::of(logged.order_id),
            order_link: format!("/archives/{}", logged.order_id),
            only_order: of_order.link(None),
            transaction: ShortId::of(logged.gid),
            transaction_link: format!("/transactions/{}", logged.gid),
            generation: logged.generation,
            attempt: logged.attempt,
            lane: logged.lane,
            outcome: outcome_chip(logged.outcome),
            error: logged.error,
            took: milliseconds(logged.duration_ms.into()),
            next_after: logged
                .next_after_ms
                .map(|wait| milliseconds(u64::try_from(wait).unwrap_or_default())),
            worker: logged.worker,
        }
    }
}
