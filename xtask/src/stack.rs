//! A running stack: servers, then processes on them, then `endpoints.json`; ended in the opposite order.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::{
    config::{self, Rehearsal},
    endpoints::{Endpoints, EndpointsFile},
    folder::Folder,
    packages,
    ports::Ports,
    processes::{self, Listen},
    secrets::Secrets,
    servers::{Addresses, Given, Starting},
    service::Services,
    stop::{Interrupted, Stop},
    terminal,
    workspace::Workspace,
};

/// The folder below `target/` all of it lives in.
pub const FOLDER: &str = "stack";

/// What `up` was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub servers_only: bool,
    pub wipe: bool,
}

/// `cargo xtask up`: everything up until Ctrl-C.
///
/// # Errors
/// When something does not come up, or ends by itself later.
pub fn up(workspace: &Workspace, wanted: Wanted, stop: &Stop) -> anyhow::Result<ExitCode> {
    let folder = Folder::lock(&workspace.kept(FOLDER))?;
    if wanted.wipe {
        folder.wipe()?;
    }
    if wanted.servers_only {
        terminal::heading("Servers");
        let mut servers = Servers::start(workspace, &folder, "data", None, stop)?;
        servers.show();
        stay_up(&mut [&mut servers.services], stop)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut stack = Stack::start(workspace, folder, "data", None, stop)?;
    stack.endpoints.show(&stack.endpoints_file);
    stack.stay_up(stop)?;
    Ok(ExitCode::SUCCESS)
}

fn stay_up(services: &mut [&mut Services], stop: &Stop) -> anyhow::Result<()> {
    terminal::line("\nUp. Ctrl-C ends everything.");
    while stop.pause() != Err(Interrupted) {
        services
            .iter_mut()
            .try_for_each(|services| services.ensure_running())?;
    }
    terminal::line("Ending everything");
    Ok(())
}

/// Running servers and the settings for processes on them.
struct Servers {
    config: PathBuf,
    addresses: Addresses,
    secrets: Secrets,
    listen: Listen,
    services: Services,
}

impl Servers {
    fn start(
        workspace: &Workspace,
        folder: &Folder,
        data: &str,
        rehearsal: Option<&Rehearsal>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let given = Given::in_environment()?;
        given.ensure_programs(workspace, stop)?;
        let secrets = Secrets::kept_in(folder)?;
        let mut ports = Ports::new()?;
        let mut services = Services::default();
        let mut starting = Starting {
            workspace,
            folder,
            data,
            secrets: &secrets,
            ports: &mut ports,
            stop,
        };
        let addresses = starting.all(given, &mut services)?;
        let listen = Listen::choose(&mut ports)?;
        let config = config::write(folder, data, &secrets, &addresses, &listen, rehearsal)?;
        Ok(Self {
            config,
            addresses,
            secrets,
            listen,
            services,
        })
    }

    fn show(&self) {
        let Addresses {
            mysql,
            redis_stock,
            redis_lock,
            kafka,
        } = &self.addresses;
        terminal::heading("Addresses");
        for (name, address) in [
            ("MySQL", &mysql.to_string()),
            ("Redis, stock", redis_stock),
            ("Redis, locks", &redis_lock.join(" ")),
            ("Kafka", kafka),
            ("settings", &self.config.display().to_string()),
        ] {
            terminal::line(&format!("  {name:18} {address}"));
        }
    }
}

/// A complete stack. The fields are dropped from top to bottom: the file goes first, the servers go last but for the lock.
pub struct Stack {
    pub endpoints_file: EndpointsFile,
    pub endpoints: Endpoints,
    pub processes: Services,
    pub servers: Services,
    pub config: PathBuf,
    pub folder: Folder,
}

impl Stack {
    /// Builds, starts everything and waits until all of it is ready. A rehearsal has failures of its own, and hears of them.
    ///
    /// # Errors
    /// When something does not come up, or a signal asks to stop; what was started is ended.
    pub fn start(
        workspace: &Workspace,
        folder: Folder,
        data: &str,
        rehearsal: Option<&Rehearsal>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let endpoints_file = EndpointsFile::absent(&folder)?;
        terminal::heading("Programs");
        packages::ensure(packages::BUILDING, stop)?;
        processes::build(workspace, stop)?;
        terminal::heading("Servers");
        let servers = Servers::start(workspace, &folder, data, rehearsal, stop)?;
        terminal::heading("Processes");
        processes::migrate(
            &workspace.release_binary("migrations"),
            &folder,
            &servers.config,
            stop,
        )?;
        let processes =
            processes::start(workspace, &folder, &servers.config, &servers.listen, stop)?;
        let endpoints = Endpoints::new(&servers.addresses, &servers.listen, &servers.secrets);
        endpoints_file
            .write(&endpoints)
            .context("the stack is ready")?;
        Ok(Self {
            endpoints_file,
            endpoints,
            processes,
            servers: servers.services,
            config: servers.config,
            folder,
        })
    }

    /// # Errors
    /// When a server or process has ended by itself.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.processes.ensure_running()?;
        self.servers.ensure_running()
    }

    /// Stays until a signal comes.
    ///
    /// # Errors
    /// When a server or process ends by itself.
    pub fn stay_up(&mut self, stop: &Stop) -> anyhow::Result<()> {
        stay_up(&mut [&mut self.processes, &mut self.servers], stop)
    }
}
