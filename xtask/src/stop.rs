//! The wish to end: SIGINT, SIGTERM or SIGHUP. Everything that waits asks here, so that the launcher always unwinds through
//! its own clean-up. A second signal ends it at once; the kernel then ends the children (see `exec`).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// How often a wait looks again: at its own condition, and whether to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// A signal asked the launcher to end while it was in the middle of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped by a signal")
    }
}

impl std::error::Error for Interrupted {}

/// Whether a signal has asked the launcher to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for the signals from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the first signal only sets the flag, which arms the second.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop.0))?;
            flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// # Errors
    /// [`Interrupted`] once a signal has come.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// One short wait between two looks at a condition.
    ///
    /// # Errors
    /// [`Interrupted`] once a signal has come.
    pub fn pause(&self) -> Result<(), Interrupted> {
        thread::sleep(LOOK_AGAIN);
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_in_an_error_once_a_signal_has_come() {
        let stop = Stop::default();
        assert_eq!(stop.pause(), Ok(()));
        stop.0.store(true, Ordering::Relaxed);
        assert_eq!(stop.pause(), Err(Interrupted));
    }
}
