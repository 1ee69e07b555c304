//! One try, as a row and as a line.

use crate::{
    attempt::{Attempt, Lane},
    many,
    queue::short,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{MySqlConnection, MySqlPool};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};
use uuid::Uuid;

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub gid: Uuid,
    pub order_id: Uuid,
    #[serde(flatten)]
    pub attempt: Attempt,
}

impl Line {
    /// With its end.
    pub fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self)
            .unwrap_or_else(|cause| unreachable!("a try is plain data: {cause}"));
        text.push(b'\n');
        text
    }
}

/// Appends under the file's lock, on disk when it returns: lines of several processes do not mix.
pub(super) fn append(file: &Path, text: &[u8]) -> io::Result<()> {
    let file = opened(file)?;
    file.lock()?;
    append_to(file, text)
}

/// The same for who alone writes the file.
pub(super) fn append_alone(file: &Path, text: &[u8]) -> io::Result<()> {
    append_to(opened(file)?, text)
}

fn opened(file: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(file)
}

/// What a full disk took of it is taken back, and a line that a dead process left without its end is ended.
fn append_to(mut file: File, text: &[u8]) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let end: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    let written = file
        .write_all(end)
        .and_then(|()| file.write_all(text))
        .and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(length)?;
    }
    written
}

/// All of them, by one statement.
pub(super) async fn insert(db: &mut MySqlConnection, lines: &[Line]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into compensation_logs
             (gid, order_id, generation, attempt, lane, outcome, error, started_at, duration_ms, next_after_ms, worker)
         select unhex(made.gid), unhex(made.order_id), made.generation, made.attempt, made.lane, made.outcome, made.error,
                made.started_at, made.duration_ms, made.next_after_ms, made.worker
         from json_table(?, '$[*]' columns (
           gid char(32) path '$.gid' error on error, order_id char(32) path '$.order_id' error on error,
           generation bigint path '$.generation' error on error, attempt bigint path '$.attempt' error on error,
           lane longtext character set utf8mb4 path '$.lane' error on error, outcome longtext character set utf8mb4 path '$.outcome' error on error,
           error longtext character set utf8mb4 path '$.error' error on error, started_at varchar(40) path '$.started_at' error on error,
           duration_ms bigint path '$.duration_ms' error on error, next_after_ms bigint path '$.next_after_ms' error on error,
           worker longtext character set utf8mb4 path '$.worker' error on error)) as made",
        many::rows(lines.iter().map(row))
    )
    .execute(db)
    .await
    .map(drop)
}

/// Whether the table has this try.
pub(super) async fn is_there(db: &mut MySqlConnection, line: &Line) -> sqlx::Result<bool> {
    let Attempt {
        attempt,
        generation,
        started_at,
        ..
    } = &line.attempt;
    let rows = sqlx::query_scalar!(
        "select count(*) from compensation_logs where order_id = ? and gid = ? and generation = ? and attempt = ? \
         and started_at = cast(? as datetime(3))",
        line.order_id,
        line.gid,
        generation,
        attempt,
        started_at
    )
    .fetch_one(db)
    .await?;
    Ok(rows > 0)
}

/// The longest last.
#[derive(Serialize)]
struct Row<'a> {
    gid: String,
    order_id: String,
    generation: u32,
    attempt: u32,
    lane: &'static str,
    started_at: String,
    duration_ms: u32,
    next_after_ms: Option<i64>,
    worker: &'a str,
    outcome: &'a str,
    error: Option<String>,
}

fn row(line: &Line) -> Row<'_> {
    let attempt = &line.attempt;
    Row {
        gid: many::id(line.gid),
        order_id: many::id(line.order_id),
        generation: attempt.generation,
        attempt: attempt.attempt,
        lane: attempt.lane.as_str(),
        started_at: attempt
            .started_at
            .format("%Y-%m-%d %H:%M:%S%.6f")
            .to_string(),
        duration_ms: attempt.duration_ms,
        next_after_ms: attempt
            .next_after_ms
            .map(|after| i64::try_from(after).unwrap_or(i64::MAX)),
        worker: &attempt.worker,
        outcome: &attempt.outcome,
        error: attempt.error.as_deref().map(short),
    }
}

/// The lines' texts, each with its end.
pub(super) fn text(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(Line::text).collect()
}

/// Rows whose ids are `from` to `to`, both included, by id.
pub(super) async fn between(
    db: &MySqlPool,
    (from, to): (i64, i64),
    limit: u32,
) -> sqlx::Result<Vec<(i64, Line)>> {
    let rows = sqlx::query!(
        r#"select id, gid as "gid: Uuid", order_id as "order_id: Uuid", generation as "generation: u32", attempt as "attempt: u32", lane,
                  outcome, error, started_at as "started_at: DateTime<Utc>", duration_ms as "duration_ms: u32",
                  next_after_ms as "next_after_ms: u64", worker
           from compensation_logs where id between ? and ? order by id limit ?"#,
        from,
        to,
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let attempt = Attempt {
                generation: row.generation,
                attempt: row.attempt,
                lane: lane(&row.lane)?,
                started_at: row.started_at,
                duration_ms: row.duration_ms,
                worker: row.worker,
                outcome: row.outcome,
                error: row.error,
                next_after_ms: row.next_after_ms,
            };
            let line = Line {
                gid: row.gid,
                order_id: row.order_id,
                attempt,
            };
            Ok((row.id, line))
        })
        .collect()
}

/// The newest row's id; 0 where there is none.
pub(super) async fn newest(db: &MySqlPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "id!: i64" from compensation_logs"#)
        .fetch_one(db)
        .await
}

fn lane(text: &str) -> sqlx::Result<Lane> {
    serde_json::from_value(text.into()).map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_line_without_its_end_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tries.log");
        append_alone(&file, b"{\"one\":1}\n").unwrap();
        append(&file, b"{\"tor").unwrap();
        append_alone(&file, b"{\"two\":2}\n").unwrap();
        append_alone(&file, b"{\"three\":3}\n").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            ["{\"one\":1}", "{\"tor", "{\"two\":2}", "{\"three\":3}"]
        );
    }
}
