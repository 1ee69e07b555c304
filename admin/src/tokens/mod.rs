//! `/tokens`: personal tokens, for scripts. Made with a scope and an end, shown once, ended by whoever made them; an admin ends all of
//! an operator's by resetting the password.

mod acts;
pub(crate) mod api;
pub(crate) mod forms;
pub(crate) mod page;
