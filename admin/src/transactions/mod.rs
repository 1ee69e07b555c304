//! The coordinator's transactions: the list with what needs a person first, one of them with every branch and call, and what a
//! person may do to it: roll it back, resume it, stop it.

mod acts;
pub(crate) mod api;
mod detail;
pub(crate) mod detail_page;
pub(crate) mod forms;
pub(crate) mod list_page;
mod list_query;
mod shown;

pub(crate) use acts::page_of;
pub(crate) use shown::{branch_chip, state_chip};
