//! Who was told, and who was not.

pub(crate) mod api;
pub(crate) mod page;
mod place;

pub(crate) use place::AlertQuery;

/// Rows of one page.
const PER_PAGE: u32 = 50;
