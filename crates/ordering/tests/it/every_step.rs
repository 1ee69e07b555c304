//! Every step of a decision fails once, on real servers: nothing is lost, nothing doubled, nobody told what is not stored.
//!
//! A step is anything the process asks of MySQL, Redis or a participant outside, down to the single statement: all its ways lead
//! through taps, which write down what passes. The list of steps is thus made by an undisturbed run, so that a step that is new is
//! tried without anyone remembering. Each is then tried on a sale of its own: it is not sent; it is carried out and its reply is lost;
//! the process dies when it was sent, or once it was answered. Callers repeat as order-consumer does (the same message, to the same
//! engine or to another process's), or nobody does until the product has found what was left. Recovery alone must then reach a legal
//! end: see [`end`].
//!
//! A step's name is all that groups: the second statement of a name is another step than the first. Where participants outside are
//! asked for several orders at once, chance decides how many are written down together: there the list holds what all of a few runs
//! had in common, and what a try does not meet is tried again.
//!
//! `REDRESS_STEP` chooses cases: those whose name, as a failure tells it, contains it.
//!
//! Seen to fail, each with one rule taken out:
//! - a COMMIT without a reply told as committed: `one order / MySQL: commit / not sent`, an order that nobody wrote;
//! - a row of another's token ruled on again: `one order / MySQL: commit / dead once sent`, its units are held for good;
//! - no answer of Redis to a completion taken for done: `one order / Redis: confirm / not sent`, the same;
//! - `confirm.lua` without its look at what was confirmed: `one order / Redis: confirm / reply lost`, 4 units sold for 2;
//! - a lost answer of a participant outside taken for done: `one order, outside / coupons: try / not sent`, it is never finished, and
//!   `… confirm / not sent`, no coupon used;
//! - recovery that overlooks what is prepared: `one order, outside / MySQL: commit (2) / dead once done`, undecided for good;
//! - already where nothing else goes wrong: only who surely promised told of an end (`given up`), and a reservation that Redis lost
//!   not settled (`batch`).
//!
//! It leaves out messages, which are order-consumer's and the compensator's, replies that arrive in part, servers that hang, and a
//! second fault in what a first one made necessary, but for the reading back of a COMMIT and recovery. Its other half, at random and
//! thousands of schedules long, is the coordinator's simulation.

mod case;
mod end;
mod process;
mod scenario;
mod stage;

use case::Case;
use futures::{FutureExt as _, future::join_all};
use scenario::Scenario;
use stage::Stage;
use std::{any::Any, collections::VecDeque, fmt::Write as _, panic::AssertUnwindSafe, sync::Mutex};
use testkit::tap::{Fault, Step};

/// Cases beside each other: while one waits for a disk another goes on.
const STAGES: usize = 4;
/// Runs whose steps are compared, where chance has a part in them.
const RECORDINGS: usize = 4;
/// How often a step is tried until it is met.
const TRIES: usize = 8;

/// See the module's documentation.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_fails_the_end_is_legal_and_as_told() {
    let chosen = std::env::var("REDRESS_STEP").unwrap_or_default();
    let stage = Stage::open().await;
    let mut cases = VecDeque::new();
    // Where a case is named whole, the others' scenarios need not be played.
    let is_chosen = |scenario: &Scenario| {
        let name = chosen.split_once(" / ").map(|(name, _)| name);
        name.is_none_or(|name| scenario.name.ends_with(name))
    };
    for scenario in Scenario::ALL.into_iter().filter(is_chosen) {
        let steps = recorded(&stage, &scenario).await;
        let tried = steps.iter().flat_map(|step| {
            Fault::ALL.map(|fault| Case::new(scenario.clone(), step.clone(), fault))
        });
        cases.extend(tried.filter(|case| case.to_string().contains(&chosen)));
    }
    eprintln!("{} cases", cases.len());
    let failures = all_tried(stage, cases).await;
    if let Some((case, _)) = failures.first() {
        let failures = failures.iter().fold(String::new(), |mut list, failure| {
            let _ = writeln!(list, "{}: {}", failure.0, failure.1);
            list
        });
        panic!("the end was not legal; the first alone: REDRESS_STEP='{case}'\n{failures}");
    }
}

/// The steps of an undisturbed run, which must end as the scenario says.
async fn recorded(stage: &Stage, scenario: &Scenario) -> Vec<Step> {
    let mut steps = case::undisturbed(stage, scenario).await;
    if scenario.is_varied {
        for _ in 1..RECORDINGS {
            let others = case::undisturbed(stage, scenario).await;
            steps.retain(|step| others.contains(step));
        }
    }
    eprintln!("{}: {} steps{}", scenario.name, steps.len(), listed(&steps));
    assert!(
        steps.len() >= scenario.at_least,
        "{}: these cannot be all steps:{}",
        scenario.name,
        listed(&steps)
    );
    steps
}

/// Tries all of them on a few stages. Gives those that failed, and what was wrong.
async fn all_tried(stage: Stage, cases: VecDeque<Case>) -> Vec<(Case, String)> {
    let (cases, failures) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || cases.lock().unwrap().pop_front();
    let mut first = Some(stage);
    let stages = (0..STAGES).map(|_| first.take());
    join_all(stages.map(async |mut stage| {
        while let Some(case) = next() {
            let on = match stage.take() {
                Some(stage) => stage,
                None => Stage::open().await,
            };
            match AssertUnwindSafe(tried(&on, &case)).catch_unwind().await {
                Ok(()) => stage = Some(on),
                // It may have left something behind: the next one has a stage of its own.
                Err(panic) => failures.lock().unwrap().push((case, said(&*panic))),
            }
        }
    }))
    .await;
    failures.into_inner().unwrap()
}

/// Until the step is met: it must be, in the end.
async fn tried(stage: &Stage, case: &Case) {
    for _ in 0..TRIES {
        if case.run(stage).await {
            return;
        }
    }
    panic!("the step was not met in {TRIES} runs");
}

fn listed(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut list, step| {
        let _ = write!(list, "\n  {step}");
        list
    })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}
