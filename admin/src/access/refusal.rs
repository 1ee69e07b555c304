//! What a request gets that may not: JSON routes a problem, pages a redirect to the log-in or a page that says why.

use crate::failure::ErrorPage;
use axum::{
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use identity::OperatorRole;
use service_kit::problem::Problem;
use std::fmt;

/// How a route speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// To programs.
    Json,
    /// To people.
    Web,
}

impl Surface {
    /// How the route at this path speaks.
    pub fn of(path: &str) -> Self {
        if path.starts_with("/api/") || path.starts_with("/reprocess_order/") {
            Self::Json
        } else {
            Self::Web
        }
    }
}

/// Why not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// Nobody is logged in.
    LogIn,
    /// The password has to be changed first.
    MustChange,
    /// Another role may.
    Forbidden {
        /// What was missing.
        permission: &'static str,
        /// The least role that has it.
        role: OperatorRole,
    },
    /// The operator may; the token that was shown may not.
    OutOfScope {
        /// What was missing.
        permission: &'static str,
    },
    /// A personal token is no log-in, and has no password.
    Token,
    /// The form's token is missing, or of another log-in.
    Csrf,
    /// The browser says that another site asked for it.
    OtherSite,
    /// The database did not say who it is.
    Unavailable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogIn => f.write_str("log in first"),
            Self::MustChange => f.write_str("the password has to be changed first"),
            Self::Forbidden { permission, role } => {
                write!(f, "{permission} needs the role {role}")
            }
            Self::OutOfScope { permission } => {
                write!(f, "{permission} is not in the scope of this token")
            }
            Self::Token => f.write_str(
                "a personal token is no log-in and changes no password; DELETE /api/v1/tokens/{id} ends it",
            ),
            Self::Csrf => f.write_str("the CSRF token is missing or of another log-in"),
            Self::OtherSite => f.write_str("another site asked for this"),
            Self::Unavailable => f.write_str("MySQL does not answer; nothing was done"),
        }
    }
}

/// A request turned away.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    reason: Reason,
    surface: Surface,
    /// Where to go on after a log-in.
    back: Option<String>,
}

impl Refusal {
    pub fn of(reason: Reason, uri: &Uri, method: &Method) -> Self {
        let back = (*method == Method::GET).then(|| {
            uri.path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string)
        });
        Self {
            reason,
            surface: Surface::of(uri.path()),
            back,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self.surface {
            Surface::Json => problem(self.reason).into_response(),
            Surface::Web => page(self.reason, self.back.as_deref()),
        }
    }
}

fn problem(reason: Reason) -> Problem {
    let (status, code) = match reason {
        Reason::LogIn => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Reason::MustChange => (StatusCode::FORBIDDEN, "must_change_password"),
        Reason::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
        Reason::OutOfScope { .. } => (StatusCode::FORBIDDEN, "out_of_scope"),
        Reason::Token => (StatusCode::CONFLICT, "token"),
        Reason::Csrf | Reason::OtherSite => (StatusCode::FORBIDDEN, "csrf"),
        Reason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let detail = match reason {
        Reason::LogIn => "send a personal token, or one from POST /api/v1/sessions".to_owned(),
        other => other.to_string(),
    };
    Problem::new(status, code, detail)
}

fn page(reason: Reason, back: Option<&str>) -> Response {
    match reason {
        Reason::LogIn => Redirect::to(&log_in_address(back)).into_response(),
        Reason::MustChange => Redirect::to("/password").into_response(),
        Reason::Forbidden { permission, role } => ErrorPage::new(
            StatusCode::FORBIDDEN,
            "You may not do this",
            format!(
                "It needs the permission {permission}, which the role {role} has. Ask an admin for it. The try was written into the audit."
            ),
        )
        .into_response(),
        Reason::OutOfScope { permission } => ErrorPage::new(
            StatusCode::FORBIDDEN,
            "This token may not do this",
            format!(
                "It needs the permission {permission}, which is not in its scope. The try was written into the audit."
            ),
        )
        .into_response(),
        Reason::Token => ErrorPage::new(
            StatusCode::CONFLICT,
            "This is a personal token",
            "It is no log-in and changes no password. Log in with your name and password.",
        )
        .into_response(),
        Reason::Csrf | Reason::OtherSite => ErrorPage::new(
            StatusCode::FORBIDDEN,
            "This form is not valid any more",
            "It belongs to another log-in, or another site sent it. Nothing was done: go back, reload the page and try again.",
        )
        .into_response(),
        Reason::Unavailable => ErrorPage::unavailable().into_response(),
    }
}

/// The log-in page, which leads back to where one was.
fn log_in_address(back: Option<&str>) -> String {
    match back {
        None | Some("/") => "/login".to_owned(),
        Some(back) => format!("/login?next={}", crate::address::encoded(back)),
    }
}
