//! A theatre sells seats: the seats are rows beside the log, the cloakroom and the bar are told of each visitor.

use coordinator::{
    Answer, Ballot, Completion, Direction, Engine, ForeignParticipants, Gid, Label, LastResource,
    Limits, Pace, Participant, Participants, Recovered, Recovery, RetryPolicy, Ruling, Sessions,
    Transaction, Verdict, Vote, Work,
};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::MySqlConnection;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use testkit::mysql::Schema;
use uuid::Uuid;

/// One seat for one visitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Visit {
    pub visitor: u32,
    /// Foreign participants.
    pub foreign: Vec<String>,
    /// Who asked for it, and why.
    pub trace: Option<String>,
}

/// What the cloakroom and the bar need.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    pub visitor: u32,
}

impl Work for Visit {
    type Branch = Place;

    fn kind(&self) -> &'static str {
        "visit"
    }

    fn branch(&self) -> Place {
        Place {
            visitor: self.visitor,
        }
    }

    fn foreign(&self) -> Vec<String> {
        self.foreign.clone()
    }

    fn traceparent(&self) -> Option<&str> {
        self.trace.as_deref()
    }
}

/// What a participant does with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Works,
    IsAway,
    Fails,
    Panics,
    /// Works, after so long.
    Slow(Duration),
}

/// A participant that keeps what it was told.
pub struct Desk {
    name: &'static str,
    mood: Mutex<Mood>,
    asked: Mutex<HashSet<Gid>>,
    /// How often it was slow.
    slow: Mutex<usize>,
    told: Mutex<HashMap<Gid, Vec<Direction>>>,
}

impl Desk {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            mood: Mutex::new(Mood::Works),
            asked: Mutex::default(),
            slow: Mutex::default(),
            told: Mutex::default(),
        })
    }

    pub fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Waits until it has begun to be slow.
    pub async fn was_slow(&self) {
        testkit::eventually("it is slow", Duration::from_mins(1), async || {
            (*self.slow.lock().unwrap() > 0).then_some(())
        })
        .await;
    }

    fn was_asked_of(&self, gid: Gid) -> bool {
        self.asked.lock().unwrap().contains(&gid)
    }

    /// What it was told of a transaction, every time.
    pub fn told(&self, gid: Gid) -> Vec<Direction> {
        let told = self.told.lock().unwrap();
        told.get(&gid).cloned().unwrap_or_default()
    }

    /// How often it was told anything.
    pub fn calls(&self) -> usize {
        self.told.lock().unwrap().values().map(Vec::len).sum()
    }
}

impl Participant<Visit> for Desk {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare<'a>(&'a self, batch: &'a [Transaction<Visit>]) -> BoxFuture<'a, Vec<Vote>> {
        Box::pin(async move { vec![Vote::Yes; batch.len()] })
    }

    fn complete<'a>(&'a self, batch: &'a [Completion<Place>]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            let mood = *self.mood.lock().unwrap();
            let gids = batch.iter().map(|branch| branch.gid);
            self.asked.lock().unwrap().extend(gids);
            if let Mood::Slow(by) = mood {
                *self.slow.lock().unwrap() += 1;
                tokio::time::sleep(by).await;
            }
            let answer = match mood {
                Mood::Works | Mood::Slow(_) => Answer::Done,
                Mood::IsAway => Answer::NotYet("closed".to_owned()),
                Mood::Fails => Answer::Failed("no hooks left".to_owned()),
                Mood::Panics => panic!("the {} panics", self.name),
            };
            if matches!(mood, Mood::Works | Mood::Slow(_)) {
                let mut told = self.told.lock().unwrap();
                for branch in batch {
                    told.entry(branch.gid).or_default().push(branch.direction);
                }
            }
            vec![answer; batch.len()]
        })
    }
}

/// The seats: one row a play.
struct Seats;

impl LastResource<Visit> for Seats {
    fn rule<'a>(
        &'a self,
        db: &'a mut MySqlConnection,
        ballots: &'a [Ballot<Visit>],
    ) -> BoxFuture<'a, Result<Vec<Ruling>, sqlx::Error>> {
        Box::pin(async move {
            let mut rulings = Vec::new();
            for ballot in ballots {
                // Visitor 13 makes people panic.
                assert_ne!(ballot.transaction.work.visitor, 13);
                if let Some(reason) = &ballot.refused {
                    let verdict = Verdict::Refused(reason.clone());
                    rulings.push(Ruling { verdict, epoch: 1 });
                    continue;
                }
                let taken = sqlx::query("update seats set unsold = unsold - 1 where unsold > 0")
                    .execute(&mut *db)
                    .await?;
                let verdict = if taken.rows_affected() == 1 {
                    Verdict::Granted
                } else {
                    Verdict::Refused("full".to_owned())
                };
                rulings.push(Ruling { verdict, epoch: 1 });
            }
            Ok(rulings)
        })
    }
}

fn desks(cloakroom: &Arc<Desk>, bar: &Arc<Desk>) -> Vec<Arc<dyn Participant<Visit>>> {
    vec![cloakroom.clone(), bar.clone()]
}

fn engine(
    schema: &Schema,
    desks: Vec<Arc<dyn Participant<Visit>>>,
    foreign: &ForeignParticipants,
) -> Engine<Visit> {
    let limits = Limits {
        batch_size: 50,
        ..Limits::default()
    };
    let sessions = Sessions::new(service_kit::mysql::options(&schema.settings));
    let participants = Participants::from(desks).and_foreign(foreign.clone());
    Engine::start(limits, sessions, participants, Arc::new(Seats))
}

