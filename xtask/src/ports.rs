//! Ports nobody listens on. They are taken from below the range the system gives to outgoing connections: a server that is
//! killed and started again on its port would otherwise now and then find a client sitting there.

use std::{
    fs::File,
    io::{self, Read as _},
    net::TcpListener,
};

use anyhow::bail;

const LOWEST: u16 = 20_000;
const HIGHEST: u16 = 31_999;

/// Gives each free port once.
#[derive(Debug)]
pub struct Ports {
    next: u16,
}

impl Ports {
    /// Starts looking at a random place, so that two checkouts started together do not meet.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0; 2];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self {
            next: LOWEST + u16::from_ne_bytes(bytes) % (HIGHEST - LOWEST),
        })
    }

    /// # Errors
    /// When every port of the range is taken.
    pub fn free(&mut self) -> anyhow::Result<u16> {
        for _ in LOWEST..=HIGHEST {
            let port = self.next;
            self.next = if port == HIGHEST { LOWEST } else { port + 1 };
            if is_free(port) {
                return Ok(port);
            }
        }
        bail!("no free port from {LOWEST} to {HIGHEST} on 127.0.0.1");
    }

    /// `wanted` when it is free, else another one.
    ///
    /// # Errors
    /// As [`Self::free`].
    pub fn prefer(&mut self, wanted: u16) -> anyhow::Result<u16> {
        if is_free(wanted) {
            Ok(wanted)
        } else {
            self.free()
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_a_taken_one_never() {
        let mut ports = Ports::new().unwrap();
        let first = ports.free().unwrap();
        let second = ports.free().unwrap();
        assert_ne!(first, second);
        let _taken = TcpListener::bind(("127.0.0.1", first)).unwrap();
        assert_ne!(ports.prefer(first).unwrap(), first);
    }

    #[test]
    fn the_search_wraps_round_at_the_end_of_the_range() {
        let mut ports = Ports { next: HIGHEST };
        let taken = TcpListener::bind(("127.0.0.1", HIGHEST));
        let first = ports.free().unwrap();
        drop(taken);
        assert!((LOWEST..=HIGHEST).contains(&first));
        assert!(ports.free().unwrap() < HIGHEST);
    }
}
