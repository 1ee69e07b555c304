//! Asking for an operation on all that a filter matches: the words of a form or of JSON made into terms, written down with one line in
//! the audit.

use super::preview;
use crate::{
    App,
    access::{Caller, Discard, MayEither, Reconcile, Replay},
    audit::{self, Entry, Outcome},
    doubt,
    failure::{self, Failure},
    view::Notice,
    web::Form,
};
use axum::{
    extract::{OriginalUri, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use compensation::operations::{
    self, Kind, Made, NewBulk, NotTaken,
    terms::{BadTerms, Reason, Selected, Terms},
};
use serde::Deserialize;
use service_kit::problem::Problem;
use std::time::Duration;
use uuid::Uuid;

/// What is asked for, checked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub id: Uuid,
    pub kind: Kind,
    pub selected: Selected,
    pub reason: Reason,
    pub terms: Terms,
}

/// How fast and how carefully; what is not said is as in [`Terms::default`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub rate: Option<u32>,
    pub canary: Option<bool>,
    pub stop_percent: Option<u32>,
    pub grace_s: Option<u64>,
}

impl Said {
    /// Whether nothing is said.
    pub const fn is_empty(&self) -> bool {
        self.rate.is_none()
            && self.canary.is_none()
            && self.stop_percent.is_none()
            && self.grace_s.is_none()
    }

