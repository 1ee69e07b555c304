//! Who asks, and whether they may. A handler asks for a permission by naming it in its arguments: without one it has no caller, so
//! what nobody thought of is closed. Whatever is denied to somebody who is logged in is audited.

mod identify;
mod refusal;

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
use identity::{OperatorId, OperatorRole, operator_sessions::SessionKind};
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

/// Something one may or may not do.
pub(crate) trait Permission {
    /// Its name, in the audit and on pages.
    const NAME: &'static str;
    /// The least role that has it.
    const ROLE: OperatorRole;
}

/// Looking at archives, transactions, operations, alerts and the audit.
#[derive(Debug)]
pub(crate) struct Look;
/// Taking the whole list away.
#[derive(Debug)]
pub(crate) struct Export;
/// Taking the audit away.
#[derive(Debug)]
pub(crate) struct ExportAudit;
/// Having an order tried again.
#[derive(Debug)]
pub(crate) struct Replay;
/// Having archived orders given up for good.
#[derive(Debug)]
pub(crate) struct Discard;
/// Pausing, resuming, cancelling or undoing an operation on many orders.
#[derive(Debug)]
pub(crate) struct Steer;
/// Having an undecided transaction given up.
#[derive(Debug)]
pub(crate) struct RollBack;
/// Letting a stuck transaction go on.
#[derive(Debug)]
pub(crate) struct Resume;
/// Having nobody complete a transaction any more.
#[derive(Debug)]
pub(crate) struct Stop;
/// Having a notice sent on a channel once more.
#[derive(Debug)]
pub(crate) struct Redeliver;
/// Having a test sent on a channel.
#[derive(Debug)]
pub(crate) struct TestChannel;
/// Switching a channel on whose receiver was gone, or ending its rest.
#[derive(Debug)]
pub(crate) struct SwitchChannelOn;
/// Changing when what failed is tried again.
#[derive(Debug)]
pub(crate) struct ChangePolicy;
/// Saying that one looks after an incident.
#[derive(Debug)]
pub(crate) struct Acknowledge;
/// Saying who is to look after an incident.
#[derive(Debug)]
pub(crate) struct Assign;
/// Having nobody told of an incident for a while, and told again.
#[derive(Debug)]
pub(crate) struct Silence;
/// Saying that an incident is over.
#[derive(Debug)]
pub(crate) struct CloseIncident;
/// Making operators.
#[derive(Debug)]
pub(crate) struct ManageOperators;

impl Permission for Look {
    const NAME: &'static str = "archives.look";
    const ROLE: OperatorRole = OperatorRole::Viewer;
}

impl Permission for Export {
    const NAME: &'static str = "archives.export";
    const ROLE: OperatorRole = OperatorRole::Viewer;
}

impl Permission for ExportAudit {
    const NAME: &'static str = "audit.export";
    const ROLE: OperatorRole = OperatorRole::Viewer;
}

impl Permission for Replay {
    const NAME: &'static str = "order.replay";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Discard {
    const NAME: &'static str = "order.discard";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Steer {
    const NAME: &'static str = "operation.steer";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for RollBack {
    const NAME: &'static str = "transaction.rollback";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Resume {
    const NAME: &'static str = "transaction.resume";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Stop {
    const NAME: &'static str = "transaction.stop";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Redeliver {
    const NAME: &'static str = "alert.redeliver";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for TestChannel {
    const NAME: &'static str = "alert_channel.test";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for SwitchChannelOn {
    const NAME: &'static str = "alert_channel.switch_on";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for ChangePolicy {
    const NAME: &'static str = "policy.change";
    const ROLE: OperatorRole = OperatorRole::Admin;
}

impl Permission for Acknowledge {
    const NAME: &'static str = "incident.acknowledge";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Assign {
    const NAME: &'static str = "incident.assign";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for Silence {
    const NAME: &'static str = "incident.silence";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for CloseIncident {
    const NAME: &'static str = "incident.close";
    const ROLE: OperatorRole = OperatorRole::Operator;
}

impl Permission for ManageOperators {
    const NAME: &'static str = "operators.manage";
    const ROLE: OperatorRole = OperatorRole::Admin;
}

impl Caller {
    /// What the account is now.
    pub const fn role(&self) -> OperatorRole {
        self.role
    }

    /// Whether this is allowed, for pages that show what is not.
    pub fn may<P: Permission>(&self) -> bool {
        self.role >= P::ROLE
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
        let reason = Reason::Forbidden {
            permission: P::NAME,
            role: P::ROLE,
        };
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
            Reason::Forbidden {
                permission: P::NAME,
                role: P::ROLE,
            }
        };
        if !matches!(reason, Reason::MustChange) || identify::changes(&parts.method) {
            let path = asked_for(parts).path();
            denied(app, &caller.who, P::NAME, path, &reason.to_string()).await;
        }
        Err(Refusal::of(reason, asked_for(parts), &parts.method))
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
