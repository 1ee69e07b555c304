//! The audit: whether its chain holds, told by whoever has its lines, without trusting whoever keeps them.

mod reading;
pub mod verify;
