//! What is sold, and to whom: sales, reservations of stock in Redis, orders and buyers in MySQL, and the rules between them.
//!
//! It owns the SQL, the Lua and the messages of its aggregates. It knows nothing of HTTP, retries or alerts.

pub mod cancel;
mod decision;
pub mod drift;
pub mod edit;
pub mod engine;
pub mod faults;
pub mod foreign;
mod ids;
pub mod keys;
pub mod leases;
pub mod message;
pub mod orders;
mod paging;
mod participant;
pub mod products;
pub mod rebuild;
pub mod reconcile;
pub mod replay;
pub mod sale_lock;
pub mod sales;
pub mod standing;
mod status;
pub mod stock;
pub mod truth;
pub mod unpaid;
mod work;

pub use decision::Reason;
pub use ids::{BadQuantity, OrderId, ProductId, Quantity, SaleId, SaleTag};
pub use paging::Paging;
pub use participant::WITHDRAWN;
pub use status::{ARCHIVED, OrderOutcome, OrderStatus, UnknownStatus};
