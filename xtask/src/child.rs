//! One program run as a child: started tied to the launcher, its output in a log file, ended by its own pid.

use std::{
    fs::{self, OpenOptions},
    io,
    path::PathBuf,
    process::{self, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::{
    exec::{self, Tie},
    stop::Stop,
};

/// How many lines of a log are shown when its program ended by itself.
const LOG_TAIL_LINES: usize = 6;

/// How to run a program; kept so that it can be started again with the same words.
#[derive(Debug, Clone)]
pub struct Program {
    /// What messages call it.
    pub name: String,
    /// The file to run.
    pub path: PathBuf,
    pub args: Vec<String>,
    /// Standard output and error are appended here.
    pub log: PathBuf,
}

impl Program {
    /// # Errors
    /// When the log cannot be opened or the program not be started.
    pub fn start(&self) -> anyhow::Result<Child> {
        self.start_with(Stdio::null())
    }

    /// The same with standard input left open, until [`Child::close_input`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_listening(&self) -> anyhow::Result<Child> {
        self.start_with(Stdio::piped())
    }

    fn start_with(&self, input: Stdio) -> anyhow::Result<Child> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let process = exec::command(Tie::Child, &self.path.to_string_lossy())
            .args(&self.args)
            // Their output goes into a file.
            .env("NO_COLOR", "1")
            .stdin(input)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        Ok(Child {
            name: self.name.clone(),
            log: self.log.clone(),
            process,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, fails, or a signal asks to stop (it is then killed).
    pub fn run(&self, stop: &Stop) -> anyhow::Result<()> {
        let mut child = self.start()?;
        let status = child.wait(stop)?;
        ensure!(status.success(), "{}", child.obituary(status));
        Ok(())
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    log: PathBuf,
    process: process::Child,
}

impl Child {
    /// Waits until it has ended.
    ///
    /// # Errors
    /// When a signal asks to stop; the child is killed when it is dropped.
    pub fn wait(&mut self, stop: &Stop) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            stop.pause()?;
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.process.stdin = None;
    }

    /// # Errors
    /// When it has ended, with how and the end of its log.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{}", self.obituary(status)),
        }
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses either.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        // The pid cannot have been taken by another process: the child stays a zombie until `wait`.
        self.process
            .kill()
            .with_context(|| format!("cannot kill {}", self.name))?;
        self.process.wait()?;
        Ok(())
    }

    fn ask_to_end(&mut self) {
        if let Ok(None) = self.process.try_wait()
            && let Ok(pid) = i32::try_from(self.process.id())
        {
            let _ = signal::kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// That it ended, how, and the end of its log.
    pub fn obituary(&self, status: ExitStatus) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
        format!(
            "{} ended ({status}); its log {} ends with\n  {tail}",
            self.name,
            self.log.display()
        )
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.kill();
        }
    }
}

/// Asks all of `children` to end with SIGTERM and kills those that have not after `deadline`. Gives the names of the killed.
pub fn end_all<'a>(
    children: impl Iterator<Item = &'a mut Child>,
    deadline: Duration,
) -> Vec<String> {
    let mut children: Vec<&mut Child> = children.collect();
    for child in &mut children {
        child.ask_to_end();
    }
    let give_up = Instant::now() + deadline;
    while !children.is_empty() && Instant::now() < give_up {
        children.retain_mut(|child| !child.has_ended());
        thread::sleep(Duration::from_millis(20));
    }
    children
        .into_iter()
        .map(|child| {
            let _ = child.kill();
            child.name.clone()
        })
        .collect()
}
