//! What processes rely on, seen from outside.

mod alerts_settings;
mod participants_settings;
mod settings;
