//! Who was told, and who was not: deliveries with every try, and how the channels are.

mod acts;
pub(crate) mod api;
pub(crate) mod channels_page;
pub(crate) mod forms;
pub(crate) mod notice_page;
pub(crate) mod page;
mod place;

pub(crate) use acts::configured;
pub(crate) use notice_page::page_of;
pub(crate) use page::page_of_subject;
pub(crate) use place::AlertQuery;

/// Rows of one page.
const PER_PAGE: u32 = 50;
