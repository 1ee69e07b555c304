//! Rows of the archive, each counted in its group by the transaction that writes it.

use super::{
    Causes, ROWS_A_STATEMENT, ROWS_A_TRANSACTION, Wanted,
    causes::{Known, What},
    marks::{self, Kind},
    random::Random,
    tell,
};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use compensation::{
    archive::transaction::{StuckTransaction, Uncompensated},
    attempt::{Attempt, FAILED, History, Lane},
    fingerprint::VERSION,
    headers::Headers,
};
use identity::UserId;
use ordering::{
    OrderId, Quantity, SaleId,
    message::{self, OrderMessage},
};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};
use std::{collections::BTreeMap, time::Instant};
use uuid::Uuid;

/// Sales they are of, and buyers.
const SALES: u32 = 300;
const USERS: u32 = 400_000;
/// How far back they reach.
const DAYS: i64 = 400;
/// What is younger is open more often than not.
const FRESH_DAYS: i64 = 30;
/// Groups one statement changes: always so many.
const GROUPS: usize = 100;

/// One row, as far as it is not the same in all.
struct Row<'a> {
    id: Uuid,
    order_id: Option<Uuid>,
    gid: Option<Uuid>,
    generation: u32,
    sale_id: Option<Uuid>,
    user_id: Option<Uuid>,
    quantity: Option<u32>,
    known: &'a Known,
    error: String,
    history: History,
    payload: Vec<u8>,
    headers: Headers,
    key: Option<Vec<u8>>,
    held: bool,
    handled: Option<(&'static str, NaiveDateTime)>,
    first_failed_at: NaiveDateTime,
    archived_at: NaiveDateTime,
}

/// What rows change in their group.
struct Change<'a> {
    known: &'a Known,
    open: i64,
    all: i64,
    first_seen: NaiveDateTime,
    last_seen: NaiveDateTime,
    example: Uuid,
}

pub async fn fill(
    db: &MySqlPool,
    wanted: Wanted,
    causes: &Causes,
    now: DateTime<Utc>,
    show: &(impl Fn(&str) + Sync),
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let numbers: Vec<u32> = (0..wanted.archived).collect();
    for some in numbers.chunks(ROWS_A_TRANSACTION) {
        let rows: Vec<Row<'_>> = some
            .iter()
            .map(|number| Row::of(*number, wanted, causes, now))
            .collect();
        let mut tx = db.begin().await?;
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            insert(&mut tx, rows).await?;
        }
        count(&mut tx, &rows).await?;
        tx.commit().await?;
        let done = some.last().map_or(0, |last| last + 1);
        tell(show, "archived", done, wanted.archived, begun);
    }
    Ok(())
}

