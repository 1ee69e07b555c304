//! Pages that could not be had. What programs get instead is a [`Problem`].

use crate::{
    doubt::Doubt,
    view::{self, Page},
};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use service_kit::problem::Problem;
use tracing::error;

/// A page that says what is wrong.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErrorPage {
    #[serde(skip)]
    status: StatusCode,
    title: String,
    detail: String,
}

impl Page for ErrorPage {
    const TEMPLATE: &'static str = "error.html";
}

impl ErrorPage {
    pub fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            detail: detail.into(),
        }
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Not found",
            format!("There is no such {what}."),
        )
    }

    /// 503: it is not known, or cannot be shown, what became of it.
    pub fn in_doubt(doubt: Doubt) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "MySQL does not answer",
            doubt.sentence(),
        )
    }

    /// 503: nothing was done.
    pub fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "MySQL does not answer",
            "Nothing was done. Try again in a moment.",
        )
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        match view::render(&self) {
            Ok(page) => (self.status, page).into_response(),
            Err(cause) => {
                error!("The error page itself broke: {cause:#}");
                (self.status, self.title).into_response()
            }
        }
    }
}

/// Why a page is not shown.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Said on a page.
    Page(Box<ErrorPage>),
    /// MySQL failed.
    Database(sqlx::Error),
    /// Something broke that nobody can help.
    Internal(anyhow::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(cause: sqlx::Error) -> Self {
        Self::Database(cause)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(cause: anyhow::Error) -> Self {
        Self::Internal(cause)
    }
}

impl From<ErrorPage> for Failure {
    fn from(page: ErrorPage) -> Self {
        Self::Page(Box::new(page))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Database(cause) => {
                let doubt = Doubt::of(&cause);
                error!("MySQL failed: {:#}", anyhow::Error::new(cause));
                doubt
                    .map_or_else(ErrorPage::unavailable, ErrorPage::in_doubt)
                    .into_response()
            }
            Self::Internal(cause) => {
                error!("A page failed: {cause:#}");
                ErrorPage::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something broke here",
                    "It was written into the log.",
                )
                .into_response()
            }
        }
    }
}

/// A database that failed, for programs.
pub(crate) fn database(cause: sqlx::Error) -> Problem {
    let doubt = Doubt::of(&cause);
    error!("MySQL failed: {:#}", anyhow::Error::new(cause));
    let (code, detail) = doubt.map_or(
        ("unavailable", "MySQL does not answer; nothing was done"),
        |doubt| (doubt.code(), doubt.sentence()),
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

/// 404, for programs.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is no such {what}"),
    )
}

/// 422, for programs.
pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail.into())
}
