//! What was given up: the list, one of it with everything known about it, and the whole list to take away.

pub(crate) mod api;
mod columns;
pub(crate) mod csv;
mod detail;
pub(crate) mod detail_page;
pub(crate) mod export;
pub(crate) mod list_page;
mod list_query;
mod shown;

use crate::cursor::CursorPage;
use compensation::archive::{Found, listing::Listed};

pub(crate) use detail::{Detail, raw};
pub(crate) use list_query::{ListQuery, link as list_link, list_of};
pub(crate) use shown::{Chip, outcome_tone, refusal as refusal_sentence};

/// A page of the list: where it was given up before it was full, the next one goes on from there.
fn page_of(found: Found<Listed>) -> CursorPage<Listed> {
    let mut page = CursorPage::of(found.rows, list_page::PER_PAGE, |row| {
        row.after().to_string()
    });
    page.next = page
        .next
        .or(found.stopped_at.map(|place| place.to_string()));
    page
}
