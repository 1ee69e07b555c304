//! `POST /sales/{id}`: pause, go on, restock, other times. Every change says why.

use super::{
    acts::{self, ActError, Asked},
    detail_page,
    list_page::page_of,
};
use crate::{
    App,
    access::{ChangeSale, May},
    failure::{ErrorPage, Failure},
    replay::reason,
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, NaiveDateTime, Utc};
use ordering::{
    SaleId,
    sales::{Change, SaleState},
};
use serde::Deserialize;

/// What is to be changed; an empty field changes nothing.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangeForm {
    revision: i64,
    reason: Option<String>,
    total: Option<String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    /// `pause` or `go_on`.
    state: Option<String>,
}

/// Changes a sale.
pub(crate) async fn change(
    State(app): State<App>,
    caller: May<ChangeSale>,
    Path(sale): Path<SaleId>,
    Form(form): Form<ChangeForm>,
) -> Result<Response, Failure> {
    let (change, why) = match read(&form) {
        Ok(read) => read,
        Err(complaint) => {
            let notice = Notice::bad(format!("Nothing was done: {complaint}."));
            let page = detail_page::with_notice(&app, &caller, sale, Some(notice)).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let asked = Asked {
        change,
        made_from: Some(form.revision),
        reason: why,
    };
    match acts::change(&app, &caller, sale, asked).await {
        Ok(done) if done.in_redis => Ok(Redirect::to(&page_of(sale)).into_response()),
        Ok(_) => {
            let notice = Notice::bad(
                "It is changed in MySQL. Redis does not have it yet: the compensator brings it there, and buyers are served by the old terms until then.",
            );
            let page = detail_page::with_notice(&app, &caller, sale, Some(notice)).await?;
            Ok(page.into_response())
        }
        Err(ActError::Refused(_, sentence)) => {
            let notice = Notice::bad(format!("Nothing was done: {sentence}."));
            let page = detail_page::with_notice(&app, &caller, sale, Some(notice)).await?;
            Ok((StatusCode::CONFLICT, page).into_response())
        }
        Err(ActError::NotFound) => Err(ErrorPage::not_found("sale").into()),
        Err(ActError::Database(cause)) => Err(cause.into()),
    }
}

fn read(form: &ChangeForm) -> Result<(Change, &str), &'static str> {
    let why = reason(form.reason.as_deref())?.ok_or("a reason is needed")?;
    let total = text(form.total.as_deref()).map(|total| {
        let units = total
            .parse()
            .ok()
            .filter(|it| (1..=i32::MAX.unsigned_abs()).contains(it));
        units.ok_or("units are a number from 1 to 2147483647")
    });
    let state = text(form.state.as_deref()).map(|state| match state {
        "pause" => Ok(SaleState::Paused),
        "go_on" => Ok(SaleState::Open),
        _ => Err("a sale is paused or goes on"),
    });
    let change = Change {
        total: total.transpose()?,
        starts_at: text(form.starts_at.as_deref()).map(time).transpose()?,
        ends_at: text(form.ends_at.as_deref()).map(time).transpose()?,
        state: state.transpose()?,
    };
    if change == Change::default() {
        return Err("nothing was to be changed");
    }
    Ok((change, why))
}

/// A time as browsers' fields have it, in UTC; without seconds where those are none.
fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"))
        .map_err(|_| "a time cannot be understood")?
        .and_utc();
    if (1971..9999).contains(&chrono::Datelike::year(&at)) {
        Ok(at)
    } else {
        Err("a time lies too far away")
    }
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}
