//! `/password`: an operator changes the password. The one page that is open while it has to be changed.

use crate::{
    App,
    access::{Caller, InPerson},
    audit::{self, Entry, Outcome},
    cookie, doubt,
    failure::Failure,
    log_in,
    view::{self, Page},
    web::Form,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use identity::{
    lock_outs::{self, Try},
    operator_sessions::{self, SessionKind},
    operators::{self, NewPassword, OperatorError},
    passwords,
};
use serde::{Deserialize, Serialize};
use service_kit::settings::Secret;

#[derive(Debug, Serialize)]
struct PasswordPage {
    title: &'static str,
    csrf: String,
    name: String,
    must_change: bool,
    complaint: Option<String>,
}

impl Page for PasswordPage {
    const TEMPLATE: &'static str = "password.html";
}

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    current: Secret,
    new: Secret,
    again: Secret,
}

/// The form.
pub(crate) async fn show(InPerson(caller): InPerson) -> Result<Html<String>, Failure> {
    Ok(form(&caller, None)?)
}

fn form(caller: &Caller, complaint: Option<String>) -> anyhow::Result<Html<String>> {
    view::render(&PasswordPage {
        title: "Change password",
        csrf: caller.csrf.clone(),
        name: caller.who.name.clone(),
        must_change: caller.must_change,
        complaint,
    })
}

/// Changes it, and ends every other log-in of the operator.
pub(crate) async fn submit(
    State(app): State<App>,
    InPerson(caller): InPerson,
    Form(asked): Form<Change>,
) -> Result<Response, Failure> {
    let secret = match change(&app, &caller, &asked).await? {
        Ok(secret) => secret,
        Err((status, complaint)) => {
            return Ok((status, form(&caller, Some(complaint))?).into_response());
        }
    };
    let cookie = cookie::set(&secret, app.session_ttl, app.cookies);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// The secret of a new log-in, or what is wrong with the form.
async fn change(
    app: &App,
    caller: &Caller,
    asked: &Change,
) -> Result<Result<String, (StatusCode, String)>, Failure> {
    let complain = |text: &str| Ok(Err((StatusCode::UNPROCESSABLE_ENTITY, text.to_owned())));
    if asked.new != asked.again {
        return complain("The new password is not the same twice.");
    }
    if asked.new == asked.current {
        return complain("The new password is the old one.");
    }
    // Guessed at from a screen somebody left open.
    if let Try::Wait(wait) = log_in::begin(app, caller.id).await? {
        let seconds = wait.as_secs().saturating_add(1);
        let text = format!("Too many attempts. Try again in {seconds} s.");
        return Ok(Err((StatusCode::TOO_MANY_REQUESTS, text)));
    }
    let found = operators::find_by_name(&app.db, &caller.who.name).await?;
    let hash = found.as_ref().map(|found| found.password_hash.as_str());
    let right = passwords::verify(asked.current.expose(), hash)
        .await
        .map_err(|cause| Failure::Internal(cause.into()))?;
    if !right {
        let entry = Entry {
            act: "password.change",
            subject: &caller.who.name,
            outcome: Outcome::Denied,
            detail: "wrong password",
        };
        audit::record_alone(&app.db, &caller.who, entry).await?;
        return complain("The current password is wrong.");
    }
    lock_outs::forget(&mut *app.db.acquire().await?, caller.id).await?;
    match NewPassword::chosen(asked.new.expose()).await {
        Ok(password) => Ok(Ok(store(app, caller, &password).await?)),
        Err(OperatorError::Invalid(cause)) => complain(&format!("The new {cause}.")),
        Err(cause) => Err(Failure::Internal(cause.into())),
    }
}

async fn store(app: &App, caller: &Caller, password: &NewPassword) -> Result<String, Failure> {
    let mut tx = app.db.begin().await?;
    operators::set_password(&mut tx, caller.id, password)
        .await
        .map_err(|cause| Failure::Internal(cause.into()))?;
    let secret =
        operator_sessions::open(&mut tx, caller.id, SessionKind::Web, app.session_ttl).await?;
    let entry = Entry {
        act: "password.change",
        subject: &caller.who.name,
        outcome: Outcome::Done,
        detail: "",
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(secret)
}