pub struct Theatre {
    pub schema: Schema,
    pub cloakroom: Arc<Desk>,
    pub bar: Arc<Desk>,
    foreign: ForeignParticipants,
    engine: Engine<Visit>,
}

/// A row of the log.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Logged {
    pub state: String,
    pub attempts: i32,
    pub last_error: Option<String>,
    /// Milliseconds until recovery looks at it.
    pub due_in_ms: i64,
}

impl Theatre {
    pub async fn with_seats(seats: u32) -> Self {
        Self::with(seats, ForeignParticipants::default()).await
    }

    /// One with foreign participants.
    pub async fn with(seats: u32, foreign: ForeignParticipants) -> Self {
        let schema = testkit::mysql::schema().await;
        schema
            .execute("create table seats (unsold int not null)")
            .await;
        schema
            .execute(&format!("insert into seats values ({seats})"))
            .await;
        let (cloakroom, bar) = (Desk::new("cloakroom"), Desk::new("bar"));
        let engine = engine(&schema, desks(&cloakroom, &bar), &foreign);
        Self {
            schema,
            cloakroom,
            bar,
            foreign,
            engine,
        }
    }

    /// Another process's engine.
    pub fn another_engine(&self) -> Engine<Visit> {
        let desks = desks(&self.cloakroom, &self.bar);
        engine(&self.schema, desks, &self.foreign)
    }

    /// A visit in which these have a part.
    pub fn visit_with(visitor: u32, foreign: &[&str]) -> Transaction<Visit> {
        let mut visit = Self::visit(visitor);
        visit.work.foreign = foreign.iter().map(ToString::to_string).collect();
        visit
    }

    /// A visit that has its own gid.
    pub fn visit(visitor: u32) -> Transaction<Visit> {
        Transaction {
            gid: Gid::from_uuid(Uuid::now_v7()),
            label: Label::from_uuid(Uuid::from_u128(u128::from(visitor % 2))),
            work: Visit {
                visitor,
                foreign: Vec::new(),
                trace: None,
            },
        }
    }

    pub fn engine(&self) -> &Engine<Visit> {
        &self.engine
    }

    /// Decides a visit, one way or the other, and waits until the engine has asked everybody.
    pub async fn decided(&self, visitor: u32) -> Gid {
        let visit = Self::visit(visitor);
        let gid = visit.gid;
        self.engine.submit(visit).await.unwrap();
        testkit::eventually(
            "the engine asks everybody",
            Duration::from_mins(1),
            || async {
                (self.cloakroom.was_asked_of(gid) && self.bar.was_asked_of(gid)).then_some(())
            },
        )
        .await;
        gid
    }

    /// A recovery that gives up after three failed attempts.
    pub fn recovery(&self) -> Recovery<Visit> {
        let retry = RetryPolicy {
            max_attempts: 3,
            first_wait: Duration::from_secs(10),
            backoff_factor: 3.0,
            max_wait: Duration::from_secs(20),
            jitter: 0.2,
        };
        let pace = Pace {
            retry,
            ..Pace::default()
        };
        Recovery::new(
            self.schema.pool.clone(),
            Participants::from(desks(&self.cloakroom, &self.bar)).and_foreign(self.foreign.clone()),
            pace,
        )
    }

    /// The time of everything unfinished comes.
    pub async fn all_is_due(&self) {
        self.schema
            .execute("update transactions set due_at = utc_timestamp(3) where state in ('committing', 'rolling_back')")
            .await;
    }

    /// Makes everything unfinished due, and lets recovery look at these many. It leaves out what another scan holds at that moment,
    /// so it looks until it has seen them all.
    pub async fn recovered(&self, number: usize) -> Recovered {
        self.all_is_due().await;
        let (recovery, mut all) = (self.recovery(), Recovered::default());
        for _ in 0..100 {
            all = all + recovery.run_batch().await.unwrap();
            if all.finished + all.waiting + all.stuck == number {
                return all;
            }
        }
        panic!("recovery saw only {all:?} of {number}");
    }

    pub async fn logged(&self, gid: Gid) -> Logged {
        sqlx::query_as(
            "select state, attempts, last_error,
                    cast(timestampdiff(microsecond, utc_timestamp(3), due_at) div 1000 as signed) as due_in_ms
             from transactions where gid = ?",
        )
        .bind(gid)
        .fetch_one(&self.schema.pool)
        .await
        .unwrap()
    }

    pub async fn count(&self, state: &str) -> i64 {
        sqlx::query_scalar("select count(*) from transactions where state = ?")
            .bind(state)
            .fetch_one(&self.schema.pool)
            .await
            .unwrap()
    }

    /// Puts `number` decided transactions into the log, as a process leaves them that dies.
    pub async fn left_behind(&self, number: u32, state: &str) {
        self.schema
            .execute(&format!(
                "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at)
                 select unhex(lpad(hex(seq), 32, '0')), 'visit', unhex(repeat('0', 32)), '{state}', unhex(repeat('0', 32)), 1,
                        '{{\"visitor\":1}}', 0, utc_timestamp(3) - interval seq second, utc_timestamp(3) - interval 2 minute
                 from seq_1_to_{number}"
            ))
            .await;
    }
}
