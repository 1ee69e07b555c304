//! Which part of a list is wanted.

/// One page of a list, counted from 1. The caller bounds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// From 1; 0 is the first page too.
    pub page: u32,
    /// Items on a page.
    pub per_page: u32,
}

impl Paging {
    /// Items before this page.
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.page.saturating_sub(1)) * u64::from(self.per_page)
    }
}
