//! `/archives/{id}/edit`: all versions of an order's message side by side, and the form that makes one more.

use super::{
    of, refusal,
    side_by_side::{SideBySide, text},
};
use crate::{
    App,
    access::{Caller, EditOrder, EditPrice, Look, May, Permission as _},
    archives::refusal_sentence,
    failure::{ErrorPage, Failure},
    frame,
    replay::Looked,
    view::{self, Layout, Notice, Page},
    web::{Path, Query},
};
use axum::{extract::State, response::Html};
use compensation::{archive, personal::Sight};
use ordering::edit::{Bad, REMARK_AT_MOST};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Serialize)]
struct EditPage {
    layout: Layout,
    id: String,
    order: String,
    versions: SideBySide,
    /// Whether there is anything beside one another.
    readable: bool,
    form: Form,
}

#[derive(Debug, Serialize)]
struct Form {
    action: String,
    disabled: Option<String>,
    price_disabled: Option<String>,
    revision: u32,
    from: u32,
    remark_at_most: usize,
    /// Whether one sees it: what is not in the form stays as it is.
    shows_remark: bool,
    typed: Typed,
    wrong: Wrong,
}

/// What the form has.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Typed {
    pub quantity: String,
    pub remark: String,
    pub price: String,
    pub reason: String,
}

/// What is wrong, at its field.
#[derive(Debug, Default, Serialize)]
struct Wrong {
    quantity: Option<String>,
    remark: Option<String>,
    price: Option<String>,
    reason: Option<String>,
    /// Of any other field, with its name.
    others: Vec<String>,
}

impl Page for EditPage {
    const TEMPLATE: &'static str = "archive_edit.html";
}

/// `?from=`: the version the form begins with; the newest one when it is not said.
#[derive(Debug, Deserialize)]
pub(crate) struct From {
    from: Option<u32>,
}

/// What became of the last try.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub from: Option<u32>,
    pub typed: Option<Typed>,
    pub bad: Vec<Bad>,
    pub notice: Option<Notice>,
}

/// The page.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
    Query(From { from }): Query<From>,
) -> Result<Html<String>, Failure> {
    let tried = Tried {
        from,
        ..Tried::default()
    };
    page(&app, &caller, id, tried).await
}

/// The page, with what was typed and what the last try came to.
///
/// # Errors
/// [`Failure`]; 404 when there is nothing under the id, or no such version.
pub(super) async fn page(
    app: &App,
    caller: &Caller,
    id: Uuid,
    tried: Tried,
) -> Result<Html<String>, Failure> {
    let archived = archive::find(&app.db, id)
        .await?
        .ok_or_else(|| ErrorPage::not_found("archived order"))?;
    let looked = Looked::at(app, &archived, None).await?;
    let versions = of(app, &archived, &looked).await?;
    let from = tried.from.unwrap_or(archived.version);
    let base = versions.iter().find(|version| version.number == from);
    if base.is_none() && !versions.is_empty() {
        return Err(ErrorPage::not_found("version of this order").into());
    }
    let members = base
        .and_then(|version| serde_json::from_slice::<serde_json::Value>(&version.payload).ok())
        .unwrap_or_default();
    let shows_remark = caller.may::<EditOrder>() && caller.sight() == Sight::Whole;
    let typed = tried.typed.unwrap_or_else(|| Typed {
        quantity: text(&members["quantity"]),
        price: text(&members["price"]),
        // Who may not edit may not read it either, nor who sees nothing personal.
        remark: members["remark"]
            .as_str()
            .filter(|_| shows_remark)
            .unwrap_or_default()
            .to_owned(),
        reason: String::new(),
    });
    let page = EditPage {
        layout: frame::layout(app, caller, "archives", format!("Edit {id}"))
            .await?
            .notice(tried.notice),
        id: id.to_string(),
        order: format!("/archives/{id}"),
        readable: !versions.is_empty(),
        versions: SideBySide::of(&versions, archived.user_id, caller.sight()),
        form: Form {
            action: format!("/archives/{id}/edit"),
            disabled: match refusal(&archived, &looked) {
                Some(code) => Some(refusal_sentence(code)),
                None => caller.why_not::<EditOrder>(),
            },
            price_disabled: (!caller.may::<EditPrice>()).then(|| {
                let (name, role) = (EditPrice::NAME, EditPrice::ROLE);
                format!("It needs the permission {name}, which the role {role} has.")
            }),
            revision: archived.version,
            from,
            remark_at_most: REMARK_AT_MOST,
            shows_remark,
            typed,
            wrong: Wrong::of(tried.bad),
        },
    };
    Ok(view::render(&page)?)
}

impl Wrong {
    fn of(bad: Vec<Bad>) -> Self {
        let mut wrong = Self::default();
        for Bad { field, why } in bad {
            let place = match field.as_str() {
                "quantity" => &mut wrong.quantity,
                "remark" => &mut wrong.remark,
                "price" => &mut wrong.price,
                "reason" => &mut wrong.reason,
                "fields" => {
                    wrong.others.push(why);
                    continue;
                }
                other => {
                    wrong.others.push(format!("{other}: {why}"));
                    continue;
                }
            };
            *place = Some(why);
        }
        wrong
    }
}
