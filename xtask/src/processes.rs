//! The processes of Redress as children: built, their schema brought up to date, started on one settings file.

use std::{net::SocketAddr, path::Path};

use crate::{
    cargo,
    child::Program,
    folder::Folder,
    ports::Ports,
    probe::Probe,
    service::{Service, Services},
    stop::Stop,
    terminal::{self, Step},
    workspace::Workspace,
};

/// The process that writes orders, among [`Services`].
pub const ORDER_CONSUMER: &str = "order-consumer";

/// The process that repairs, among [`Services`].
pub const COMPENSATOR: &str = "compensator";

/// Where the processes listen.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    pub seckill_api: SocketAddr,
    pub admin: SocketAddr,
    pub order_consumer: SocketAddr,
    pub compensator: SocketAddr,
}

impl Listen {
    /// The default ports where they are free.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn choose(ports: &mut Ports) -> anyhow::Result<Self> {
        let mut choose = |wanted| {
            ports
                .prefer(wanted)
                .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        };
        Ok(Self {
            seckill_api: choose(8080)?,
            admin: choose(8081)?,
            order_consumer: choose(8082)?,
            compensator: choose(8083)?,
        })
    }
}

/// Makes release builds of all programs, whatever is run: choosing some would choose other features and build much twice.
///
/// # Errors
/// When the build fails or a signal asks to stop.
pub fn build(workspace: &Workspace, stop: &Stop) -> anyhow::Result<()> {
    terminal::line("  Building (release; several minutes the first time)");
    cargo::succeed(
        &mut cargo::cargo(workspace, &["build", "--release", "--workspace", "--bins"]),
        stop,
    )
}

/// Brings the schema up to date.
///
/// # Errors
/// When the program fails or a signal asks to stop.
pub fn migrate(program: &Path, folder: &Folder, config: &Path, stop: &Stop) -> anyhow::Result<()> {
    let shown = Step::begin("schema");
    program_on("migrations", program, folder, config)?.run(stop)?;
    shown.done("up to date");
    Ok(())
}

/// Starts the processes and waits until each is ready, which for the compensator means that no stock node is fenced.
///
/// # Errors
/// When one does not become ready or a signal asks to stop.
pub fn start(
    workspace: &Workspace,
    folder: &Folder,
    config: &Path,
    listen: &Listen,
    stop: &Stop,
) -> anyhow::Result<Services> {
    let mut processes = Services::default();
    for (name, address) in [
        ("seckill-api", listen.seckill_api),
        (ORDER_CONSUMER, listen.order_consumer),
        (COMPENSATOR, listen.compensator),
        ("admin", listen.admin),
    ] {
        let program = program_on(name, &workspace.release_binary(name), folder, config)?;
        processes.add(Service::start(program, address.port(), Probe::Http)?);
    }
    processes.wait_shown(stop)?;
    Ok(processes)
}

fn program_on(name: &str, path: &Path, folder: &Folder, config: &Path) -> anyhow::Result<Program> {
    Ok(Program {
        name: name.to_owned(),
        path: path.to_owned(),
        args: vec!["--config".to_owned(), config.display().to_string()],
        log: folder.new_log(name)?,
    })
}
