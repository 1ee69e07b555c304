//! A server or process of ours: its program, the child running it, where it listens and how to ask whether it is ready.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    child::{Child, Program, end_all},
    probe::Probe,
    stop::Stop,
    terminal::Step,
};

/// Longest wait for one service. The slowest is a broker's first start on a busy machine.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// How long a service may take to end in order before it is killed.
const END_WITHIN: Duration = Duration::from_secs(20);

/// A started program and where it answers.
#[derive(Debug)]
pub struct Service {
    pub program: Program,
    pub address: SocketAddr,
    probe: Probe,
    child: Child,
}

impl Service {
    /// Starts `program`, which is to listen at `port` of the loopback address; [`Self::wait`] waits until it does.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: Program, port: u16, probe: Probe) -> anyhow::Result<Self> {
        let child = program.start()?;
        Ok(Self {
            program,
            address: ([127, 0, 0, 1], port).into(),
            probe,
            child,
        })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, does not answer in time, or a signal asks to stop.
    pub fn wait(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let give_up = Instant::now() + READY_WITHIN;
        while !self.is_ready() {
            self.child.ensure_running()?;
            if Instant::now() > give_up {
                bail!(
                    "{} is not ready after {} s; its log is {}",
                    self.program.name,
                    READY_WITHIN.as_secs(),
                    self.program.log.display()
                );
            }
            stop.pause()?;
        }
        // Whoever answered may be another program that was faster to the port.
        self.child.ensure_running()
    }

    /// [`Self::wait`] as a line on the terminal.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_shown(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let shown = Step::begin(&self.program.name);
        self.wait(stop)?;
        shown.done(&self.address.to_string());
        Ok(())
    }

    /// # Errors
    /// When it has ended by itself.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.child.ensure_running()
    }

    /// Whether it is ready now.
    pub fn is_ready(&self) -> bool {
        self.probe.answers(self.address)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()
    }

    /// Starts the killed service again, with the same words on the same data.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = self.program.start().context("starting it again")?;
        Ok(())
    }
}

/// Services that end together, in this order: the last started goes first, unless they may go at once.
#[derive(Debug, Default)]
pub struct Services(Vec<Service>);

impl Services {
    /// Adds a started service; from here on it is ended with the others, whatever happens.
    pub fn add(&mut self, service: Service) {
        self.0.push(service);
    }

    /// # Errors
    /// When there is none of that name among our own.
    pub fn get(&mut self, name: &str) -> anyhow::Result<&mut Service> {
        self.0
            .iter_mut()
            .find(|service| service.program.name == name)
            .with_context(|| format!("{name} is not one of this run's own children"))
    }

    /// Waits until each is ready, a line on the terminal each.
    ///
    /// # Errors
    /// As [`Service::wait`].
    pub fn wait_shown(&mut self, stop: &Stop) -> anyhow::Result<()> {
        self.0
            .iter_mut()
            .try_for_each(|service| service.wait_shown(stop))
    }

    /// # Errors
    /// When one has ended by itself.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.0.iter_mut().try_for_each(Service::ensure_running)
    }

    /// Ends all of them, at once. Gives the names of those that had to be killed.
    pub fn end(&mut self) -> Vec<String> {
        let killed = end_all(
            self.0.iter_mut().map(|service| &mut service.child),
            END_WITHIN,
        );
        self.0.clear();
        killed
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for name in self.end() {
            crate::terminal::complain(&format!("{name} did not end in time and was killed"));
        }
    }
}