async fn insert(db: &mut MySqlConnection, rows: &[Row<'_>]) -> sqlx::Result<()> {
    let mut query = QueryBuilder::<MySql>::new(
        "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, error_class, \
         fingerprint, fingerprint_version, counted_in, counted_handled, counted_at, attempts, history, storage, payload, headers, \
         message_key, held, handled, resolution, times_archived, first_failed_at, archived_at, handled_at) ",
    );
    query.push_values(rows, |mut values, row| {
        values
            .push_bind(row.id)
            .push_bind(row.order_id)
            .push_bind(row.gid)
            .push_bind(row.generation)
            .push_bind(row.sale_id)
            .push_bind(row.user_id)
            .push_bind(row.quantity)
            .push_bind(row.known.step)
            .push_bind(&row.error)
            .push_bind(row.known.class.as_deref())
            .push_bind(row.known.fingerprint)
            .push_bind(VERSION)
            .push_bind(row.known.fingerprint)
            .push_bind(row.handled.is_some())
            .push_bind(row.archived_at)
            .push_bind(row.history.tries())
            .push_bind(row.history.to_json())
            .push("'mysql'")
            .push_bind(&row.payload)
            .push_bind(row.headers.to_json())
            .push_bind(row.key.as_deref())
            .push_bind(row.held)
            .push_bind(row.handled.is_some())
            .push_bind(row.handled.map(|(how, _)| how))
            .push_bind(row.generation + 1)
            .push_bind(row.first_failed_at)
            .push_bind(row.archived_at)
            .push_bind(row.handled.map(|(_, at)| at));
    });
    query.build().execute(db).await.map(drop)
}

/// As `compensation::archive::Counting` would, without reading the rows again.
async fn count(db: &mut MySqlConnection, rows: &[Row<'_>]) -> sqlx::Result<()> {
    let mut changes: BTreeMap<u64, Change<'_>> = BTreeMap::new();
    for row in rows {
        let change = changes.entry(row.known.fingerprint).or_insert(Change {
            known: row.known,
            open: 0,
            all: 0,
            first_seen: row.first_failed_at,
            last_seen: row.archived_at,
            example: row.id,
        });
        change.all += 1;
        change.open += i64::from(row.handled.is_none());
        change.first_seen = change.first_seen.min(row.first_failed_at);
        if row.archived_at >= change.last_seen {
            (change.last_seen, change.example) = (row.archived_at, row.id);
        }
    }
    // Locked in the order of their fingerprints, as everyone does.
    let changes: Vec<_> = changes.into_iter().collect();
    for run in changes.chunks(GROUPS) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into failure_groups (fingerprint, version, step, error_code, pattern, open_rows, all_rows, first_seen_at, \
             last_seen_at, example_id) ",
        );
        // Filled up with the last one, which counts once.
        let filled_up = (0..GROUPS).map(|at| (&run[at.min(run.len() - 1)], at < run.len()));
        query.push_values(filled_up, |mut row, ((fingerprint, change), counts)| {
            let cause = &change.known.cause;
            row.push_bind(*fingerprint)
                .push_bind(VERSION)
                .push_bind(&cause.step)
                .push_bind(cause.code.as_deref())
                .push_bind(&cause.pattern)
                .push_bind(if counts { change.open } else { 0 })
                .push_bind(if counts { change.all } else { 0 })
                .push_bind(change.first_seen)
                .push_bind(change.last_seen)
                .push_bind(change.example);
        });
        query.push(
            " on duplicate key update open_rows = open_rows + values(open_rows), all_rows = all_rows + values(all_rows), \
             example_id = if(values(last_seen_at) >= last_seen_at, values(example_id), example_id), \
             first_seen_at = least(first_seen_at, values(first_seen_at)), last_seen_at = greatest(last_seen_at, values(last_seen_at))",
        );
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

impl<'a> Row<'a> {
    fn of(number: u32, wanted: Wanted, causes: &'a Causes, now: DateTime<Utc>) -> Self {
        let mut random = Random::of(wanted.seed, 1, number);
        let known = causes.choose(&mut random);
        let (archived_at, first_failed_at) = times(&mut random, number, wanted.archived, now);
        let handled = handled(&mut random, known.what, archived_at, now);
        let generation = u32::from(random.happens(0.08)) + u32::from(random.happens(0.02));
        let error = known.text(&mut random);
        let history = history(&mut random, known, generation, first_failed_at);
        let plain = Self {
            id: marks::id(Kind::Archived, number, [0; 4]),
            order_id: None,
            gid: None,
            generation: 0,
            sale_id: None,
            user_id: None,
            quantity: None,
            known,
            error,
            history,
            payload: Vec::new(),
            headers: Headers::default(),
            key: None,
            held: false,
            handled,
            first_failed_at: first_failed_at.naive_utc(),
            archived_at: archived_at.naive_utc(),
        };
        match known.what {
            What::Order => plain.of_an_order(&mut random, number, generation, first_failed_at),
            What::Transaction => plain.of_a_transaction(&mut random, number),
            What::Foreign => plain.foreign(&mut random),
        }
    }

    fn of_an_order(
        self,
        random: &mut Random,
        number: u32,
        generation: u32,
        created_at: DateTime<Utc>,
    ) -> Self {
        let message = order(random, Kind::Archived, number, generation, created_at);
        let headers = [
            ("kafka_dlt-exception-message", self.error.as_str()),
            ("kafka_dlt-original-topic", "orders"),
            ("redress-step", self.known.step),
        ];
        let headers = Headers(
            headers
                .map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())))
                .to_vec(),
        );
        let id = message.order_id.as_uuid();
        Self {
            id,
            order_id: Some(id),
            gid: Some(message.gid.as_uuid()),
            generation,
            sale_id: Some(message.sale_id.as_uuid()),
            user_id: Some(message.user_id.as_uuid()),
            quantity: Some(message.quantity.get()),
            payload: message.to_bytes(),
            headers,
            held: self.handled.is_none() && random.happens(0.05),
            ..self
        }
    }

    fn of_a_transaction(self, random: &mut Random, number: u32) -> Self {
        let gid = marks::id(Kind::ArchivedGid, number, [0; 4]);
        let label = sale(random).as_uuid();
        let stuck = StuckTransaction {
            gid,
            kind: "order".to_owned(),
            label,
            state: "stuck_committing".to_owned(),
            direction: "commit".to_owned(),
            epoch: 1,
            reason: None,
            attempts: 20,
            last_error: Some(self.error.clone()),
            uncompensated: vec![Uncompensated {
                participant: "loyalty".to_owned(),
                state: "owed".to_owned(),
                attempts: 20,
                last_error: Some("503".to_owned()),
            }],
        };
        let json = serde_json::to_vec(&stuck).unwrap_or_default();
        Self {
            gid: Some(gid),
            sale_id: Some(label),
            headers: Headers(vec![("transaction".to_owned(), Some(json))]),
            payload: br#"{"units":1}"#.to_vec(),
            ..self
        }
    }

    /// As Spring Kafka leaves it.
    fn foreign(self, random: &mut Random) -> Self {
        let class = self.known.class.clone().unwrap_or_default();
        let trace = format!(
            "{class}: {}\n\tat org.example.Consumer.accept(Consumer.java:88)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)",
            self.error
        );
        let text = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
        let headers = Headers(vec![
            text("kafka_dlt-exception-fqcn", class.as_bytes()),
            text("kafka_dlt-exception-message", self.error.as_bytes()),
            text("kafka_dlt-exception-stacktrace", trace.as_bytes()),
            text("kafka_dlt-original-topic", b"parcels"),
            text("kafka_dlt-original-partition", &3_i32.to_be_bytes()),
            text(
                "kafka_dlt-original-offset",
                &i64::from(random.below(1 << 30)).to_be_bytes(),
            ),
        ]);
        let parcel = random.below(1 << 30);
        Self {
            key: Some(parcel.to_string().into_bytes()),
            payload: format!(
                r#"{{"parcel":{parcel},"weight_g":{},"to":"DE"}}"#,
                random.below(9_000)
            )
            .into_bytes(),
            headers,
            ..self
        }
    }
}

