//! `/operations/preview` and `POST /api/v1/operations/preview`: what would happen, before anything is asked for. Neither changes anything.

use super::forecast::{COUNTED_AT_MOST, Forecast, forecast};
use crate::{
    App,
    access::{Caller, Discard, Look, May, Permission as _, Reconcile, Replay},
    archives::{list_link, refusal_sentence},
    failure::{self, ErrorPage, Failure},
    frame,
    view::{self, Layout, Notice, Page, grouped},
    web::{self, Query},
};
use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use compensation::operations::{
    Kind,
    terms::{RATE_AT_MOST, REASON_AT_MOST, Selected, Terms},
};
use serde::{Deserialize, Serialize};
use service_kit::problem::Json;
use uuid::Uuid;

/// `?kind=&q=&state=&sale=&step=&fingerprint=`: the list's filter, and what is to be done.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PreviewQuery {
    pub kind: Option<String>,
    pub q: Option<String>,
    pub state: Option<String>,
    pub sale: Option<String>,
    pub step: Option<String>,
    pub fingerprint: Option<String>,
}

impl PreviewQuery {
    /// What is to be done; a replay when it is not said.
    ///
    /// # Errors
    /// A page that names what is wrong.
    pub fn kind(&self) -> Result<Kind, ErrorPage> {
        self.kind.as_deref().map_or(Ok(Kind::Replay), |kind| {
            Kind::of_many(kind).map_err(|_| web::not_understood("The kind is replay or discard."))
        })
    }

    /// On which rows.
    ///
    /// # Errors
    /// A page that names what is wrong.
    pub fn selected(&self) -> Result<Selected, ErrorPage> {
        let full = |text: &Option<String>| {
            text.as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned)
        };
        let sale = full(&self.sale)
            .map(|sale| sale.parse())
            .transpose()
            .map_err(|_| web::not_understood("The sale is an id."))?;
        let selected = Selected {
            q: full(&self.q),
            state: full(&self.state),
            sale,
            step: full(&self.step),
            fingerprint: full(&self.fingerprint),
        };
        match selected.filter() {
            Ok(filter) => Ok(Selected::of(&filter)),
            Err(bad) => Err(web::not_understood(bad.to_string())),
        }
    }
}

/// What a program asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewBody {
    kind: String,
    filter: Selected,
}

/// What it is told.
#[derive(Debug, Serialize)]
struct Foreseen {
    #[serde(flatten)]
    forecast: Forecast,
    /// Whether a second operator would have to confirm it.
    second_person: bool,
    /// Counted exactly up to here.
    counted_at_most: u64,
}

#[derive(Debug, Serialize)]
struct PreviewPage {
    layout: Layout,
    /// Of the operation, so that a second click is the same one.
    id: String,
    kind: &'static str,
    verb: &'static str,
    selected: Vec<(&'static str, String)>,
    back: String,
    matches: String,
    more_than: bool,
    would: String,
    refusals: String,
    reasons: Vec<Counted>,
    nothing: bool,
    /// Above how many a second operator has to confirm it, where this is so many.
    second_person: Option<u32>,
    disabled: Option<String>,
    typed: Typed,
    rate_at_most: u32,
    reason_at_most: usize,
    fields: Vec<(&'static str, String)>,
}

#[derive(Debug, Serialize)]
struct Counted {
    count: String,
    sentence: String,
}

impl Page for PreviewPage {
    const TEMPLATE: &'static str = "operation_preview.html";
}

/// The page, with the form that asks for it.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<PreviewQuery>,
) -> Result<Html<String>, Failure> {
    page(&app, &caller, &query, Typed::default(), None).await
}

/// What the form has where it was sent, or else what is usual.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Typed {
    pub reason: String,
    pub rate: u32,
    pub canary: bool,
    pub stop_percent: u32,
    pub grace_s: u64,
}

impl Default for Typed {
    fn default() -> Self {
        let usual = Terms::default();
        Self {
            reason: String::new(),
            rate: usual.rate(),
            canary: usual.canary(),
            stop_percent: usual.stop_percent(),
            grace_s: usual.grace().as_secs(),
        }
    }
}

