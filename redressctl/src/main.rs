//! `redressctl`: what a person does with Redress from a terminal.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is for whoever asked for it"
)]

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use redressctl::{Report, alerts, audit, groups, operations, orders, policy, transactions};
use std::process::ExitCode;

/// Works with Redress from a terminal.
///
/// It asks the admin (--admin, or the variable `REDRESSCTL_ADMIN`) in the name of the token in the variable `REDRESSCTL_TOKEN`: what the
/// pages allow and refuse, it allows and refuses. Ends with 0 when all is well, with 1 when it is not, and with 2 when it could not begin
/// or was refused.
#[derive(Parser)]
#[command(name = "redressctl", version)]
struct Options {
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// Dead letters by cause
    Groups(groups::Groups),
    /// Dead letters
    List(orders::List),
    /// One dead letter, with everything that happened to it
    Show(orders::Show),
    /// Try dead letters again: single ones, or all that a filter matches
    Replay(Box<orders::Replay>),
    /// Give dead letters up for good
    Discard(Box<orders::Discard>),
    /// Replays and discards of many
    Operations(operations::Operations),
    /// What the coordinator has in hand
    Transactions(transactions::Transactions),
    /// How failed work is tried again
    Policy(policy::Policy),
    /// Alerts and who receives them
    #[command(subcommand)]
    Alerts(Alerts),
    /// Who did what
    #[command(subcommand)]
    Audit(Audit),
    /// What a shell needs to complete these words, such as `/etc/bash_completion.d/redressctl`
    Completion {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum Alerts {
    /// Alerts by channel
    List(alerts::listing::List),
    /// A notice with every try
    Show(alerts::listing::Notice),
    /// Send a notice once more
    Redeliver(alerts::listing::Redelivery),
    /// What stands, or stood
    Incidents(alerts::listing::Incidents),
    /// Say that you look after an incident
    Acknowledge(alerts::listing::Acknowledging),
    /// How the channels are
    Channels(alerts::listing::Channels),
    /// Send a test alert to a channel
    Test(alerts::listing::Channel),
    /// Try out a receiver of alerts before it is put into the settings
    ///
    /// A webhook is sent eleven requests that say that they are tests, right and wrong ones: it must take the right and refuse the wrong.
    /// Any other kind is sent a few messages that say that they are tests, after --yes: plain, long, with marks and Chinese, several at
    /// once, with a wrong secret, and what else its kind knows (the same again, its end, many in one).
    Verify(Box<alerts::verify::Verify>),
}

#[derive(Subcommand)]
enum Audit {
    /// Its lines
    List(Box<audit::listing::List>),
    /// Check that no line of the audit was altered, taken out, put elsewhere or cut off
    ///
    /// Computes the hash of each line anew and names the first link that does not hold. The admin writes down that the audit was taken
    /// away; a file that was exported before is checked without it.
    Verify(audit::verify::Verify),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse().noun).await {
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

async fn run(noun: Noun) -> anyhow::Result<Report> {
    match noun {
        Noun::Groups(asked) => groups::list(&asked).await,
        Noun::List(asked) => orders::list(&asked).await,
        Noun::Show(asked) => orders::show(&asked).await,
        Noun::Replay(asked) => orders::replay(&asked).await,
        Noun::Discard(asked) => orders::discard(&asked).await,
        Noun::Operations(asked) => operations::operations(&asked).await,
        Noun::Transactions(asked) => transactions::transactions(&asked).await,
        Noun::Policy(asked) => policy::policy(&asked).await,
        Noun::Alerts(Alerts::List(asked)) => alerts::listing::list(&asked).await,
        Noun::Alerts(Alerts::Show(asked)) => alerts::listing::show(&asked).await,
        Noun::Alerts(Alerts::Redeliver(asked)) => alerts::listing::redeliver(&asked).await,
        Noun::Alerts(Alerts::Incidents(asked)) => alerts::listing::incidents(&asked).await,
        Noun::Alerts(Alerts::Acknowledge(asked)) => alerts::listing::acknowledge(&asked).await,
        Noun::Alerts(Alerts::Channels(asked)) => alerts::listing::channels(&asked).await,
        Noun::Alerts(Alerts::Test(asked)) => alerts::listing::test(&asked).await,
        Noun::Alerts(Alerts::Verify(asked)) => alerts::verify::verify(&asked).await,
        Noun::Audit(Audit::List(asked)) => audit::listing::list(&asked).await,
        Noun::Audit(Audit::Verify(asked)) => audit::verify::verify(&asked).await,
        Noun::Completion { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), "redressctl", &mut text);
            Ok(Report {
                holds: true,
                text: String::from_utf8(text)?,
            })
        }
    }
}