    /// The terms.
    ///
    /// # Errors
    /// [`BadTerms`].
    pub fn terms(self) -> Result<Terms, BadTerms> {
        let usual = Terms::default();
        Terms::new(
            self.rate.unwrap_or(usual.rate()),
            self.canary.unwrap_or(usual.canary()),
            self.stop_percent.unwrap_or(usual.stop_percent()),
            self.grace_s.map_or(usual.grace(), Duration::from_secs),
        )
    }
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Terms(#[from] BadTerms),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

impl AskError {
    /// For programs.
    pub fn problem(self) -> Problem {
        match self {
            Self::Terms(bad) => failure::invalid(bad.to_string()),
            Self::NotTaken(NotTaken::Database(cause)) => failure::database(cause),
            Self::NotTaken(refused @ NotTaken::TooMany) => {
                Problem::new(StatusCode::CONFLICT, "too_many", refused.to_string())
            }
            Self::NotTaken(refused @ NotTaken::IdTaken) => {
                Problem::new(StatusCode::CONFLICT, "id_taken", refused.to_string())
            }
        }
    }
}

/// Whoever asks must be allowed what is asked for, and nothing besides.
///
/// # Errors
/// [`Refusal`](crate::access::Refusal) as it is answered.
pub(crate) async fn allowed(
    app: &App,
    caller: &Caller,
    kind: Kind,
    uri: &Uri,
) -> Result<(), crate::access::Refusal> {
    match kind {
        Kind::Replay => caller.must_be_allowed::<Replay>(app, uri).await,
        Kind::Discard => caller.must_be_allowed::<Discard>(app, uri).await,
        Kind::Reconcile => caller.must_be_allowed::<Reconcile>(app, uri).await,
    }
}

/// Writes it down, and a line in the audit in the same transaction. A second click is the same operation, and has no line.
///
/// # Errors
/// [`AskError`]; nothing was written but, of what was refused, a line in the audit.
pub(crate) async fn ask(app: &App, caller: &Caller, asked: &Asked) -> Result<Uuid, AskError> {
    asked.selected.filter()?;
    let act = match asked.kind {
        Kind::Replay => "operation.replay",
        Kind::Discard => "operation.discard",
        Kind::Reconcile => "operation.reconcile",
    };
    let subject = asked.id.to_string();
    let filter = serde_json::to_string(&asked.selected).unwrap_or_default();
    let detail = format!("{}: {}", filter, asked.reason.as_str());
    let entry = |outcome, detail| Entry {
        act,
        subject: &subject,
        outcome,
        detail,
    };
    let new = NewBulk {
        id: asked.id,
        kind: asked.kind,
        selected: &asked.selected,
        reason: &asked.reason,
        terms: asked.terms,
        confirm_above: (asked.kind == Kind::Discard).then_some(app.second_person_above),
        asked_by: &caller.who.name,
    };
    let mut tx = app.db.begin().await.map_err(NotTaken::from)?;
    let made = operations::create(&mut tx, &new).await;
    match made {
        Ok(Made::Before) => Ok(asked.id),
        Ok(Made::Now) => {
            audit::record_of(
                &mut tx,
                asked.id,
                &caller.who,
                entry(Outcome::Done, &detail),
            )
            .await
            .map_err(NotTaken::from)?;
            doubt::commit(tx).await.map_err(NotTaken::from)?;
            Ok(asked.id)
        }
        Err(refused) => {
            drop(tx);
            if !matches!(refused, NotTaken::Database(_)) {
                let why = refused.to_string();
                audit::record_alone(&app.db, &caller.who, entry(Outcome::Refused, &why))
                    .await
                    .map_err(NotTaken::from)?;
            }
            Err(refused.into())
        }
    }
}

/// The form of the preview's page; a box that is not ticked is not sent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AskForm {
    id: Uuid,
    kind: String,
    q: Option<String>,
    state: Option<String>,
    sale: Option<String>,
    step: Option<String>,
    fingerprint: Option<String>,
    #[serde(default)]
    reason: String,
    rate: Option<u32>,
    canary: Option<String>,
    stop_percent: Option<u32>,
    grace_s: Option<u64>,
}

/// `POST /operations`: the button under the preview. Leads to the operation; what is wrong is said above the preview.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: MayEither<Replay, Discard>,
    OriginalUri(uri): OriginalUri,
    Form(form): Form<AskForm>,
) -> Result<Response, Failure> {
    let query = preview::PreviewQuery {
        kind: Some(form.kind.clone()),
        q: form.q.clone(),
        state: form.state.clone(),
        sale: form.sale.clone(),
        step: form.step.clone(),
        fingerprint: form.fingerprint.clone(),
    };
    let kind = query.kind()?;
    if let Err(refusal) = allowed(&app, &caller, kind, &uri).await {
        return Ok(refusal.into_response());
    }
    let selected = query.selected()?;
    let usual = preview::Typed::default();
    let typed = preview::Typed {
        reason: form.reason.clone(),
        rate: form.rate.unwrap_or(usual.rate),
        canary: form.canary.is_some(),
        stop_percent: form.stop_percent.unwrap_or(usual.stop_percent),
        grace_s: form.grace_s.unwrap_or(usual.grace_s),
    };
    let said = Said {
        rate: form.rate,
        canary: Some(form.canary.is_some()),
        stop_percent: form.stop_percent,
        grace_s: form.grace_s,
    };
    let asked = Reason::parse(&form.reason).and_then(|reason| {
        Ok(Asked {
            id: form.id,
            kind,
            selected,
            reason,
            terms: said.terms()?,
        })
    });
    let taken = match asked {
        Ok(asked) => ask(&app, &caller, &asked).await,
        Err(bad) => Err(bad.into()),
    };
    let (status, why) = match taken {
        Ok(id) => return Ok(Redirect::to(&format!("/operations/{id}")).into_response()),
        Err(AskError::NotTaken(NotTaken::Database(cause))) => return Err(cause.into()),
        Err(AskError::Terms(bad)) => (StatusCode::UNPROCESSABLE_ENTITY, bad.to_string()),
        Err(AskError::NotTaken(refused)) => (StatusCode::CONFLICT, refused.to_string()),
    };
    let notice = Notice::bad(format!("Nothing was done: {why}."));
    let page = preview::page(&app, &caller, &query, typed, Some(notice)).await?;
    Ok((status, page).into_response())
}
