//! `/sales`: stock as MySQL and Redis have it, where they were found to differ, and what one may change while a sale is on.

mod acts;
pub(crate) mod api;
pub(crate) mod detail_page;
pub(crate) mod forms;
pub(crate) mod list_page;
mod list_query;
mod redis_side;