/// The page, with what was typed and what the last try came to.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn page(
    app: &App,
    caller: &Caller,
    query: &PreviewQuery,
    typed: Typed,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let (kind, selected) = (query.kind()?, query.selected()?);
    let filter = selected
        .filter()
        .map_err(|bad| web::not_understood(bad.to_string()))?;
    let seen = forecast(&app.db, kind, &filter).await?;
    let (verb, title) = match kind {
        Kind::Replay => ("replayed", "Replay all that match"),
        Kind::Discard => ("discarded", "Discard all that match"),
        Kind::Reconcile => ("reconciled", "Reconcile all that match"),
    };
    let page = PreviewPage {
        layout: frame::layout(app, caller, "operations", title)
            .await?
            .notice(notice),
        id: Uuid::now_v7().to_string(),
        kind: kind.as_str(),
        verb,
        back: list_link("/archives", &filter, None),
        selected: words(&selected),
        fields: fields(&selected),
        matches: grouped(seen.matches),
        more_than: seen.more_than,
        would: grouped(seen.replayed + seen.discarded),
        refusals: grouped(seen.refusals()),
        nothing: seen.matches == 0,
        second_person: seen
            .needs_second_person(kind, app.second_person_above)
            .then_some(app.second_person_above),
        reasons: seen
            .refused
            .iter()
            .map(|(code, count)| Counted {
                count: grouped(*count),
                sentence: refusal_sentence(code),
            })
            .collect(),
        disabled: disabled(caller, kind),
        typed,
        rate_at_most: RATE_AT_MOST,
        reason_at_most: REASON_AT_MOST,
    };
    Ok(view::render(&page)?)
}

/// For programs. Whoever may look at the page may look here.
pub(crate) async fn api(
    State(app): State<App>,
    _: May<Look>,
    Json(body): Json<PreviewBody>,
) -> Response {
    let Ok(kind) = Kind::of_many(&body.kind) else {
        return failure::invalid("kind is replay or discard").into_response();
    };
    let filter = match body.filter.filter() {
        Ok(filter) => filter,
        Err(bad) => return failure::invalid(bad.to_string()).into_response(),
    };
    match forecast(&app.db, kind, &filter).await {
        Ok(forecast) => Json(Foreseen {
            second_person: forecast.needs_second_person(kind, app.second_person_above),
            forecast,
            counted_at_most: COUNTED_AT_MOST,
        })
        .into_response(),
        Err(cause) => failure::database(cause).into_response(),
    }
}

fn disabled(caller: &Caller, kind: Kind) -> Option<String> {
    let (may, permission, role) = match kind {
        Kind::Replay => (caller.may::<Replay>(), Replay::NAME, Replay::ROLE),
        Kind::Discard => (caller.may::<Discard>(), Discard::NAME, Discard::ROLE),
        Kind::Reconcile => (caller.may::<Reconcile>(), Reconcile::NAME, Reconcile::ROLE),
    };
    (!may).then(|| format!("It needs the permission {permission}, which the role {role} has."))
}

/// The filter as people read it.
pub(super) fn words(selected: &Selected) -> Vec<(&'static str, String)> {
    let mut words = vec![(
        "state",
        selected.state.clone().unwrap_or_else(|| "open".to_owned()),
    )];
    words.extend(selected.q.clone().map(|q| ("text", q)));
    words.extend(selected.sale.map(|sale| ("sale", sale.to_string())));
    words.extend(selected.step.clone().map(|step| ("step", step)));
    words.extend(selected.fingerprint.clone().map(|it| ("group", it)));
    words
}

/// The filter as the form sends it.
fn fields(selected: &Selected) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    fields.extend(selected.state.clone().map(|state| ("state", state)));
    fields.extend(selected.q.clone().map(|q| ("q", q)));
    fields.extend(selected.sale.map(|sale| ("sale", sale.to_string())));
    fields.extend(selected.step.clone().map(|step| ("step", step)));
    fields.extend(selected.fingerprint.clone().map(|it| ("fingerprint", it)));
    fields
}
