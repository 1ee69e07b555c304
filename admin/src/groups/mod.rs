//! What was given up for the same cause, as groups: how many, since when, and why they are one.

mod acts;
pub(crate) mod api;
pub(crate) mod detail_page;
mod list_query;
pub(crate) mod page;
