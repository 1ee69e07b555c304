//! One case: a scenario in which one step goes wrong one way.

use super::{
    end,
    process::{self, Ended, Told},
    scenario::{Ask, First, Scenario},
    stage::Stage,
};
use futures::future::join_all;
use ordering::OrderOutcome;
use std::fmt;
use testkit::tap::{Fault, Step, Steps};

/// See the module's documentation.
pub struct Case {
    scenario: Scenario,
    step: Step,
    fault: Fault,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenario,
            step,
            fault,
        } = self;
        write!(f, "{} / {step} / {fault}", scenario.name)
    }
}

/// A run where nothing goes wrong but what the scenario says: its steps, and it must end as the scenario says.
pub async fn undisturbed(stage: &Stage, scenario: &Scenario) -> Vec<Step> {
    let (sale, asks) = scenario.set(stage).await;
    let run = Run::of(stage, scenario, &asks, None).await;
    let mut told = run.told;
    if run.is_owing {
        told.extend(asked_again(stage, scenario, &asks).await);
    }
    told.sort_unstable_by_key(|(number, _)| *number);
    let ends: Vec<&str> = told.iter().map(|(_, outcome)| word(outcome)).collect();
    assert_eq!(ends, scenario.ends, "{}: undisturbed", scenario.name);
    stage.recover().await;
    end::is_legal(stage, scenario, sale, &asks, &told).await;
    run.steps
}

impl Case {
    pub fn new(scenario: Scenario, step: Step, fault: Fault) -> Self {
        Self {
            scenario,
            step,
            fault,
        }
    }

    /// Tells whether the step was met. Whether it was or not, the end must be legal.
    pub async fn run(&self, stage: &Stage) -> bool {
        let Self {
            scenario,
            step,
            fault,
        } = self;
        let (sale, asks) = scenario.set(stage).await;
        let run = Run::of(stage, scenario, &asks, Some((step.clone(), *fault))).await;
        let mut told = run.told;
        // Whom the dead one owed an answer asks again at once, or only after all that was left has been found without him.
        let is_late = *fault == Fault::DeadOnceDone;
        if run.is_owing && !is_late {
            told.extend(asked_again(stage, scenario, &asks).await);
        }
        stage.recover().await;
        if run.is_owing && is_late {
            told.extend(asked_again(stage, scenario, &asks).await);
            stage.recover().await;
        }
        end::is_legal(stage, scenario, sale, &asks, &told).await;
        told.extend(asked_again(stage, scenario, &asks).await);
        end::is_legal(stage, scenario, sale, &asks, &told).await;
        run.met.contains(step)
    }
}

/// The life of the process whose steps fail, and of the one before it where it is recovery.
struct Run {
    told: Vec<Told>,
    /// Whether somebody may have no answer.
    is_owing: bool,
    /// Those that may fail.
    steps: Vec<Step>,
    met: Vec<Step>,
}

impl Run {
    async fn of(
        stage: &Stage,
        scenario: &Scenario,
        asks: &[Ask],
        fault: Option<(Step, Fault)>,
    ) -> Self {
        let before = scenario.first.map(First::step);
        let is_recovery = matches!(scenario.first, Some(First::DeadOnceDecided { .. }));
        let (mut faults, of_recovery) = if is_recovery {
            (Vec::new(), Vec::from_iter(fault))
        } else {
            (Vec::from_iter(fault), Vec::new())
        };
        faults.extend(before.clone());
        let steps = Steps::default();
        let (ended, told) =
            process::of_an_engine(stage, scenario, &steps, faults, asks.to_vec()).await;
        let (mut met, mut seen) = (steps.met(), steps.seen());
        if let Some((before, _)) = before {
            assert!(met.contains(&before), "{before} went wrong first");
            let at = seen.iter().position(|step| *step == before);
            seen.drain(..=at.unwrap_or_default());
        }
        if is_recovery {
            let steps = Steps::default();
            process::of_recovery(stage, scenario, &steps, of_recovery).await;
            (met, seen) = (steps.met(), steps.seen());
        }
        let is_owing = ended == Ended::Died;
        Self {
            told,
            is_owing,
            steps: seen,
            met,
        }
    }
}

/// The same asks once more, to another process.
async fn asked_again(stage: &Stage, scenario: &Scenario, asks: &[Ask]) -> Vec<Told> {
    let db = &stage.shop.schema.pool;
    let told = asks.iter().enumerate().map(async |(number, ask)| {
        let outcome = process::until_told(ask, stage.engine(scenario), db).await;
        (number, outcome)
    });
    join_all(told).await
}

fn word(outcome: &OrderOutcome) -> &str {
    match outcome {
        OrderOutcome::Confirmed => "confirmed",
        OrderOutcome::Failed => "failed",
        OrderOutcome::Superseded => "superseded",
        OrderOutcome::Rejected { reason } => reason,
    }
}
