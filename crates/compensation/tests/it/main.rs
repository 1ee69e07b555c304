//! Work that failed, on real servers.

mod alerts;
mod archive;
mod archive_places;
mod groups;
mod incidents;
mod listing;
mod log;
mod operations;
mod policy;
mod queue;
