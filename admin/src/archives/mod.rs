//! What was given up: the list, one of it with everything known about it, and the whole list as CSV.

pub(crate) mod api;
pub(crate) mod csv;
mod detail;
pub(crate) mod detail_page;
pub(crate) mod list_page;
mod list_query;
pub(crate) mod masking;
mod shown;

pub(crate) use detail::Detail;
pub(crate) use list_query::{ListQuery, link as list_link, list_of};
pub(crate) use shown::{Chip, outcome_tone, refusal as refusal_sentence};
