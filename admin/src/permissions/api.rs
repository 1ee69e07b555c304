//! The same for programs. A token may always ask what it may do.

use crate::access::{CATALOGUE, LoggedIn};
use serde::Serialize;
use service_kit::problem::Json;

/// Who is logged in.
#[derive(Debug, Serialize)]
pub(crate) struct Me {
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: &'static str,
    /// Whether the password has to be changed before anything else.
    must_change_password: bool,
    /// Whether a personal token was shown, which may have less than its operator.
    is_token: bool,
    /// What it may do, by name.
    permissions: Vec<&'static str>,
}

/// Who one is here.
pub(crate) async fn me(LoggedIn(caller): LoggedIn) -> Json<Me> {
    Json(Me {
        role: caller.role().as_str(),
        must_change_password: caller.must_change,
        is_token: caller.is_token(),
        permissions: CATALOGUE
            .iter()
            .filter(|entry| caller.may_by_name(entry.name, entry.role))
            .map(|entry| entry.name)
            .collect(),
        name: caller.who.name,
    })
}
