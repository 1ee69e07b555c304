//! One Redis: its append-only file is synced every second and nothing is evicted, as the processes check at their start.

use super::Starting;
use crate::{child::Program, files, packages, probe::Probe, service::Service};

/// Starts it on its data.
///
/// # Errors
/// When it cannot be started.
pub fn start(starting: &mut Starting<'_>, name: &str) -> anyhow::Result<Service> {
    let data = starting.data_dir(name);
    files::make_private_dir(&data)?;
    let port = starting.ports.free()?;
    let program = Program {
        name: name.to_owned(),
        path: packages::find(packages::REDIS)?,
        args: [
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--dir",
            &data.display().to_string(),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--maxmemory-policy",
            "noeviction",
            // Known to Redis 7 and later only: an older one ends here and says so in its log.
            "--enable-debug-command",
            "no",
        ]
        .map(str::to_owned)
        .to_vec(),
        log: starting.folder.new_log(name)?,
    };
    Service::start(program, port, Probe::Redis)
}
