//! The list, the newest sale first.

use super::list_query::{BadQuery, SHOWN, SaleQuery, link};
use crate::{
    App,
    access::{Look, May},
    archives::Chip,
    cursor::CursorPage,
    failure::Failure,
    frame,
    view::{self, Layout, Moment, Page, Tab, grouped},
    web::{self, Query},
};
use axum::{extract::State, response::Html};
use chrono::Utc;
use ordering::sales::{self, Sale, SaleState, Standing};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct ListPage {
    layout: Layout,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    link: String,
    id: String,
    product: String,
    chips: Vec<Chip>,
    total: String,
    available: String,
    sold: String,
    starts_at: Moment,
    ends_at: Moment,
}

impl Page for ListPage {
    const TEMPLATE: &'static str = "sales.html";
}

/// The list.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<SaleQuery>,
) -> Result<Html<String>, Failure> {
    let filter = query.filter().map_err(bad_query)?;
    let before = query.before().map_err(bad_query)?;
    let limit = query.limit().map_err(bad_query)?;
    let found = sales::page(&app.db, filter, before, limit + 1).await?;
    let found = CursorPage::of(found, limit, |row| row.sale.id.to_string());
    let page = ListPage {
        layout: frame::layout(&app, &caller, "sales", "Sales").await?,
        tabs: SHOWN
            .into_iter()
            .map(|(_, label, shown)| Tab {
                label,
                link: link(shown, None),
                count: None,
                current: shown == filter,
            })
            .collect(),
        first: before.map(|_| link(filter, None)),
        next: found.next.map(|next| link(filter, Some(next))),
        rows: found.items.into_iter().map(Row::from).collect(),
    };
    Ok(view::render(&page)?)
}

fn bad_query(cause: BadQuery) -> Failure {
    web::not_understood(format!("In this address, {cause}.")).into()
}

impl From<Standing> for Row {
    fn from(standing: Standing) -> Self {
        let sale = &standing.sale;
        Self {
            link: page_of(sale.id),
            id: sale.id.to_string(),
            chips: chips(&standing),
            total: grouped(sale.total.into()),
            available: grouped(standing.available.into()),
            sold: grouped(standing.sold.into()),
            starts_at: Moment::of(sale.starts_at),
            ends_at: Moment::of(sale.ends_at),
            product: standing.product,
        }
    }
}

/// The page of a sale.
pub(crate) fn page_of(sale: impl std::fmt::Display) -> String {
    format!("/sales/{sale}")
}

/// Whether it takes orders now, and what is wrong with it.
pub(super) fn chips(standing: &Standing) -> Vec<Chip> {
    let mut chips = vec![phase(&standing.sale)];
    if standing.available == 0 {
        chips.push(Chip::new("sold out", "plain"));
    }
    if standing.drifts {
        chips.push(Chip::new("Redis and MySQL differ", "bad"));
    }
    chips
}

fn phase(sale: &Sale) -> Chip {
    let now = Utc::now();
    if now >= sale.ends_at {
        Chip::new("ended", "plain")
    } else if sale.state == SaleState::Paused {
        Chip::new("paused", "busy")
    } else if now < sale.starts_at {
        Chip::new("upcoming", "plain")
    } else {
        Chip::new("live", "good")
    }
}
