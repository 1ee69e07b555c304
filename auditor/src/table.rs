//! The report as a person reads it.

use crate::verdict::Report;
use std::fmt::Write;

/// An aligned table: each promise, its checks with their counts, and the first offenders of each.
#[must_use]
pub fn render(report: &Report) -> String {
    let width = report
        .verdicts
        .iter()
        .flat_map(|verdict| &verdict.checks)
        .map(|check| check.title.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    for verdict in &report.verdicts {
        let holds = if verdict.holds { "holds" } else { "VIOLATED" };
        line(format_args!(
            "{} {:<width$}  {:>10}  {holds}",
            verdict.promise,
            verdict.title,
            "checked",
            width = width + 2
        ));
        for check in &verdict.checks {
            let found = match check.violated {
                0 if check.checked == 0 => "nothing to check".to_owned(),
                0 => "ok".to_owned(),
                violated => format!("{violated} violated"),
            };
            line(format_args!(
                "    {:<width$}  {:>10}  {found}",
                check.title, check.checked
            ));
            for offender in &check.offenders {
                line(format_args!("        {offender}"));
            }
        }
    }
    let (orders, topics, journal) = (report.orders, report.topics, report.journal);
    let failures = report.failures;
    line(format_args!(
        "orders: {} confirmed, {} rejected, {} failed, {} given back",
        orders.confirmed, orders.rejected, orders.failed, orders.given_back
    ));
    line(format_args!(
        "failures: {} orders handed on, {} of them healed by a retry; {} archived, {} of them settled since; {} other messages \
         archived",
        failures.handed_on, failures.healed, failures.archived, failures.resolved, failures.strange
    ));
    line(format_args!(
        "alerts: {} delivered, {} not delivered",
        failures.alerts_delivered, failures.alerts_undelivered
    ));
    line(format_args!(
        "topics: {} order messages, {} of them poison; {} to compensate; {} dead letters, {} of them foreign",
        topics.orders,
        topics.poison,
        topics.compensation,
        topics.dead_letters,
        topics.foreign_dead_letters
    ));
    line(format_args!(
        "journal: {} requests, {} answers, {} accepted; {} cut off, {} with a torn last line",
        journal.intents, journal.answers, journal.accepted, journal.cut_off, journal.torn
    ));
    line(format_args!(
        "settled after {:.1} s",
        report.settled_after_s
    ));
    text
}
