//! The auditor on real servers: a clean state passes, and each kind of violation is seen and named.

mod failed;
mod failures;
mod journals;
mod program;
mod promises;
mod world;
