//! Operations on all that a filter matches, on a real server: selected piece by piece, begun at a rate and by a ladder, stopped by
//! themselves and by people. What carries an item out is played by the tests: each item ends as they say.

mod acts;
mod ladder;
mod rows;
mod second_person;

use compensation::{
    archive::{
        self,
        listing::{Filter, State as Stands},
    },
    operations::{
        self, Act, Counts, Done, Kind, Made, NewBulk, NotDone, NotTaken, OPEN_AT_MOST, Operation,
        State,
        terms::{Reason, Selected, Terms},
        tick,
    },
};
use sqlx::{AssertSqlSafe, MySqlPool};
use std::time::{Duration, Instant};
use testkit::{eventually, mysql::Schema};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_mins(1);

/// So many rows of the archive, open, a millisecond from one to the next, the last a second ago.
async fn rows(schema: &Schema, from: u32, count: u32) {
    let digits = "(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 \
                  union all select 6 union all select 7 union all select 8 union all select 9)";
    let until = from + count;
    schema
        .execute(&format!(
            "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, attempts, history, \
             storage, payload, headers, held, handled, times_archived, first_failed_at, archived_at)
             select unhex(lpad(hex(n), 32, '0')), unhex(lpad(hex(n), 32, '0')), unhex(lpad(hex(n), 32, 'a')), 0, x'00', x'00', 1, 'decide',
                    'Lock wait timeout', 6, '[]', 'mysql', 'x', '[]', 0, 0, 1, utc_timestamp(3), utc_timestamp(3) - interval 1000000 - n * 10 microsecond
             from (select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + f.d * 10000 + g.d * 100000 as n
                   from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f, {digits} g) numbers
             where n >= {from} and n < {until}"
        ))
        .await;
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

struct Asking {
    id: Uuid,
    kind: Kind,
    selected: Selected,
    reason: &'static str,
    terms: Terms,
    by: &'static str,
    confirm_above: Option<u32>,
}

fn asking(terms: Terms) -> Asking {
    Asking {
        id: Uuid::now_v7(),
        kind: Kind::Discard,
        selected: Selected::default(),
        reason: "the cause is gone",
        terms,
        by: "night",
        confirm_above: None,
    }
}

/// As fast as it may be, without time to undo it.
fn terms(canary: bool, stop_percent: u32) -> Terms {
    Terms::new(500, canary, stop_percent, Duration::ZERO).unwrap()
}

impl Asking {
    async fn ask(&self, db: &MySqlPool) -> Result<Made, NotTaken> {
        let reason = Reason::parse(self.reason).unwrap();
        let new = NewBulk {
            id: self.id,
            kind: self.kind,
            selected: &self.selected,
            reason: &reason,
            terms: self.terms,
            confirm_above: self.confirm_above,
            asked_by: self.by,
        };
        operations::create(&mut db.acquire().await.unwrap(), &new).await
    }
}

async fn ask(schema: &Schema, terms: Terms) -> Uuid {
    let asking = asking(terms);
    assert_eq!(asking.ask(&schema.pool).await.unwrap(), Made::Now);
    asking.id
}

/// One turn, as a compensator takes it; `false`: nothing is due.
async fn turn(db: &MySqlPool) -> bool {
    let mut tx = db.begin().await.unwrap();
    let Some(mut due) = tick::due(&mut tx).await.unwrap() else {
        // What cannot be read was put off.
        tx.commit().await.unwrap();
        return false;
    };
    if due.state == State::Waiting && !due.selected_all {
        tick::select_some(&mut tx, &mut due).await.unwrap();
    } else {
        let _ = tick::add_up(&mut tx, &mut due).await.unwrap();
        tick::judge(&mut due).unwrap();
        tick::begin_some(&mut tx, &mut due).await.unwrap();
    }
    tick::save(&mut tx, &due).await.unwrap();
    tx.commit().await.unwrap();
    true
}

/// Turns until all are selected.
async fn select_all(schema: &Schema, operation: Uuid) {
    while !bulk(schema, operation).await.selected_all {
        assert!(turn(&schema.pool).await);
    }
}

/// Ends up to `limit` items that were begun: the first `failing` of them are refused, the others discarded.
async fn carry_out(schema: &Schema, limit: u32, failing: usize) -> usize {
    let items = operations::claim_requested(&schema.pool, LEASE, limit)
        .await
        .unwrap();
    for (number, item) in items.iter().enumerate() {
        let mut tx = schema.pool.begin().await.unwrap();
        if number < failing {
            let _ = operations::refuse(&mut tx, item, "sold_out").await.unwrap();
        } else {
            let ends = operations::discarded(&mut tx, item).await.unwrap();
            assert!(ends.is_some());
        }
        tx.commit().await.unwrap();
    }
    items.len()
}

async fn found(schema: &Schema, operation: Uuid) -> Operation {
    operations::find(&schema.pool, operation)
        .await
        .unwrap()
        .unwrap()
}

async fn bulk(schema: &Schema, operation: Uuid) -> operations::Bulk {
    found(schema, operation).await.bulk.unwrap()
}

async fn state(schema: &Schema, operation: Uuid) -> State {
    found(schema, operation).await.state
}

/// Takes turns until its counts are so.
async fn until(
    schema: &Schema,
    operation: Uuid,
    what: &str,
    are: impl Fn(&Counts) -> bool,
) -> Counts {
    eventually(what, SOON, || async {
        turn(&schema.pool).await;
        let counts = bulk(schema, operation).await.counts;
        are(&counts).then_some(counts)
    })
    .await
}

async fn until_state(schema: &Schema, operation: Uuid, wanted: State) {
    eventually(&format!("it is {wanted}"), SOON, || async {
        turn(&schema.pool).await;
        (state(schema, operation).await == wanted).then_some(())
    })
    .await;
}

async fn act(schema: &Schema, operation: Uuid, what: Act, by: &str) -> Result<Done, NotDone> {
    let mut tx = schema.pool.begin().await.unwrap();
    let done = operations::act(&mut tx, operation, what, by).await;
    tx.commit().await.unwrap();
    done
}

async fn number(schema: &Schema, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(&schema.pool)
        .await
        .unwrap()
}
