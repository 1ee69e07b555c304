//! (being written)
mod ids;
pub mod message;
pub use ids::{BadQuantity, OrderId, ProductId, Quantity, SaleId, SaleTag};
