//! The chain on a real server.

mod writing;
