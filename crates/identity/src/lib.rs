//! Who someone is: accounts, roles, passwords and tokens. It knows nothing of HTTP, nor of what an account may do where.

pub mod credentials;
pub mod lock_outs;
pub mod log_ins;
mod operator_id;
mod operator_role;
pub mod operator_sessions;
pub mod operator_tokens;
pub mod operators;
pub mod passwords;
mod role;
pub mod tokens;
mod user_id;
pub mod users;

pub use operator_id::OperatorId;
pub use operator_role::{OperatorRole, UnknownOperatorRole};
pub use role::{Role, UnknownRole};
pub use user_id::UserId;
