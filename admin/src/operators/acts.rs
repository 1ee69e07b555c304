//! The forms. Each act and its line in the audit are one transaction; what is refused is audited too.

use super::page::with_notice;
use crate::{
    App,
    access::{Caller, ManageOperators, May},
    audit::{self, Entry, Outcome},
    doubt,
    failure::{ErrorPage, Failure},
    view::Notice,
    web::{Form, Path},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use identity::{
    OperatorId, OperatorRole, lock_outs, operator_tokens,
    operators::{self, NewOperator, NewPassword, OperatorError},
};
use serde::Deserialize;
use sqlx::MySqlConnection;

/// An operator to be made.
#[derive(Debug, Deserialize)]
pub(crate) struct NewForm {
    username: String,
    role: OperatorRole,
}

/// A role to be given.
#[derive(Debug, Deserialize)]
pub(crate) struct RoleForm {
    role: OperatorRole,
}

/// Makes an operator with a generated password, which is shown once.
pub(crate) async fn create(
    State(app): State<App>,
    caller: May<ManageOperators>,
    Form(asked): Form<NewForm>,
) -> Result<Response, Failure> {
    let (name, role) = (asked.username.trim(), asked.role);
    let (password, text) = generated().await?;
    let mut tx = app.db.begin().await?;
    let made = match NewOperator::new(name, password, role) {
        Ok(new) => operators::create(&mut tx, &new).await.map(drop),
        Err(cause) => Err(cause),
    };
    let act = Act {
        name: "operator.create",
        subject: name,
        detail: format!("as {role}"),
    };
    if let Err(cause) = made {
        drop(tx);
        return refused(&app, &caller, act, cause).await;
    }
    audited(&mut tx, &caller, &act).await?;
    doubt::commit(tx).await?;
    let notice = Notice::good(format!(
        "Made {name} ({role}). The password has to be changed at the first log-in and is not shown again:"
    ));
    shown(&app, &caller, notice.with_secret(text)).await
}

/// Gives a role.
pub(crate) async fn set_role(
    State(app): State<App>,
    caller: May<ManageOperators>,
    Path(id): Path<OperatorId>,
    Form(asked): Form<RoleForm>,
) -> Result<Response, Failure> {
    let mut tx = app.db.begin().await?;
    let name = name_of(&mut tx, id).await?;
    let act = Act {
        name: "operator.set_role",
        subject: &name,
        detail: format!("to {}", asked.role),
    };
    if let Err(cause) = operators::set_role(&mut tx, id, asked.role).await {
        drop(tx);
        return refused(&app, &caller, act, cause).await;
    }
    audited(&mut tx, &caller, &act).await?;
    doubt::commit(tx).await?;
    let notice = Notice::good(format!(
        "{name} is {} from now on.",
        with_article(asked.role)
    ));
    shown(&app, &caller, notice).await
}

/// Gives a generated password, which is shown once, and ends the operator's log-ins, tokens and wait for the next try.
pub(crate) async fn reset_password(
    State(app): State<App>,
    caller: May<ManageOperators>,
    Path(id): Path<OperatorId>,
) -> Result<Response, Failure> {
    let (password, text) = generated().await?;
    let mut tx = app.db.begin().await?;
    let name = name_of(&mut tx, id).await?;
    let act = Act {
        name: "operator.reset_password",
        subject: &name,
        detail: String::new(),
    };
    if id == caller.id {
        drop(tx);
        return said(
            &app,
            &caller,
            act,
            "Change your own password under your name.",
        )
        .await;
    }
    if let Err(cause) = operators::set_password(&mut tx, id, &password).await {
        drop(tx);
        return refused(&app, &caller, act, cause).await;
    }
    operator_tokens::end_all(&mut tx, id).await?;
    lock_outs::forget(&mut tx, id).await?;
    audited(&mut tx, &caller, &act).await?;
    doubt::commit(tx).await?;
    let notice = Notice::good(format!(
        "{name} is logged out everywhere, and has no tokens any more. The new password has to be changed at the next log-in and is not shown again:"
    ));
    shown(&app, &caller, notice.with_secret(text)).await
}

/// Lets an operator try to log in at once, who has to wait after wrong passwords.
pub(crate) async fn unlock(
    State(app): State<App>,
    caller: May<ManageOperators>,
    Path(id): Path<OperatorId>,
) -> Result<Response, Failure> {
    let mut tx = app.db.begin().await?;
    let name = name_of(&mut tx, id).await?;
    let act = Act {
        name: "operator.unlock",
        subject: &name,
        detail: String::new(),
    };
    if !lock_outs::forget(&mut tx, id).await? {
        drop(tx);
        let sentence = format!("Nothing was done: {name} does not have to wait.");
        return said(&app, &caller, act, &sentence).await;
    }
    audited(&mut tx, &caller, &act).await?;
    doubt::commit(tx).await?;
    let notice = Notice::good(format!("{name} may try again at once."));
    shown(&app, &caller, notice).await
}

/// Removes an operator.
pub(crate) async fn remove(
    State(app): State<App>,
    caller: May<ManageOperators>,
    Path(id): Path<OperatorId>,
) -> Result<Response, Failure> {
    let mut tx = app.db.begin().await?;
    let name = name_of(&mut tx, id).await?;
    let act = Act {
        name: "operator.remove",
        subject: &name,
        detail: String::new(),
    };
    if id == caller.id {
        drop(tx);
        return said(&app, &caller, act, "Nobody can remove their own account.").await;
    }
    if let Err(cause) = operators::remove(&mut tx, id).await {
        drop(tx);
        return refused(&app, &caller, act, cause).await;
    }
    audited(&mut tx, &caller, &act).await?;
    doubt::commit(tx).await?;
    shown(&app, &caller, Notice::good(format!("Removed {name}."))).await
}

/// What is done, to whom.
struct Act<'a> {
    name: &'static str,
    subject: &'a str,
    detail: String,
}

