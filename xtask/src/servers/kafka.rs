//! One Kafka broker that is its own controller. Topics are made by the processes, never by a message to an unknown name.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::Starting;
use crate::{child::Program, files, kafka_jars, packages, probe::Probe, secrets, service::Service};

/// Starts it on its data, formatted at the first start.
///
/// # Errors
/// When the jars cannot be fetched, the data not be formatted or the broker not be started.
pub fn start(starting: &mut Starting<'_>) -> anyhow::Result<Service> {
    let jars = kafka_jars::fetch(starting.workspace, starting.folder, starting.stop)?;
    let data = starting.data_dir("kafka");
    let (port, controller) = (starting.ports.free()?, starting.ports.free()?);
    let properties = starting.folder.join("kafka.properties");
    if !data.exists() {
        let unfinished = data.with_extension("unfinished");
        files::remove(&unfinished)?;
        fs::write(&properties, settings(&unfinished, port, controller))?;
        let id = cluster_id()?;
        let format = [
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            &id,
            "--config",
        ];
        java(starting, &jars, "kafka-format", &format, &properties)?.run(starting.stop)?;
        fs::rename(&unfinished, &data).context("cannot rename the new broker folder")?;
    }
    fs::write(&properties, settings(&data, port, controller))?;
    let broker = java(starting, &jars, "kafka", &["kafka.Kafka"], &properties)?;
    Service::start(broker, port, Probe::Kafka)
}

fn java(
    starting: &Starting<'_>,
    jars: &Path,
    name: &str,
    words: &[&str],
    properties: &Path,
) -> anyhow::Result<Program> {
    let mut args = vec![
        "-Xmx512m".to_owned(),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
    ];
    args.extend(words.iter().map(|&word| word.to_owned()));
    args.push(properties.display().to_string());
    Ok(Program {
        name: name.to_owned(),
        path: packages::find(packages::JAVA)?,
        args,
        log: starting.folder.new_log(name)?,
    })
}

/// The session is short (9 s by default) because a broker that starts again waits for the end of its last one.
fn settings(data: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         broker.session.timeout.ms=4000\n\
         broker.heartbeat.interval.ms=500\n",
        data.display()
    )
}

/// 16 bytes in Kafka's base64: 22 characters, the last of which carries two bits only.
fn cluster_id() -> anyhow::Result<String> {
    let mut id = secrets::random(11)?;
    id.replace_range(21.., "A");
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_22_characters_that_end_in_zero_bits() {
        let id = cluster_id().unwrap();
        assert_eq!(id.len(), 22);
        assert!(id.ends_with('A'));
    }
}
