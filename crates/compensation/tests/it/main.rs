//! Work that failed, on real servers.

mod alerts;
mod archive;
mod operations;
mod queue;
