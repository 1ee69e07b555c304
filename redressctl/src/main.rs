//! `redressctl`: what a person does with Redress from a terminal.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is for whoever asked for it"
)]

use clap::{Parser, Subcommand};
use redressctl::{alerts, audit};
use std::process::ExitCode;

/// Works with Redress from a terminal.
///
/// Ends with 0 when all is well, with 1 when it is not, and with 2 when it could not begin.
#[derive(Parser)]
#[command(name = "redressctl")]
struct Options {
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// Alerts and who receives them
    #[command(subcommand)]
    Alerts(Alerts),
    /// Who did what
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Subcommand)]
enum Alerts {
    /// Try out a receiver of alerts before it is put into the settings
    ///
    /// A webhook is sent eleven requests that say that they are tests, right and wrong ones: it must take the right and refuse the wrong.
    /// Any other kind is sent a few messages that say that they are tests, after --yes: plain, long, with marks and Chinese, several at
    /// once, with a wrong secret, and what else its kind knows (the same again, its end, many in one).
    Verify(Box<alerts::verify::Verify>),
}

#[derive(Subcommand)]
enum Audit {
    /// Check that no line of the audit was altered, taken out, put elsewhere or cut off
    ///
    /// Computes the hash of each line anew and names the first link that does not hold. The admin writes down that the audit was taken
    /// away; a file that was exported before is checked without it.
    Verify(audit::verify::Verify),
}

#[tokio::main]
async fn main() -> ExitCode {
    let came = match Options::parse().noun {
        Noun::Alerts(Alerts::Verify(asked)) => alerts::verify::verify(&asked).await,
        Noun::Audit(Audit::Verify(asked)) => audit::verify::verify(&asked).await,
    };
    match came {
        Ok(report) => {
            print!("{}", report.text);
            ExitCode::from(u8::from(!report.holds))
        }
        Err(error) => {
            eprintln!("redressctl: {error:#}");
            ExitCode::from(2)
        }
    }
}
