//! `cargo xtask test`: every test, on a MariaDB and a Kafka of its own, from empty. Tests that need Redis start their own.

use std::{ffi::OsStr, process::ExitCode};

use crate::{
    cargo, folder::Folder, kafka_jars, packages, ports::Ports, secrets::Secrets, servers::Starting,
    service::Services, stop::Stop, terminal, workspace::Workspace,
};

/// Runs `cargo test` with `cargo_args`, on the whole workspace unless they choose packages.
///
/// # Errors
/// When servers or build fail; failing tests are the exit code's matter.
pub fn run(workspace: &Workspace, cargo_args: &[String], stop: &Stop) -> anyhow::Result<ExitCode> {
    run_with(workspace, cargo_args, &[], stop)
}

/// The same, with more for the tests to know.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    workspace: &Workspace,
    cargo_args: &[String],
    variables: &[(&str, &OsStr)],
    stop: &Stop,
) -> anyhow::Result<ExitCode> {
    let folder = Folder::lock(&workspace.kept("test-stack"))?;
    folder.wipe()?;
    packages::ensure(packages::BUILDING, stop)?;
    packages::ensure(packages::MYSQL, stop)?;
    packages::ensure(&[packages::REDIS], stop)?;
    packages::ensure(packages::TESTING, stop)?;
    kafka_jars::ensure_programs(workspace, stop)?;

    terminal::heading("Programs");
    // The tests of one package run the programs of others. Programs and tests in one build: apart, they would choose other
    // features, and most of what the workspace borrows would be compiled twice.
    let build = ["build", "--workspace", "--bins", "--tests"];
    cargo::succeed(&mut cargo::cargo(workspace, &build), stop)?;
    // Does nothing unless packages were chosen.
    let compile = ["test", "--no-run", "--quiet"];
    cargo::succeed(
        cargo::cargo(workspace, &compile).args(selection(cargo_args)),
        stop,
    )?;

    terminal::heading("Servers");
    let secrets = Secrets::kept_in(&folder)?;
    let mut services = Services::default();
    let (mysql, kafka) = Starting {
        workspace,
        folder: &folder,
        data: "data",
        secrets: &secrets,
        ports: &mut Ports::new()?,
        stop,
    }
    .for_tests(&mut services)?;

    terminal::heading("Tests");
    let mut tests = cargo::cargo(workspace, &["test"]);
    tests
        .args(selection(cargo_args))
        .env(
            "REDRESS_TEST_MYSQL",
            format!(
                "mysql://{}:{}@{}:{}",
                mysql.user, mysql.password, mysql.host, mysql.port
            ),
        )
        .env("REDRESS_TEST_KAFKA", kafka)
        .envs(variables.iter().copied());
    let status = cargo::status(&mut tests, stop)?;
    services.ensure_running()?;
    drop(services);
    if status.success() {
        folder.wipe()?;
        return Ok(ExitCode::SUCCESS);
    }
    terminal::complain(&format!(
        "tests failed; the servers' logs are in {}",
        folder.join("logs").display()
    ));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn selection(cargo_args: &[String]) -> Vec<String> {
    let own = cargo_args.iter().take_while(|arg| *arg != "--");
    let chooses = own.into_iter().any(|arg| {
        ["-p", "--package", "--workspace", "--all"].contains(&arg.as_str())
            || arg.starts_with("-p")
            || arg.starts_with("--package=")
    });
    let whole = (!chooses).then(|| "--workspace".to_owned());
    whole
        .into_iter()
        .chain(cargo_args.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::selection;

    fn selected(args: &[&str]) -> String {
        selection(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_a_package_is_named() {
        assert_eq!(selected(&[]), "--workspace");
        assert_eq!(
            selected(&["--", "--nocapture"]),
            "--workspace -- --nocapture"
        );
        assert_eq!(
            selected(&["-p", "ordering", "--", "stock"]),
            "-p ordering -- stock"
        );
        assert_eq!(selected(&["--package=ordering"]), "--package=ordering");
        assert_eq!(selected(&["--", "-p"]), "--workspace -- -p");
    }
}