/// A message as the API would have published it.
pub fn order(
    random: &mut Random,
    kind: Kind,
    number: u32,
    generation: u32,
    created_at: DateTime<Utc>,
) -> OrderMessage {
    let sale = sale(random);
    let order_id = OrderId::from_uuid(marks::id(kind, number, sale.tag()));
    let replays = match kind {
        Kind::Waiting => Kind::WaitingGid,
        _ => Kind::ArchivedGid,
    };
    let first = order_id.first_gid();
    let gid = if generation == 0 {
        first
    } else {
        coordinator::Gid::from_uuid(marks::id(replays, number, sale.tag()))
    };
    let units = 1 + random.skewed(5, 3);
    OrderMessage {
        version: message::VERSION,
        order_id,
        gid,
        generation,
        sale_id: sale,
        user_id: UserId::from_uuid(marks::id(Kind::User, random.below(USERS), [0; 4])),
        quantity: Quantity::try_from(units)
            .unwrap_or_else(|_| unreachable!("1 to 5 are quantities")),
        price: 499 + 100 * i64::from(random.below(40)),
        remark: random
            .happens(0.1)
            .then(|| "leave it at the door".to_owned()),
        idempotency: None,
        created_at,
    }
}

fn sale(random: &mut Random) -> SaleId {
    let number = random.skewed(SALES, 2);
    SaleId::from_uuid(marks::id(Kind::Sale, number, (!number).to_be_bytes()))
}

/// When it was given up, and when its first try failed: the higher the number the later, about.
fn times(
    random: &mut Random,
    number: u32,
    of: u32,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let reach = TimeDelta::days(DAYS).num_milliseconds();
    let back = reach - reach * i64::from(number) / i64::from(of.max(1));
    let jitter = i64::from(random.below(6 * 3_600_000));
    let archived_at = now - TimeDelta::milliseconds(back + jitter);
    let tried = TimeDelta::milliseconds(60_000 + i64::from(random.below(3_600_000)));
    (archived_at, archived_at - tried)
}

/// How it ended, and when, if it did.
fn handled(
    random: &mut Random,
    what: What,
    archived_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<(&'static str, NaiveDateTime)> {
    let fresh = now - archived_at < TimeDelta::days(FRESH_DAYS);
    let odds = if fresh { 0.3 } else { 0.7 };
    let how = match what {
        What::Transaction => "completed",
        What::Foreign => "discarded",
        What::Order => random.one_of(&[
            "confirmed",
            "confirmed",
            "confirmed",
            "rejected",
            "discarded",
        ]),
    };
    let took = TimeDelta::minutes(1 + i64::from(random.below(3_000)));
    random
        .happens(odds)
        .then(|| (how, (archived_at + took).min(now).naive_utc()))
}

/// Every try of every generation.
pub fn history(
    random: &mut Random,
    known: &Known,
    generations: u32,
    from: DateTime<Utc>,
) -> History {
    let mut history = History::default();
    let (mut at, tries) = (from, 1 + random.below(4));
    for generation in 0..=generations {
        for attempt in 1..=tries {
            history.push(Attempt {
                generation,
                attempt,
                lane: match attempt {
                    _ if known.what == What::Transaction => Lane::Call,
                    1 if generation == 0 => Lane::First,
                    4.. => Lane::DeadLetter,
                    _ => Lane::Retry,
                },
                started_at: at,
                duration_ms: random.below(5_000),
                worker: "compensator-1".to_owned(),
                outcome: FAILED.to_owned(),
                error: Some(known.text(random)),
                next_after_ms: (attempt < tries).then_some(5_000),
            });
            at += TimeDelta::seconds(5 + i64::from(random.below(60)));
        }
    }
    history
}
