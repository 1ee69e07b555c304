//! A sale in which some orders fail on purpose: fewer times than they are tried, and heal; or as often as they are tried, and are
//! given up, told of, and replayed by an operator, but for one that is left to whoever watches. The compensator is killed meanwhile.
//!
//! What is seen is what anybody sees: the sale's stock, the alerts that arrive, the operators' API.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use super::{
    breakage::{Breakage, Victim},
    buyers::{Crowd, Sold},
    receiver::{Arrived, Receiver},
};
use crate::{
    http::Server, processes, stack::Stack, stop::Stop, terminal::Step, workspace::Workspace,
};

/// Their orders fail, and are confirmed by a retry.
const HEALS: Broken = Broken {
    remark: "demo-heals",
    orders: 3,
    tries: 2,
};
/// Their orders fail as often as they are tried: once by order-consumer, three times as a retry, twice as a dead letter. A replay is the
/// seventh try.
const BREAKS: Broken = Broken {
    remark: "demo-breaks",
    orders: 3,
    tries: 6,
};
/// How many of those are replayed.
const REPLAYED: u64 = 2;
/// As many units as buyers.
const UNITS: u64 = 40;
/// Longest wait for what has to happen next: what a killed process had in its hands is left alone for half a minute.
const WITHIN: Duration = Duration::from_mins(2);

/// Orders that are to fail.
struct Broken {
    remark: &'static str,
    orders: u64,
    /// How often.
    tries: u32,
}

/// What the fault switch is to break.
pub fn faults() -> Vec<String> {
    [HEALS, BREAKS]
        .iter()
        .map(|broken| format!("decide:remark={}:{}", broken.remark, broken.tries))
        .collect()
}

/// Who comes to the sale.
pub fn crowd(seed: u64) -> Crowd {
    Crowd {
        name: "C",
        units: UNITS,
        buyers: UNITS,
        remarks: [HEALS, BREAKS]
            .map(|broken| (broken.remark, broken.orders))
            .into(),
        seed,
    }
}

/// How the act is announced.
pub fn heading() -> String {
    format!(
        "Act 4. Sale C: {UNITS} buyers want {UNITS} units; {} orders fail on purpose, {} of them as often as they are tried;\n       the compensator is killed",
        HEALS.orders + BREAKS.orders,
        BREAKS.orders
    )
}

/// Sells, watches the failing orders to their ends, and replays those that were given up.
///
/// # Errors
/// When something does not happen in time, a server or process ends, or a signal asks to stop.
pub fn play(
    workspace: &Workspace,
    stack: &mut Stack,
    crowd: Crowd,
    receiver: &Receiver,
    stop: &Stop,
) -> anyhow::Result<Sold> {
    let mut sale = crowd.arrive(workspace, stack)?;
    while !sale.is_over(stop)? {
        stack.ensure_running()?;
    }
    let sold = sale.result()?;
    let given_up = sold
        .remarked
        .get(BREAKS.remark)
        .cloned()
        .unwrap_or_default();
    let mut scene = Scene {
        shop: Server::at(&stack.endpoints.api),
        stack,
        stop,
        receiver,
        sale: &sold.sale_id,
        alerts_shown: 0,
    };
    scene.heal()?;
    Breakage::of(Victim::process(processes::COMPENSATOR)).finish(scene.stack, stop)?;
    scene.give_up(&given_up)?;
    scene.replay(&given_up)?;
    Ok(sold)
}

/// The sale after everybody has ordered.
struct Scene<'a> {
    stack: &'a mut Stack,
    stop: &'a Stop,
    receiver: &'a Receiver,
    shop: Server,
    sale: &'a str,
    alerts_shown: usize,
}

/// The sale's units, as everybody may see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Levels {
    available: u64,
    held: u64,
    sold: u64,
}

impl std::fmt::Display for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            available,
            held,
            sold,
        } = self;
        write!(f, "{available} available, {held} held, {sold} sold")
    }
}

impl Scene<'_> {
    fn heal(&mut self) -> anyhow::Result<()> {
        let step = Step::begin("retries");
        let levels = self.until(&step, |levels, _| levels.sold >= UNITS - BREAKS.orders)?;
        step.done(&format!(
            "{} orders that failed {} times are confirmed: {levels}",
            HEALS.orders, HEALS.tries
        ));
        Ok(())
    }

    fn give_up(&mut self, given_up: &[String]) -> anyhow::Result<()> {
        let step = Step::begin("archive");
        let wanted = Levels {
            available: BREAKS.orders,
            held: 0,
            sold: UNITS - BREAKS.orders,
        };
        self.until(&step, |levels, _| *levels == wanted)?;
        step.done(&format!(
            "{} orders are given up after {} tries, and their units can be bought again: {wanted}",
            BREAKS.orders, BREAKS.tries
        ));
        let step = Step::begin("alerts");
        self.until(&step, |_, arrived| {
            // They failed for one cause: one incident, whose first notice is about one of them.
            arrived
                .iter()
                .any(|alert| alert.kind == "redress.archived" && given_up.contains(&alert.subject))
        })?;
        step.done(&format!(
            "{} arrived, every signature is right",
            self.alerts_shown
        ));
        Ok(())
    }

    fn replay(&mut self, given_up: &[String]) -> anyhow::Result<()> {
        let step = Step::begin("replay");
        let endpoints = &self.stack.endpoints;
        let admin = Server::at(&endpoints.admin)
            .logged_in(&endpoints.admin_user, &endpoints.admin_password)
            .context("logging in as an operator")?;
        for order in given_up.iter().take(REPLAYED.try_into()?) {
            let path = format!("/reprocess_order/{order}");
            admin.post(&path, &json!({}))?;
            step.note(&format!("POST {path}"));
        }
        let left = BREAKS.orders - REPLAYED;
        let levels = self.until(&step, |levels, _| levels.sold == UNITS - left)?;
        step.note(&format!(
            "{left} is left to you: {}/archives",
            self.stack.endpoints.admin
        ));
        step.done(&format!(
            "{REPLAYED} orders are confirmed at their {}th try: {levels}",
            BREAKS.tries + 1
        ));
        Ok(())
    }

    /// Waits until it is so, and says meanwhile where the units are and which alerts arrive.
    fn until(
        &mut self,
        step: &Step,
        is_so: impl Fn(&Levels, &[Arrived]) -> bool,
    ) -> anyhow::Result<Levels> {
        let give_up = Instant::now() + WITHIN;
        loop {
            self.stop.pause()?;
            self.stack.ensure_running()?;
            let arrived = self.receiver.arrived();
            for alert in &arrived[self.alerts_shown..] {
                step.note(&format!("alert: [{}] {}", alert.severity, alert.title));
            }
            self.alerts_shown = arrived.len();
            // A sale may be fenced for a moment.
            let levels = self.levels();
            if let Ok(levels) = &levels {
                step.progress(&levels.to_string());
                if is_so(levels, &arrived) {
                    return Ok(*levels);
                }
            }
            if Instant::now() > give_up {
                let seen = levels?;
                bail!(
                    "after {} s sale C has {seen}, and {} alerts arrived",
                    WITHIN.as_secs(),
                    arrived.len()
                );
            }
        }
    }

    fn levels(&self) -> anyhow::Result<Levels> {
        let stock = self
            .shop
            .get(&format!("/api/v1/sales/{}/stock", self.sale))?;
        serde_json::from_value(stock).context("the stock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_heals_fails_less_often_than_it_is_tried_and_one_that_breaks_at_every_try() {
        assert_eq!(
            faults(),
            ["decide:remark=demo-heals:2", "decide:remark=demo-breaks:6"]
        );
    }
}
