//! The programs building and the servers need: found where the system keeps programs, installed through the package manager
//! where they are missing and that is allowed, named in one line where it is not.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use nix::unistd::geteuid;

use crate::{stop::Stop, terminal::Step};

/// A program, what it is for, and the Debian packages that bring it, the first one known to the system's lists is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    pub program: &'static str,
    pub purpose: &'static str,
    packages: &'static [&'static str],
}

const fn need(
    program: &'static str,
    purpose: &'static str,
    packages: &'static [&'static str],
) -> Need {
    Need {
        program,
        purpose,
        packages,
    }
}

const CC: Need = need("cc", "building", &["gcc"]);
const CXX: Need = need("c++", "building librdkafka", &["g++"]);
const MAKE: Need = need("make", "building librdkafka", &["make"]);
pub const MARIADBD: Need = need(
    "mariadbd",
    "the database",
    &["mariadb-server-core", "mariadb-server"],
);
pub const MARIADB_INSTALL_DB: Need = need(
    "mariadb-install-db",
    "the database's first start",
    &["mariadb-server-core", "mariadb-server"],
);
const MY_PRINT_DEFAULTS: Need = need(
    "my_print_defaults",
    "the database's first start",
    &["mariadb-client-core", "mariadb-client"],
);
/// What the tests need besides what runs.
pub const TESTING: &[Need] = &[
    need("postgres", "tests of the archive", &["postgresql"]),
    need("initdb", "tests of the archive", &["postgresql"]),
    need(
        "openssl",
        "tests of alerts: a server nobody vouches for",
        &["openssl"],
    ),
];
/// What looks at the pages.
pub const BROWSER: Need = need(
    "chromium",
    "looking at the pages",
    &["chromium", "chromium-browser"],
);
pub const REDIS: Need = need("redis-server", "reservations and locks", &["redis-server"]);
pub const JAVA: Need = need(
    "java",
    "the Kafka broker",
    &["openjdk-17-jre-headless", "openjdk-21-jre-headless"],
);
pub const MAVEN: Need = need("mvn", "getting the Kafka broker", &["maven"]);

/// What building the workspace needs besides Rust itself.
pub const BUILDING: &[Need] = &[CC, CXX, MAKE];
/// What a MariaDB of our own needs.
pub const MYSQL: &[Need] = &[MARIADBD, MARIADB_INSTALL_DB, MY_PRINT_DEFAULTS];
/// Everything.
pub const ALL: &[Need] = &[
    CC,
    CXX,
    MAKE,
    MARIADBD,
    MARIADB_INSTALL_DB,
    MY_PRINT_DEFAULTS,
    REDIS,
    JAVA,
    MAVEN,
];

/// Where Debian and others put servers that are not in everyone's path.
const ALSO_IN: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec"];

/// The path of an installed program.
///
/// # Errors
/// When it is missing, in one line with what to install.
pub fn find(need: Need) -> anyhow::Result<PathBuf> {
    look_for(need.program).with_context(|| missing_line(&[need]))
}

/// Installs what of `needs` is missing.
///
/// # Errors
/// When something is missing and cannot be installed, in one line with what to do.
pub fn ensure(needs: &[Need], stop: &Stop) -> anyhow::Result<()> {
    let missing: Vec<Need> = needs
        .iter()
        .copied()
        .filter(|need| look_for(need.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = Step::begin("Installing");
    let Some(apt) = Apt::allowed() else {
        bail!("{}", missing_line(&missing))
    };
    // Stale or empty lists are common on fresh machines; a failing update does not matter if the packages are still found.
    apt.run(&["update"])?;
    stop.check()?;
    let packages = packages_for(&missing, Apt::knows);
    let arguments: Vec<&str> = ["install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(packages.iter().copied())
        .collect();
    let installed = apt.run(&arguments)?;
    stop.check()?;
    let still: Vec<Need> = missing
        .into_iter()
        .filter(|need| look_for(need.program).is_none())
        .collect();
    if !still.is_empty() {
        bail!(
            "apt-get did not install it: {} ({installed})",
            missing_line(&still)
        );
    }
    shown.done(&packages.join(" "));
    Ok(())
}

fn look_for(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ALSO_IN.into_iter().map(PathBuf::from))
        .chain(versions_of_postgres())
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

/// Debian keeps the programs of each version apart; the newest comes first.
fn versions_of_postgres() -> Vec<PathBuf> {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<_> = found
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort_unstable_by(|one, other| other.cmp(one));
    folders
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn missing_line(missing: &[Need]) -> String {
    let what: Vec<String> = missing
        .iter()
        .map(|need| format!("{} (for {})", need.program, need.purpose))
        .collect();
    let packages = packages_for(missing, |_| true);
    format!(
        "missing: {}; install the packages {} (names as on Debian)",
        what.join(", "),
        packages.join(" ")
    )
}

fn packages_for(needs: &[Need], known: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for need in needs {
        let package = need
            .packages
            .iter()
            .find(|package| known(package))
            .unwrap_or(&need.packages[0]);
        if !packages.contains(package) {
            packages.push(package);
        }
    }
    packages
}

/// The system's package manager, if we may use it.
struct Apt {
    as_root: &'static [&'static str],
}

impl Apt {
    fn allowed() -> Option<Self> {
        look_for("apt-get")?;
        if geteuid().is_root() {
            return Some(Self { as_root: &["env"] });
        }
        let sudo = Command::new(look_for("sudo")?)
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        sudo.is_ok_and(|status| status.success()).then_some(Self {
            as_root: &["sudo", "-n", "env"],
        })
    }

    /// Runs to its end even when a signal comes: half an installation helps nobody. Gives the last line it said when it failed.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(self.as_root[0])
            .args(&self.as_root[1..])
            .args([
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "-q",
                "-o",
                "DPkg::Lock::Timeout=300",
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .context("cannot run apt-get")?;
        let said = String::from_utf8_lossy(&output.stderr);
        Ok(if output.status.success() {
            "it reported success".to_owned()
        } else {
            said.lines().last().unwrap_or_default().to_owned()
        })
    }

    fn knows(package: &str) -> bool {
        Command::new("apt-cache")
            .args(["--quiet", "--no-all-versions", "show", package])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_brings_two_programs_is_asked_for_once() {
        assert_eq!(
            packages_for(MYSQL, |_| true),
            ["mariadb-server-core", "mariadb-client-core"]
        );
    }

    #[test]
    fn the_next_package_is_taken_where_the_first_is_unknown() {
        assert_eq!(
            packages_for(&[JAVA], |package| package.contains("21")),
            ["openjdk-21-jre-headless"]
        );
        assert_eq!(
            packages_for(&[JAVA], |_| false),
            ["openjdk-17-jre-headless"]
        );
    }

    #[test]
    fn a_missing_program_is_one_line_with_what_and_how() {
        let error = find(need("no-such-program", "this test", &["no-such-package"])).unwrap_err();
        assert_eq!(
            format!("{error}"),
            "missing: no-such-program (for this test); install the packages no-such-package (names as on Debian)"
        );
    }
}
