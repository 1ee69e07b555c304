//! What people are told of: incidents, with their alerts, who was told, and what operators do about them.

pub(crate) mod acts;
pub(crate) mod api;
pub(crate) mod detail_page;
pub(crate) mod forms;
pub(crate) mod list_page;
mod query;

pub(crate) use list_page::Row;
pub(crate) use query::{AlertsQuery, IncidentQuery};

/// Rows of one page.
const PER_PAGE: u32 = 50;

/// The page of an incident.
pub(crate) fn page_of(id: impl std::fmt::Display) -> String {
    format!("/incidents/{id}")
}
