//! Lists by key: a page, and where the next one begins.

use serde::Serialize;

/// One page.
#[derive(Debug, Serialize)]
pub(crate) struct CursorPage<T> {
    pub items: Vec<T>,
    /// To be sent for the next page; null on the last.
    pub next: Option<String>,
}

impl<T> CursorPage<T> {
    /// A page of what was found when one more was asked for than fits on it.
    pub fn of(mut found: Vec<T>, per_page: u32, key: impl FnOnce(&T) -> String) -> Self {
        let fits = usize::try_from(per_page).unwrap_or(usize::MAX);
        let more = found.len() > fits;
        found.truncate(fits);
        let next = found.last().filter(|_| more).map(key);
        Self { items: found, next }
    }

    /// The same page of something else.
    pub fn map<U>(self, to: impl FnMut(T) -> U) -> CursorPage<U> {
        CursorPage {
            items: self.items.into_iter().map(to).collect(),
            next: self.next,
        }
    }
}
