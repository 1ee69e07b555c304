//! How a process ends: with one line that says why, when it does not end well.

use std::process::ExitCode;

/// The exit code of a process that ended so. What went wrong is told on standard error in one line, with its causes, and never
/// with a backtrace: the log may not have begun, and whoever reads it wants to know what to do.
#[must_use]
pub fn code(process: &str, ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            tell(&format!("{process}: {}", one_line(&cause)));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the log may not have begun")]
fn tell(line: &str) {
    eprintln!("{line}");
}

/// The causes one after another, without those whose text another holds already.
fn one_line(cause: &anyhow::Error) -> String {
    let mut line = String::new();
    for text in cause.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_on_one_line() {
        let cause = anyhow::anyhow!("the port is taken")
            .context("settings: the port is taken")
            .context("no\nstart");
        assert_eq!(one_line(&cause), "no start: settings: the port is taken");
    }
}
