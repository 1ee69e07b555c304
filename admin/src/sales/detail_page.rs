//! One sale: its terms, its numbers in MySQL beside those in Redis, where they were found to differ, and the forms that change it.

use super::{
    list_page::{chips, page_of},
    redis_side::{self, RedisSide},
};
use crate::{
    App,
    access::{Caller, ChangeSale, Look, May, Permission as _},
    address::with_query,
    archives::{Chip, list_link},
    failure::{ErrorPage, Failure},
    frame,
    view::{self, Fact, Layout, Moment, Notice, Page, grouped},
    web::Path,
};
use axum::{extract::State, response::Html};
use chrono::{DateTime, Utc};
use compensation::archive::listing::Filter;
use ordering::{
    SaleId,
    drift::{self, Drift},
    sales::{self, SaleState, Standing},
};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct SalePage {
    layout: Layout,
    id: String,
    here: String,
    product: String,
    chips: Vec<Chip>,
    facts: Vec<Fact>,
    numbers: Vec<Number>,
    /// What Redis says instead of numbers.
    redis: Option<&'static str>,
    archives: String,
    drifts: Vec<DriftRow>,
    audit: String,
    /// Why the forms are off.
    disabled: Option<String>,
    paused: bool,
    revision: i64,
    total: u32,
    starts_at: String,
    ends_at: String,
}

/// One number, as each says it.
#[derive(Debug, Serialize)]
struct Number {
    name: &'static str,
    mysql: Option<String>,
    redis: Option<String>,
}

#[derive(Debug, Serialize)]
struct DriftRow {
    found_at: Moment,
    over_at: Option<Moment>,
    units: i64,
    redis: String,
    mysql: String,
    fenced: bool,
}

impl Page for SalePage {
    const TEMPLATE: &'static str = "sale.html";
}

/// The page.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(sale): Path<SaleId>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, sale, None).await
}

/// The page, with what the last act did.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    sale: SaleId,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let standing = sales::one(&app.db, sale)
        .await?
        .ok_or_else(|| ErrorPage::not_found("sale"))?;
    let drifts = drift::of_sale(&app.db, sale).await?;
    let redis = redis_side::look(app, sale).await;
    let layout = frame::layout(
        app,
        caller,
        "sales",
        format!("Sale of {}", standing.product),
    );
    let page = SalePage {
        layout: layout.await?.notice(notice),
        id: sale.to_string(),
        here: page_of(sale),
        chips: chips(&standing),
        facts: facts(&standing),
        numbers: numbers(&standing, redis),
        redis: said_instead(redis),
        archives: list_link(
            "/archives",
            &Filter {
                sale: Some(sale.as_uuid()),
                ..Filter::default()
            },
            None,
        ),
        drifts: drifts.into_iter().map(DriftRow::from).collect(),
        audit: with_query("/audit", &[("subject", Some(sale.to_string()))]),
        disabled: (!caller.may::<ChangeSale>()).then(|| {
            format!(
                "It needs the permission {}, which the role {} has",
                ChangeSale::NAME,
                ChangeSale::ROLE
            )
        }),
        paused: standing.sale.state == SaleState::Paused,
        revision: standing.sale.revision,
        total: standing.sale.total,
        starts_at: in_words(standing.sale.starts_at),
        ends_at: in_words(standing.sale.ends_at),
        product: standing.product,
    };
    Ok(view::render(&page)?)
}

fn facts(standing: &Standing) -> Vec<Fact> {
    let sale = &standing.sale;
    vec![
        Fact::id("Sale", sale.id.as_uuid(), None),
        Fact::at("Begins", sale.starts_at),
        Fact::at("Ends", sale.ends_at),
        Fact::text(
            "Units a buyer may have",
            grouped(sale.per_user_limit.into()),
        ),
        Fact::text("Price of one unit, in minor units", sale.price.to_string()),
        Fact::text("Changed so often", (sale.revision - 1).to_string()),
        Fact::text("Redis made anew so often", (standing.epoch - 1).to_string()),
        Fact::at("Made", sale.created_at),
    ]
}

/// Both sides. What only Redis counts is on its way: it is not decided yet.
fn numbers(standing: &Standing, redis: RedisSide) -> Vec<Number> {
    let levels = match redis {
        RedisSide::Levels(levels) => Some(levels),
        _ => None,
    };
    let row = |name, mysql: Option<u32>, redis: Option<i64>| Number {
        name,
        mysql: mysql.map(|it| grouped(it.into())),
        redis: redis.map(signed),
    };
    let of = |field: fn(&ordering::stock::Levels) -> i64| levels.as_ref().map(field);
    vec![
        row("Units", Some(standing.sale.total), of(|it| it.total)),
        row("Available", Some(standing.available), of(|it| it.available)),
        row("Reserved, not settled", None, of(|it| it.held)),
        row("Sold", Some(standing.sold), of(|it| it.sold)),
        row("Owed", None, of(|it| it.owed)),
    ]
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

const fn said_instead(redis: RedisSide) -> Option<&'static str> {
    match redis {
        RedisSide::Levels(_) => None,
        RedisSide::BeingRebuilt => Some(
            "Redis' side is being made anew from MySQL: no order is taken until it is, which takes seconds.",
        ),
        RedisSide::Missing => Some(
            "Redis has no such sale: it was lost, and the compensator makes it anew from MySQL.",
        ),
        RedisSide::Away => Some("Redis does not answer: what it has is not known."),
    }
}

/// In a sentence that says that it is UTC.
fn in_words(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

impl From<Drift> for DriftRow {
    fn from(drift: Drift) -> Self {
        let (available, held, sold, owed) = drift.redis;
        Self {
            found_at: Moment::of(drift.found_at),
            over_at: drift.over_at.map(Moment::of),
            units: drift.units,
            redis: format!("{available} available, {held} reserved, {sold} sold, {owed} owed"),
            mysql: format!("{} available, {} sold", drift.mysql.0, drift.mysql.1),
            fenced: drift.fenced,
        }
    }
}
