//! `/operators`: admins make operators and take them away.

mod acts;
mod page;

pub(crate) use acts::{create, remove, reset_password, set_role, unlock};
pub(crate) use page::show;
