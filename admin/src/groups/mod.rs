//! What was given up for the same cause, as groups: how many, since when, and why they are one.

pub(crate) mod api;
mod list_query;
pub(crate) mod page;
