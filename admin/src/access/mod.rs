//! Who asks, and whether they may. A handler asks for a permission by naming it in its arguments: without one it has no caller, so
//! what nobody thought of is closed. Whatever is denied to somebody who is logged in is audited.

mod catalogue;
mod identify;
mod refusal;

pub(crate) use catalogue::*;
pub(crate) use identify::identify;
pub(crate) use refusal::{Reason, Refusal, Surface};

use crate::{
    App,
    audit::{self, Entry, Outcome},
};
use axum::{
    extract::{FromRequestParts, OriginalUri},
    http::{Uri, request::Parts},
};
use compensation::personal::Sight;
use identity::{OperatorId, OperatorRole, operator_sessions::SessionKind, operator_tokens::Scope};
use std::{marker::PhantomData, ops::Deref};
use tracing::error;

/// Who does something, as the audit tells it.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// The operator's name; empty before a log-in.
    pub name: String,
    pub role: Option<OperatorRole>,
    /// Where the request came from.
    pub address: String,
}

/// Who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub id: OperatorId,
    pub who: Who,
    role: OperatorRole,
    /// Whether the password has to be changed before anything else.
    pub must_change: bool,
    pub kind: SessionKind,
    /// The secret of this log-in, to end it with.
    pub secret: String,
    pub csrf: String,
    /// Where it is a personal token: what that may do at most.
    scope: Option<Scope>,
}

/// What came of looking for a log-in; put into every request by [`identify()`].
#[derive(Debug, Clone)]
enum Identity {
    Known(Caller),
    Nobody,
    /// The database did not say.
    Unknown,
}

/// Where a request came from; empty where that is not known.
#[derive(Debug, Clone)]
pub(crate) struct Address(pub String);

impl Caller {
    /// What the account is now.
    pub const fn role(&self) -> OperatorRole {
        self.role
    }

    /// Whether this is allowed, for pages that show what is not.
    pub fn may<P: Permission>(&self) -> bool {
        self.may_by_name(P::NAME, P::ROLE)
    }

    /// The same of an entry of the catalogue.
    pub fn may_by_name(&self, name: &str, role: OperatorRole) -> bool {
        self.role >= role && self.scope.as_ref().is_none_or(|scope| scope.has(name))
    }

    /// How much of what is personal is shown.
    pub fn sight(&self) -> Sight {
        if self.may::<SeePersonal>() {
            Sight::Whole
        } else {
            Sight::Masked
        }
    }

    /// Whether a personal token is shown, and no log-in.
    pub const fn is_token(&self) -> bool {
        self.scope.is_some()
    }

    /// Why `P` is not allowed.
    fn forbidden<P: Permission>(&self) -> Reason {
        let (permission, role) = (P::NAME, P::ROLE);
        if self.role < role {
            Reason::Forbidden { permission, role }
        } else {
            Reason::OutOfScope { permission }
        }
    }

    /// Why this is not allowed, beside a button that cannot be used; nothing where it is.
    pub fn why_not<P: Permission>(&self) -> Option<String> {
        (!self.may::<P>()).then(|| format!("Your role is {}: this needs {}.", self.role(), P::ROLE))
    }
}

impl Caller {
    /// Where what is asked for decides what has to be allowed. What is not is audited.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn must_be_allowed<P: Permission>(
        &self,
        app: &App,
        uri: &Uri,
    ) -> Result<(), Refusal> {
        if self.may::<P>() {
            return Ok(());
        }
        let reason = self.forbidden::<P>();
        denied(app, &self.who, P::NAME, uri.path(), &reason.to_string()).await;
        Err(Refusal::of(reason, uri, &axum::http::Method::POST))
    }
}

/// A caller who may do `P`.
#[derive(Debug, Clone)]
pub(crate) struct May<P>(Caller, PhantomData<P>);

