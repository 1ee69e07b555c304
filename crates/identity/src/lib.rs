//! Who someone is: accounts, roles, passwords and tokens. It knows nothing of HTTP, nor of what an account may do where.

pub mod credentials;
pub mod passwords;
mod role;
pub mod tokens;
mod user_id;
pub mod users;

pub use role::{Role, UnknownRole};
pub use user_id::UserId;
