//! What operators asked for, and what became of it.

pub(crate) mod api;
pub(crate) mod page;
