//! The audit: its lines, and whether its chain holds, told by whoever has them without trusting whoever keeps them.

pub mod listing;
mod reading;
pub mod verify;