async fn generated() -> Result<(NewPassword, String), Failure> {
    NewPassword::generated()
        .await
        .map_err(|cause| Failure::Internal(cause.into()))
}

async fn name_of(db: &mut MySqlConnection, id: OperatorId) -> Result<String, Failure> {
    let operator = operators::find(db, id)
        .await?
        .ok_or_else(|| ErrorPage::not_found("operator"))?;
    Ok(operator.username)
}

async fn audited(db: &mut MySqlConnection, caller: &Caller, act: &Act<'_>) -> sqlx::Result<()> {
    let entry = Entry {
        act: act.name,
        subject: act.subject,
        outcome: Outcome::Done,
        detail: &act.detail,
    };
    audit::record(db, &caller.who, entry).await
}

/// The page with why the act was refused.
async fn refused(
    app: &App,
    caller: &Caller,
    act: Act<'_>,
    cause: OperatorError,
) -> Result<Response, Failure> {
    let sentence = match cause {
        OperatorError::Invalid(cause) => format!("Nothing was done: {cause}."),
        OperatorError::Taken => "Nothing was done: an operator has this name already.".to_owned(),
        OperatorError::LastAdmin => {
            "Nothing was done: this is the last admin, and somebody has to make the others."
                .to_owned()
        }
        OperatorError::NotFound => return Err(ErrorPage::not_found("operator").into()),
        OperatorError::Database(cause) => return Err(cause.into()),
        OperatorError::Password(cause) => return Err(Failure::Internal(cause.into())),
    };
    said(app, caller, act, &sentence).await
}

async fn said(
    app: &App,
    caller: &Caller,
    act: Act<'_>,
    sentence: &str,
) -> Result<Response, Failure> {
    let entry = Entry {
        act: act.name,
        subject: act.subject,
        outcome: Outcome::Refused,
        detail: sentence,
    };
    audit::record_alone(&app.db, &caller.who, entry).await?;
    let page = with_notice(app, caller, Some(Notice::bad(sentence))).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

async fn shown(app: &App, caller: &Caller, notice: Notice) -> Result<Response, Failure> {
    Ok(with_notice(app, caller, Some(notice))
        .await?
        .into_response())
}

const fn with_article(role: OperatorRole) -> &'static str {
    match role {
        OperatorRole::Viewer => "a viewer",
        OperatorRole::Operator => "an operator",
        OperatorRole::Admin => "an admin",
    }
}
