//! Something is killed in the middle of a sale, stays away for a while, and comes back.

use std::time::{Duration, Instant};

use crate::{
    service::{Service, Services},
    stack::Stack,
    stop::Stop,
    terminal::Step,
};

/// How long the victim stays away.
const AWAY: Duration = Duration::from_millis(1500);

/// What is killed.
#[derive(Debug, Clone, Copy)]
pub struct Victim {
    name: &'static str,
    among: fn(&mut Stack) -> &mut Services,
}

impl Victim {
    pub fn process(name: &'static str) -> Self {
        Self {
            name,
            among: |stack| &mut stack.processes,
        }
    }

    pub fn server(name: &'static str) -> Self {
        Self {
            name,
            among: |stack| &mut stack.servers,
        }
    }

    fn service(self, stack: &mut Stack) -> anyhow::Result<&mut Service> {
        (self.among)(stack).get(self.name)
    }
}

/// One killing and coming back.
#[derive(Debug)]
pub struct Breakage {
    victim: Victim,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Whole,
    Killed { at: Instant },
    ComingBack { killed: Instant },
    Healed,
}

impl Breakage {
    pub fn of(victim: Victim) -> Self {
        Self {
            victim,
            state: State::Whole,
        }
    }

    /// Does what is due; asked again and again while the sale is on.
    ///
    /// # Errors
    /// When the victim cannot be killed or started again, or anything else ended by itself.
    pub fn go_on(
        &mut self,
        stack: &mut Stack,
        is_half_way: bool,
        line: &Step,
    ) -> anyhow::Result<()> {
        let name = self.victim.name;
        let service = self.victim.service(stack)?;
        match self.state {
            State::Whole if is_half_way => {
                service.kill()?;
                line.note(&format!("{name} is killed (SIGKILL)"));
                self.state = State::Killed { at: Instant::now() };
            }
            State::Killed { at } if at.elapsed() >= AWAY => {
                service.start_again()?;
                self.state = State::ComingBack { killed: at };
            }
            State::ComingBack { killed } if service.is_ready() => {
                line.note(&format!(
                    "{name} is back, ready {:.1} s after it was killed",
                    killed.elapsed().as_secs_f64()
                ));
                self.state = State::Healed;
            }
            _ => {}
        }
        if !matches!(self.state, State::Killed { .. }) {
            stack.ensure_running()?;
        }
        Ok(())
    }

    /// Goes on until the victim is back, also when the sale was over first.
    ///
    /// # Errors
    /// As [`Self::go_on`], and when the victim does not come back.
    pub fn finish(mut self, stack: &mut Stack, stop: &Stop) -> anyhow::Result<()> {
        if matches!(self.state, State::Healed) {
            return Ok(());
        }
        let line = Step::begin("");
        while !matches!(self.state, State::ComingBack { .. } | State::Healed) {
            self.go_on(stack, true, &line)?;
            stop.pause()?;
        }
        self.victim.service(stack)?.wait(stop)?;
        self.go_on(stack, true, &line)
    }
}
