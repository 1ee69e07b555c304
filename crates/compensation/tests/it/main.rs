//! Work that failed, on real servers.

mod alerts;
mod archive;
mod policy;
mod queue;
