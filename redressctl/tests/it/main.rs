//! The program itself, against receivers on real sockets and a real admin.

mod alerts;
mod audit;
mod commands;
mod kinds;
mod world;
