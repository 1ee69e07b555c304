//! Scenarios in which every step fails once: the list of steps is made by undisturbed runs, so that a step that is new is tried
//! without anyone remembering.
//!
//! A scenario knows how to play itself from a fresh beginning to its end and what must hold then; a failing assertion is a failing
//! case. Where chance decides how much is asked at once, the list holds what a few runs had in common, and what a try does not meet is
//! tried again. The first time of each request must be met. A repetition may be in every recording and in no later run, where the
//! recordings found a server still cold (a client that had to join its group once more): it is told, not failed. Cases run beside each other, each on a stage of its own: most of their time is waiting.
//!
//! `REDRESS_STEP` chooses cases: those whose name, as a failure tells it, contains it.

use crate::tap::{Fault, Step, Steps};
use std::{
    collections::VecDeque,
    fmt::{self, Display, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::task::JoinSet;

/// Runs whose steps are compared.
const RECORDINGS: usize = 5;
/// How often a step is tried until it is met.
const TRIES: usize = 8;

/// What is played.
pub trait Scenario: Copy + Display + Send + Sync + 'static {
    /// Where it is played: servers that are used again by the next case, unless one failed on them.
    type Stage: Send + 'static;

    /// How many steps it surely has. Fewer, and the list would not be believed.
    fn at_least(self) -> usize;

    /// What can go wrong with a step.
    fn faults_of(step: &Step) -> &'static [Fault];

    /// A new stage.
    fn open() -> impl Future<Output = Self::Stage> + Send;

    /// Plays it, and looks whether the end is legal. The process whose steps fail goes through taps with `steps`, and has them count
    /// with these faults.
    fn play(
        self,
        stage: &mut Self::Stage,
        steps: &Steps,
        faults: Vec<(Step, Fault)>,
    ) -> impl Future<Output = ()> + Send;
}

/// A scenario in which one step goes wrong one way, or none does.
#[derive(Clone)]
struct Case<S> {
    scenario: S,
    fault: Option<(Step, Fault)>,
}

impl<S: Display> Display for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Some((step, fault)) => write!(f, "{} / {step} / {fault}", self.scenario),
            None => write!(f, "{} / undisturbed", self.scenario),
        }
    }
}

/// Stages that nobody plays on.
struct Stages<S: Scenario>(Mutex<Vec<S::Stage>>);

/// Records each scenario, then tries each of its steps with each of its faults, on so many stages at once. Panics with all that did
/// not end legally.
pub async fn each_fails_once<S: Scenario>(scenarios: &[S], stages: usize) {
    let began = Instant::now();
    let chosen = std::env::var("REDRESS_STEP").unwrap_or_default();
    // Where a case is named whole, the others' scenarios need not be played.
    let is_chosen = |scenario: &&S| {
        let name = chosen.split_once(" / ").map(|(name, _)| name);
        name.is_none_or(|name| scenario.to_string().ends_with(name))
    };
    let scenarios: Vec<S> = scenarios.iter().filter(is_chosen).copied().collect();
    let free = Arc::new(Stages(Mutex::new(Vec::new())));
    let undisturbed = scenarios.iter().flat_map(|&scenario| {
        std::iter::repeat_n(
            Case {
                scenario,
                fault: None,
            },
            RECORDINGS,
        )
    });
    let recordings = all(&free, undisturbed.collect(), stages).await;
    let mut cases = VecDeque::new();
    for scenario in scenarios {
        let of_this = recordings.iter();
        let of_this = of_this.filter(|(case, _)| case.scenario.to_string() == scenario.to_string());
        let steps = in_all(of_this.map(|(case, played)| match played {
            Ok(steps) => steps.seen(),
            Err(cause) => panic!("{case}: {cause}"),
        }));
        eprintln!("{scenario}: {} steps{}", steps.len(), listed(&steps));
        let wanted = scenario.at_least();
        assert!(steps.len() >= wanted, "{scenario}: these cannot be all");
        let of_step = |step: Step| {
            let faults = S::faults_of(&step).iter();
            faults.map(move |&fault| Case {
                scenario,
                fault: Some((step.clone(), fault)),
            })
        };
        cases.extend(steps.into_iter().flat_map(of_step));
    }
    cases.retain(|case| case.to_string().contains(&chosen));
    eprintln!("{} cases, recorded in {:?}", cases.len(), began.elapsed());
    let tried = all(&free, cases, stages).await;
    eprintln!("all tried after {:?}", began.elapsed());
    let failures = tried
        .iter()
        .filter_map(|(case, played)| Some((case, played.as_ref().err()?)));
    let told = failures.fold(String::new(), |mut told, (case, cause)| {
        let _ = writeln!(told, "REDRESS_STEP='{case}': {cause}");
        told
    });
    assert!(told.is_empty(), "the end was not legal:\n{told}");
}

/// The steps of the first that all others have, too.
fn in_all(mut recordings: impl Iterator<Item = Vec<Step>>) -> Vec<Step> {
    let mut steps = recordings.next().unwrap_or_default();
    for others in recordings {
        steps.retain(|step| others.contains(step));
    }
    steps
}

type Played<S> = (Case<S>, Result<Steps, String>);

async fn all<S: Scenario>(
    free: &Arc<Stages<S>>,
    cases: VecDeque<Case<S>>,
    stages: usize,
) -> Vec<Played<S>> {
    let cases = Arc::new(Mutex::new(cases));
    let mut players = JoinSet::new();
    for _ in 0..stages {
        let (free, cases) = (Arc::clone(free), Arc::clone(&cases));
        players.spawn(async move {
            let mut played = Vec::new();
            loop {
                let next = locked(&cases).pop_front();
                let Some(case) = next else { return played };
                let result = until_met(&free, &case).await;
                played.push((case, result));
            }
        });
    }
    players.join_all().await.into_iter().flatten().collect()
}

/// Until the step is met. If it is a request's first, it must be, in the end.
async fn until_met<S: Scenario>(free: &Arc<Stages<S>>, case: &Case<S>) -> Result<Steps, String> {
    let mut steps = once(free, case).await?;
    let Some((step, _)) = &case.fault else {
        return Ok(steps);
    };
    for _ in 1..TRIES {
        if steps.met().contains(step) {
            break;
        }
        steps = once(free, case).await?;
    }
    if !steps.met().contains(step) {
        let told = format!("the step was not met in {TRIES} runs");
        if step.time == 1 {
            return Err(told);
        }
        eprintln!("{case}: {told}");
    }
    Ok(steps)
}

/// A stage on which a case failed is not used again: something may be left on it.
async fn once<S: Scenario>(free: &Arc<Stages<S>>, case: &Case<S>) -> Result<Steps, String> {
    let (free, Case { scenario, fault }) = (Arc::clone(free), case.clone());
    let steps = Steps::default();
    let counted = steps.clone();
    let playing = tokio::spawn(async move {
        let taken = locked(&free.0).pop();
        let mut stage = match taken {
            Some(stage) => stage,
            None => S::open().await,
        };
        let faults = Vec::from_iter(fault);
        scenario.play(&mut stage, &counted, faults).await;
        locked(&free.0).push(stage);
    });
    match playing.await {
        Ok(()) => Ok(steps),
        Err(ended) => Err(said(ended)),
    }
}

fn said(ended: tokio::task::JoinError) -> String {
    let Ok(panic) = ended.try_into_panic() else {
        return "it was cancelled".to_owned();
    };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

fn listed(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut list, step| {
        let _ = write!(list, "\n  {step}");
        list
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
