//! The two ways this program runs others, each from a copy of itself, so that no child outlives it, not even when it is
//! killed with SIGKILL and can clean nothing up. The kernel's parent-death signal does that; it survives `exec`.
//!
//! `__exec` becomes the program. `__group` stays in front of a program that has children of its own (cargo) and takes its
//! whole process group down with it. Both take the launcher's pid, to notice one that died before the signal was asked for.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::{
        prctl,
        signal::{self, Signal},
    },
    unistd::{Pid, getpid, getppid},
};

use crate::terminal;

/// How a child is tied to the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// The child itself is killed with the launcher.
    Child,
    /// So are all its descendants in its process group.
    Group,
}

impl Tie {
    fn word(self) -> &'static str {
        match self {
            Self::Child => "__exec",
            Self::Group => "__group",
        }
    }
}

/// A command that runs `program` tied to this process, in a process group of its own, so that a terminal's Ctrl-C reaches
/// only the launcher, which ends its children in order. Must be spawned from the main thread: the tie is to the thread.
pub fn command(tie: Tie, program: &str) -> Command {
    // The running file itself, even when a rebuild has replaced it on disk meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("xtask")
        .arg(tie.word())
        .arg(getpid().to_string())
        .arg(program)
        .process_group(0);
    command
}

/// Runs the other side of [`command`] if this process was started by it.
pub fn dispatch() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    let tie = match args.next()?.to_str()? {
        "__exec" => Tie::Child,
        "__group" => Tie::Group,
        _ => return None,
    };
    let launcher: i32 = args.next()?.to_str()?.parse().ok()?;
    let program = args.next()?;
    let args: Vec<OsString> = args.collect();
    let outcome = match tie {
        Tie::Child => become_program(launcher, &program, &args),
        Tie::Group => lead_group(launcher, &program, &args),
    };
    Some(outcome.unwrap_or_else(|error| {
        terminal::complain(&format!("cannot run {}: {error}", program.display()));
        ExitCode::from(127)
    }))
}

fn become_program(launcher: i32, program: &OsString, args: &[OsString]) -> io::Result<ExitCode> {
    die_with(launcher, Signal::SIGKILL)?;
    Err(Command::new(program).args(args).exec())
}

fn lead_group(launcher: i32, program: &OsString, args: &[OsString]) -> io::Result<ExitCode> {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&asked_to_end))?;
    die_with(launcher, Signal::SIGTERM)?;
    let mut child = Command::new(program).args(args).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(1)));
        }
        if asked_to_end.load(Ordering::Relaxed) {
            // Pid 0 is the own group, this process included.
            signal::kill(Pid::from_raw(0), Signal::SIGKILL)?;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn die_with(launcher: i32, signal: Signal) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if getppid() == Pid::from_raw(launcher) {
        Ok(())
    } else {
        Err(io::Error::other("the launcher has ended"))
    }
}
