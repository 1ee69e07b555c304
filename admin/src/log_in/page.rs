//! `/login` and `/logout`: log-ins of browsers.

use super::{LogInError, log_in, log_out};
use crate::{
    App,
    access::{Anyone, InPerson},
    address, cookie,
    failure::Failure,
    view::{self, Page},
    web::{Form, Query},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use identity::operator_sessions::SessionKind;
use serde::{Deserialize, Serialize};
use service_kit::settings::Secret;

#[derive(Debug, Serialize)]
struct LogInPage {
    title: &'static str,
    next: Option<String>,
    username: String,
    complaint: Option<String>,
}

impl Page for LogInPage {
    const TEMPLATE: &'static str = "log_in.html";
}

/// Where to go on.
#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    username: String,
    password: Secret,
    next: Option<String>,
}

/// The form; who is logged in goes on at once.
pub(crate) async fn show(anyone: Anyone, Query(asked): Query<Next>) -> Result<Response, Failure> {
    let next = asked.next.filter(|next| address::local(next).is_some());
    if anyone.caller.is_some() {
        return Ok(Redirect::to(next.as_deref().unwrap_or("/")).into_response());
    }
    let page = LogInPage {
        title: "Log in",
        next,
        username: String::new(),
        complaint: None,
    };
    Ok(view::render(&page)?.into_response())
}

/// Logs in, ends the log-in the browser had before, and goes on to where one wanted to.
pub(crate) async fn submit(
    State(app): State<App>,
    anyone: Anyone,
    Form(asked): Form<Credentials>,
) -> Result<Response, Failure> {
    let next = asked.next.filter(|next| address::local(next).is_some());
    let username = asked.username.trim();
    let password = asked.password.expose();
    match log_in(&app, &anyone.who, username, password, SessionKind::Web).await {
        Ok(secret) => {
            if let Some(before) = &anyone.caller {
                log_out(&app, before).await?;
            }
            let cookie = cookie::set(&secret, app.session_ttl, app.cookies);
            let to = Redirect::to(next.as_deref().unwrap_or("/"));
            Ok(([(header::SET_COOKIE, cookie)], to).into_response())
        }
        Err(cause) => {
            let (status, complaint) = complaint(cause)?;
            let page = LogInPage {
                title: "Log in",
                next,
                username: username.to_owned(),
                complaint: Some(complaint),
            };
            Ok((status, view::render(&page)?).into_response())
        }
    }
}

fn complaint(cause: LogInError) -> Result<(StatusCode, String), Failure> {
    match cause {
        LogInError::BadCredentials => Ok((
            StatusCode::UNAUTHORIZED,
            "There is no such operator, or the password is wrong.".to_owned(),
        )),
        LogInError::Throttled(wait) => Ok((
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "Too many attempts. Try again in {} s.",
                wait.as_secs().saturating_add(1)
            ),
        )),
        LogInError::Password(cause) => Err(Failure::Internal(cause.into())),
        LogInError::Database(cause) => Err(Failure::Database(cause)),
    }
}

/// Logs out.
pub(crate) async fn log_out_of_browser(
    State(app): State<App>,
    InPerson(caller): InPerson,
) -> Result<Response, Failure> {
    log_out(&app, &caller).await?;
    let cookie = cookie::clear(app.cookies);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}
