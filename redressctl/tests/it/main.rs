//! The program itself, against receivers on real sockets.

mod alerts;
