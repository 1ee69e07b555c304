//! What operators asked for, and what became of it: a look at what would happen, the asking, how far each has come, and how it is
//! steered while it is under way.

pub(crate) mod api;
pub(crate) mod asking;
mod bulk_page;
mod forecast;
pub(crate) mod page;
pub(crate) mod preview;
pub(crate) mod steering;
