//! What processes rely on, seen from outside.

mod settings;
