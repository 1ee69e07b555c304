//! `redressctl`: what a person does with Redress from a terminal, without its processes and without its database.
//!
//! So far it tries out receivers of alerts before they are put into the settings.

pub mod alerts;
