//! The engine on a real database, with participants and a last resource that have nothing to do with orders.

mod control;
mod crowd;
mod foreign;
mod foreign_http;
mod recovery;
mod retention;
mod spans;
mod theatre;
