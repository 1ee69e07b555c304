//! `/permissions` and `/api/v1/me`: who one is here, and what one may do.

pub(crate) mod api;
pub(crate) mod page;
