//! `/compensation-log`: every try there was, of whichever order, the latest first.

pub(crate) mod api;
pub(crate) mod list_page;
mod list_query;
