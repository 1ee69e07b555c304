//! Free ports, from below those that the system gives to outgoing connections: a server that is killed and started again on its port
//! would otherwise now and then find a client sitting there.

use std::{
    net::TcpListener,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};
use uuid::Uuid;

/// Below those that `cargo xtask` gives to servers.
const LOWEST: u16 = 10_000;
const COUNT: u16 = 10_000;

/// A loopback port nobody listens on, given out once in this process. Where the search begins is chance, so that two processes that
/// look at once do not meet.
pub(crate) fn free() -> u16 {
    static FIRST: LazyLock<u16> = LazyLock::new(|| {
        let chance = Uuid::new_v4().as_u128() % u128::from(COUNT);
        u16::try_from(chance).expect("less than a port")
    });
    static LOOKED_AT: AtomicU16 = AtomicU16::new(0);
    loop {
        let place = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        assert!(place < COUNT, "no port is left");
        let port = LOWEST + (*FIRST + place) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_port_is_given_once_and_no_client_sits_on_it() {
        let given: HashSet<u16> = (0..500).map(|_| free()).collect();
        assert_eq!(given.len(), 500);
        assert!(
            given
                .iter()
                .all(|port| (LOWEST..LOWEST + COUNT).contains(port))
        );
    }
}
