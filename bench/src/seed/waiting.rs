//! Work that waits: due in many years, so that a compensator that runs leaves it alone, but for what was asked to be due.

use super::{
    Causes, ROWS_A_STATEMENT, ROWS_A_TRANSACTION, Wanted,
    archived::{history, order},
    causes::Known,
    marks::Kind,
    random::Random,
    tell,
};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use compensation::{attempt::History, headers::Headers};
use ordering::message::OrderMessage;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};
use std::time::Instant;

/// When what is not due is due.
const YEARS: i64 = 10;

struct Row<'a> {
    message: OrderMessage,
    known: &'a Known,
    error: String,
    state: &'static str,
    history: History,
    due_at: NaiveDateTime,
    published_at: Option<NaiveDateTime>,
    created_at: NaiveDateTime,
}

pub async fn fill(
    db: &MySqlPool,
    wanted: Wanted,
    causes: &Causes,
    now: DateTime<Utc>,
    show: &(impl Fn(&str) + Sync),
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let numbers: Vec<u32> = (0..wanted.waiting).collect();
    for some in numbers.chunks(ROWS_A_TRANSACTION) {
        let rows: Vec<Row<'_>> = some
            .iter()
            .map(|number| Row::of(*number, wanted, causes, now))
            .collect();
        let mut tx = db.begin().await?;
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            insert(&mut tx, rows).await?;
        }
        tx.commit().await?;
        let done = some.last().map_or(0, |last| last + 1);
        tell(show, "waiting", done, wanted.waiting, begun);
    }
    Ok(())
}

async fn insert(db: &mut MySqlConnection, rows: &[Row<'_>]) -> sqlx::Result<()> {
    let mut query = QueryBuilder::<MySql>::new(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id, history, \
         last_error, published_at, created_at) ",
    );
    query.push_values(rows, |mut values, row| {
        let Row { message, .. } = row;
        values
            .push_bind(message.gid.as_uuid())
            .push("'order'")
            .push_bind(message.order_id.as_uuid())
            .push_bind(message.generation)
            .push_bind(message.sale_id.as_uuid())
            .push_bind(message.user_id.as_uuid())
            .push_bind(row.state)
            .push_bind(row.history.tries())
            .push_bind(row.due_at)
            .push_bind(message.gid.as_uuid())
            .push_bind(row.history.to_json())
            .push_bind(&row.error)
            .push_bind(row.published_at)
            .push_bind(row.created_at);
    });
    query.build().execute(&mut *db).await?;
    insert_messages(db, rows).await
}

/// Each under its transaction's id, which bears its mark.
async fn insert_messages(db: &mut MySqlConnection, rows: &[Row<'_>]) -> sqlx::Result<()> {
    let mut query =
        QueryBuilder::<MySql>::new("insert into compensation_messages (id, payload, headers) ");
    query.push_values(
        rows,
        |mut values,
         Row {
             message,
             known,
             error,
             ..
         }| {
            let headers = Headers(vec![
                (
                    "kafka_dlt-exception-message".to_owned(),
                    Some(error.clone().into_bytes()),
                ),
                (
                    "redress-step".to_owned(),
                    Some(known.step.as_bytes().to_vec()),
                ),
            ]);
            values
                .push_bind(message.gid.as_uuid())
                .push_bind(message.to_bytes())
                .push_bind(headers.to_json());
        },
    );
    query.build().execute(db).await.map(drop)
}

impl<'a> Row<'a> {
    fn of(number: u32, wanted: Wanted, causes: &'a Causes, now: DateTime<Utc>) -> Self {
        let mut random = Random::of(wanted.seed, 2, number);
        let known = causes.of_an_order(&mut random);
        let created_at =
            now - TimeDelta::milliseconds(60_000 + i64::from(random.below(864_000_000)));
        let generation = u32::from(random.happens(0.1));
        let is_due = number < wanted.due;
        let state = match random.below(100) {
            _ if is_due => "scheduled",
            0..90 => "scheduled",
            90..98 => "dead",
            98 => "archiving",
            _ => "held",
        };
        let due_at = if is_due {
            now - TimeDelta::milliseconds(i64::from(random.below(3_600_000)))
        } else {
            now + TimeDelta::days(365 * YEARS)
                + TimeDelta::milliseconds(i64::from(random.below(864_000_000)))
        };
        Self {
            message: order(&mut random, Kind::Waiting, number, generation, created_at),
            error: known.text(&mut random),
            history: history(&mut random, known, 0, created_at),
            known,
            state,
            due_at: due_at.naive_utc(),
            published_at: (state != "scheduled").then(|| created_at.naive_utc()),
            created_at: created_at.naive_utc(),
        }
    }
}