impl<P> Deref for May<P> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<P: Permission + Send> FromRequestParts<App> for May<P> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let LoggedIn(caller) = LoggedIn::from_request_parts(parts, app).await?;
        let reason = if caller.must_change {
            Reason::MustChange
        } else if caller.may::<P>() {
            return Ok(Self(caller, PhantomData));
        } else {
            caller.forbidden::<P>()
        };
        if !matches!(reason, Reason::MustChange) || identify::changes(&parts.method) {
            let path = asked_for(parts).path();
            denied(app, &caller.who, P::NAME, path, &reason.to_string()).await;
        }
        Err(Refusal::of(reason, asked_for(parts), &parts.method))
    }
}

/// A caller who may do `P`, or `Q`: what is asked for decides which of them is [needed](Caller::must_be_allowed).
#[derive(Debug, Clone)]
pub(crate) struct MayEither<P, Q>(Caller, PhantomData<(P, Q)>);

impl<P, Q> Deref for MayEither<P, Q> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<P: Permission + Send, Q: Permission + Send> FromRequestParts<App> for MayEither<P, Q> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let caller = match parts.extensions.get() {
            Some(Identity::Known(caller)) if caller.may::<Q>() => {
                May::<Q>::from_request_parts(parts, app).await?.0
            }
            _ => May::<P>::from_request_parts(parts, app).await?.0,
        };
        Ok(Self(caller, PhantomData))
    }
}

/// Anyone who is logged in, also one who has to change the password first.
#[derive(Debug, Clone)]
pub(crate) struct LoggedIn(pub Caller);

impl FromRequestParts<App> for LoggedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let reason = match parts.extensions.get() {
            Some(Identity::Known(caller)) => return Ok(Self(caller.clone())),
            Some(Identity::Unknown) => Reason::Unavailable,
            Some(Identity::Nobody) | None => Reason::LogIn,
        };
        if matches!(reason, Reason::LogIn) && identify::changes(&parts.method) {
            stranger(app, parts).await;
        }
        Err(Refusal::of(reason, asked_for(parts), &parts.method))
    }
}

/// Somebody who logged in by a password, and shows no personal token.
#[derive(Debug, Clone)]
pub(crate) struct InPerson(pub Caller);

impl FromRequestParts<App> for InPerson {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let LoggedIn(caller) = LoggedIn::from_request_parts(parts, app).await?;
        if caller.is_token() {
            return Err(Refusal::of(Reason::Token, asked_for(parts), &parts.method));
        }
        Ok(Self(caller))
    }
}

/// Whoever asks, logged in or not.
#[derive(Debug, Clone)]
pub(crate) struct Anyone {
    pub caller: Option<Caller>,
    pub who: Who,
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let caller = match parts.extensions.get() {
            Some(Identity::Known(caller)) => Some(caller.clone()),
            _ => None,
        };
        let who = Who::nobody(&parts.extensions);
        Ok(Self { caller, who })
    }
}

impl Who {
    fn nobody(extensions: &axum::http::Extensions) -> Self {
        Self {
            name: String::new(),
            role: None,
            address: extensions
                .get::<Address>()
                .map_or_else(String::new, |address| address.0.clone()),
        }
    }
}

/// The address as it was sent: within a nested router the rest of it is gone.
fn asked_for(parts: &Parts) -> &Uri {
    parts
        .extensions
        .get::<OriginalUri>()
        .map_or(&parts.uri, |uri| &uri.0)
}

/// An act tried without a log-in. From each address a few a minute are audited: nobody fills the table from outside.
async fn stranger(app: &App, parts: &Parts) {
    let who = Who::nobody(&parts.extensions);
    let now = std::time::Instant::now();
    if app.strangers.begin(&who.address, now).is_ok() {
        let path = asked_for(parts).path();
        denied(app, &who, "unknown", path, "not logged in").await;
    }
}

/// Writes down what was not allowed. The refusal stands whether that works or not.
async fn denied(app: &App, who: &Who, act: &str, subject: &str, detail: &str) {
    let entry = Entry {
        act,
        subject,
        outcome: Outcome::Denied,
        detail,
    };
    if let Err(cause) = audit::record_alone(&app.db, who, entry).await {
        error!("A denied act could not be audited: {cause}");
    }
}
