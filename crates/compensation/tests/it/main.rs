//! Work that failed, on real servers.

mod alerts;
mod queue;
