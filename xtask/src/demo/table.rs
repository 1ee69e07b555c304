//! The closing table.

use std::collections::BTreeSet;

use super::{audit::Found, buyers::Sold};
use crate::terminal::{self, count};

const NAME: usize = 32;
const CELL: usize = 14;

/// A sale's name and how it went.
pub type Column<'a> = (&'a str, &'a Sold);

/// Prints how the sales went, beside one another, then the verdicts.
pub fn show(sales: &[Column<'_>], found: &Found) {
    for line in numbers(sales).into_iter().chain(judgement(found)) {
        terminal::line(&line);
    }
}

fn numbers(sales: &[Column<'_>]) -> Vec<String> {
    let reasons: BTreeSet<&String> = sales
        .iter()
        .flat_map(|(_, sold)| sold.rejected.keys())
        .collect();
    let titles = sales.iter().map(|(name, _)| (*name).to_owned());
    let mut lines = vec![String::new(), aligned("", titles)];
    let mut row = |name: &str, cell: &dyn Fn(&Sold) -> String| {
        lines.push(aligned(name, sales.iter().map(|(_, sold)| cell(sold))));
    };
    row("requests", &|sold| count(sold.requests));
    row("HTTP answers", &|sold| count(sold.answers));
    row("asked again (503, in progress)", &|sold| {
        count(sold.retries)
    });
    row("accepted (202)", &|sold| count(sold.accepted));
    for reason in reasons {
        row(&format!("rejected, {reason}"), &|sold| {
            count(sold.rejected.get(reason).copied().unwrap_or(0))
        });
    }
    row("seconds, the outage included", &|sold| {
        format!("{:.1}", sold.duration_s)
    });
    row("final answers/s", &|sold| format!("{:.0}", sold.rate));
    row("accepted/s", &|sold| format!("{:.0}", sold.accepted_rate));
    row("accepted, p50 ms", &|sold| {
        format!("{:.1}", sold.latency_ms.p50)
    });
    row("accepted, p99 ms", &|sold| {
        format!("{:.1}", sold.latency_ms.p99)
    });
    row("accepted, longest ms", &|sold| {
        format!("{:.1}", sold.latency_ms.max)
    });
    lines
}

fn aligned(name: &str, cells: impl Iterator<Item = String>) -> String {
    cells.fold(format!("{name:NAME$}"), |line, cell| {
        format!("{line}{cell:>CELL$}")
    })
}

fn judgement(found: &Found) -> Vec<String> {
    let Found {
        orders, failures, ..
    } = found;
    let mut lines = vec![
        String::new(),
        format!(
            "orders in the database: {} confirmed, {} rejected, {} failed",
            count(orders.confirmed),
            count(orders.rejected),
            count(orders.failed)
        ),
        format!(
            "failed on the way: {}; healed by a retry: {}; archived: {}, settled by a replay: {}",
            count(failures.handed_on),
            count(failures.healed),
            count(failures.archived),
            count(failures.resolved)
        ),
        format!(
            "alerts: {} delivered, {} undelivered",
            count(failures.alerts_delivered),
            count(failures.alerts_undelivered)
        ),
        String::new(),
        format!("{:NAME$}{:>CELL$}   verdict", "promise", "facts checked"),
    ];
    for verdict in &found.verdicts {
        let word = match (verdict.holds, verdict.checked) {
            (true, 0) => "nothing to look at yet",
            (true, _) => "holds",
            (false, _) => "BROKEN",
        };
        let name = format!("{} {}", verdict.promise, verdict.title);
        lines.push(format!(
            "{name:NAME$}{:>CELL$}   {word}",
            count(verdict.checked)
        ));
        lines.extend(
            verdict
                .violations
                .iter()
                .map(|violation| format!("    {violation}")),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_nothing_was_looked_at_for_is_not_said_to_hold() {
        let found = r#"{"verdicts":[
            {"promise":1,"title":"Never oversold","holds":true,"checked":12,"violations":[]},
            {"promise":2,"title":"Settled","holds":false,"checked":2,"violations":["order x"]},
            {"promise":4,"title":"No silent failure","holds":true,"checked":0,"violations":[]}],
            "orders":{"confirmed":1,"rejected":0,"failed":0},
            "failures":{"handed_on":5,"healed":3,"archived":2,"resolved":1,"alerts_delivered":4,"alerts_undelivered":0}}"#;
        let lines = judgement(&serde_json::from_str(found).unwrap()).join("\n");
        for part in [
            "12   holds",
            "2   BROKEN",
            "order x",
            "0   nothing to look at yet",
            "healed by a retry: 3; archived: 2, settled by a replay: 1",
        ] {
            assert!(lines.contains(part), "{part} in\n{lines}");
        }
    }
}
