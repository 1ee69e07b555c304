//! Lists, page by page.

use crate::problems;
use serde::{Deserialize, Serialize};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};

const PER_PAGE: u32 = 20;
const PER_PAGE_AT_MOST: u32 = 100;

/// Which page of a list.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    /// From 1.
    #[param(minimum = 1, default = 1)]
    page: Option<u32>,
    /// 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    per_page: Option<u32>,
}

impl Paging {
    pub const fn new(page: Option<u32>, per_page: Option<u32>) -> Self {
        Self { page, per_page }
    }

    /// The page as the domain takes it.
    ///
    /// # Errors
    /// 422 for page 0, or more than 100 a page.
    pub fn checked(self) -> Result<ordering::Paging, Problem> {
        let (page, per_page) = (self.page.unwrap_or(1), self.per_page.unwrap_or(PER_PAGE));
        if page == 0 {
            return Err(problems::invalid("page must be at least 1"));
        }
        if !(1..=PER_PAGE_AT_MOST).contains(&per_page) {
            return Err(problems::invalid(format!(
                "per_page must be between 1 and {PER_PAGE_AT_MOST}"
            )));
        }
        Ok(ordering::Paging { page, per_page })
    }
}

/// One page of a list.
#[expect(clippy::struct_field_names, reason = "they are the names in the JSON")]
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    page: u32,
    per_page: u32,
    /// Of all pages.
    total: u64,
}

impl<T> Page<T> {
    pub fn of<F: Into<T>>(paging: ordering::Paging, items: Vec<F>, total: u64) -> Self {
        Self {
            items: items.into_iter().map(Into::into).collect(),
            page: paging.page,
            per_page: paging.per_page,
            total,
        }
    }
}
