//! `POST /archives/{id}/edit`: the form.

use super::{
    EditError, NewEdit, edit,
    edit_page::{Tried, Typed, page},
};
use crate::{
    App,
    access::{EditOrder, May},
    discard,
    failure::{ErrorPage, Failure},
    replay::ReplayError,
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::{OriginalUri, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use ordering::edit::Bad;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The form. A field that is off is not sent, and stays as it is.
#[derive(Debug, Deserialize)]
pub(crate) struct EditForm {
    revision: u32,
    from: u32,
    quantity: Option<String>,
    remark: Option<String>,
    price: Option<String>,
    reason: Option<String>,
}

/// Makes a version and leads to the order, where it can be replayed; what is wrong is said at its field.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<EditOrder>,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<Uuid>,
    Form(form): Form<EditForm>,
) -> Result<Response, Failure> {
    let saved = match discard::reason(form.reason.as_deref()) {
        Err(why) => Err(EditError::Bad(vec![Bad {
            field: "reason".to_owned(),
            why: why.to_owned(),
        }])),
        Ok(reason) => {
            let new = NewEdit {
                revision: form.revision,
                from: form.from,
                changes: form.changes(),
                reason,
            };
            edit(&app, &caller, &uri, id, &new).await
        }
    };
    let refused = match saved {
        Ok(version) => {
            let order = format!("/archives/{id}?version={version}");
            return Ok(Redirect::to(&order).into_response());
        }
        Err(refused) => refused,
    };
    let mut tried = Tried {
        from: Some(form.from),
        typed: Some(form.typed()),
        ..Tried::default()
    };
    let (status, why) = match refused {
        EditError::Denied(refusal) => return Ok(refusal.into_response()),
        EditError::NotNow(ReplayError::NotFound) => {
            return Err(ErrorPage::not_found("archived order").into());
        }
        EditError::NotNow(ReplayError::Database(cause)) => return Err(cause.into()),
        EditError::NotNow(refused) => {
            // A version that is none is not begun with again.
            tried.from = None;
            (StatusCode::CONFLICT, refused.sentence())
        }
        EditError::Newer { number, by, at } => {
            (StatusCode::CONFLICT, EditError::meanwhile(number, &by, at))
        }
        EditError::Bad(bad) => {
            tried.bad = bad;
            let why = "Some fields are not taken.".to_owned();
            (StatusCode::UNPROCESSABLE_ENTITY, why)
        }
    };
    tried.notice = Some(Notice::bad(format!("Nothing was saved: {why}")));
    let page = page(&app, &caller, id, tried).await?;
    Ok((status, page).into_response())
}

impl EditForm {
    fn changes(&self) -> Map<String, Value> {
        let number = |text: &String| {
            let text = text.trim();
            text.parse::<i64>()
                .map_or_else(|_| Value::String(text.to_owned()), Value::from)
        };
        let remark = self.remark.as_deref().map(line_ends).map(|text| {
            if text.is_empty() {
                Value::Null
            } else {
                Value::String(text)
            }
        });
        [
            ("quantity", self.quantity.as_ref().map(number)),
            ("price", self.price.as_ref().map(number)),
            ("remark", remark),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    fn typed(&self) -> Typed {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Typed {
            quantity: text(&self.quantity),
            remark: text(&self.remark),
            price: text(&self.price),
            reason: text(&self.reason),
        }
    }
}

/// A browser sends each line's end as two characters.
fn line_ends(text: &str) -> String {
    text.replace("\r\n", "\n")
}
