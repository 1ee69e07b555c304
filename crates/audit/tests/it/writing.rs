//! Lines by many writers at once, lines from before the chain, and what was done to lines behind its back.

use audit::{
    Entry, Outcome,
    check::{Broken, Check, Whole},
    listing::{Filter, newest, oldest},
    record, record_all,
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlPool;
use testkit::mysql::{Schema, schema};
use uuid::Uuid;

fn entry(subject: &str) -> Entry<'_> {
    Entry {
        operator: "ann",
        role: "admin",
        act: "order.replay",
        subject,
        outcome: Outcome::Done,
        detail: "",
        address: "::1",
        operation: None,
    }
}

/// Writes as many lines, a transaction each.
async fn write(db: &MySqlPool, count: u32) {
    for number in 0..count {
        let mut tx = db.begin().await.unwrap();
        record(&mut tx, entry(&number.to_string())).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn checked(db: &MySqlPool) -> Result<Whole, Broken> {
    let head = audit::head::head(db).await.unwrap();
    let mut check = Check::new(None);
    let mut after = 0;
    loop {
        let lines = oldest(db, &Filter::default(), after, i64::MAX, 100)
            .await
            .unwrap();
        let Some(last) = lines.last() else { break };
        after = last.id;
        for line in &lines {
            check.line(line)?;
        }
    }
    check.end(Some(head))
}

async fn number(schema: &Schema, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&schema.pool)
        .await
        .unwrap()
}

/// Eight at once, each in transactions that write one line or some, and give some of them up: one chain, without a fork or a gap, and
/// nobody is chosen to break a deadlock.
///
/// Caught: the head read without a lock (a line's number is taken twice), and the number taken from the table's counter (a gap where a
/// transaction was given up).
#[tokio::test]
async fn many_writers_make_one_chain() {
    let schema = schema().await;
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let db = schema.pool.clone();
            tokio::spawn(async move {
                let mut written = 0;
                for round in 0..100_u64 {
                    let dice =
                        (seed ^ (writer << 32 | round)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
                    let subject = format!("{writer}.{round}");
                    let mut tx = db.begin().await.unwrap();
                    let entries = vec![entry(&subject); if dice < 8 { 1 } else { 3 }];
                    record_all(&mut tx, &entries).await.unwrap();
                    if dice == 0 {
                        tx.rollback().await.unwrap();
                    } else {
                        tx.commit().await.unwrap();
                        written += entries.len() as u64;
                    }
                }
                written
            })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    let whole = checked(&schema.pool).await.expect("one chain");
    assert_eq!(whole.lines, written);
    assert_eq!(whole.head.id.unsigned_abs(), written, "no gap");
    let back = number(
        &schema,
        "select count(*) from audit_log a join audit_log b on b.id = a.id + 1 where b.at < a.at",
    )
    .await;
    assert_eq!(back, 0, "no line is older than the one before it");
}

/// The migration chains what was written before there was a chain, in SQL: the same bytes as ours.
///
/// Meant to catch lines in another order, and a form that differs in a byte.
#[tokio::test]
async fn what_was_written_before_there_was_a_chain_is_its_beginning() {
    let schema = schema().await;
    let step = include_str!("../../../../migrations/sql/0036_audit_whole.sql");
    let unchained =
        "alter table audit_log modify prev binary(32) null, modify hash binary(32) null";
    schema.execute(unchained).await;
    for id in (1..=1_200).step_by(2) {
        schema
            .execute(&format!(
                "insert into audit_log (id, at, operator, role, act, subject, outcome, detail, address) \
                 values ({id}, '2026-07-03 10:00:00.5', 'ann', 'admin', 'act', 'é😀', 'done', '\\0a''\r\n', '::1')"
            ))
            .await;
    }
    schema.execute(step).await;
    let whole = checked(&schema.pool).await.expect("one chain");
    assert_eq!((whole.lines, whole.head.id), (600, 1_199));
    write(&schema.pool, 3).await;
    let whole = checked(&schema.pool).await.expect("one chain");
    assert_eq!((whole.lines, whole.head.id), (603, 1_202));
    // Where there is a chain already it stays, and what an older build wrote beside it is named.
    schema.execute(unchained).await;
    schema
        .execute(
            "insert into audit_log (at, operator, role, act, subject, outcome, detail, address) \
             values (utc_timestamp(3), 'ann', 'admin', 'act', '', 'done', '', '')",
        )
        .await;
    schema.execute(step).await;
    assert_eq!(
        checked(&schema.pool).await,
        Err(Broken::Content { id: 1_203 })
    );
}

/// Whatever a text holds, what is read is what was hashed.
///
/// Caught: a text hashed before it is cut.
#[tokio::test]
async fn texts_are_hashed_as_they_are_read_back() {
    let schema = schema().await;
    let long = "é😀".repeat(2_000);
    let hostile = "a\0b\r\n\u{202e}\\'\"=1+1   ";
    let texts = [long.as_str(), hostile, "", " ", "\u{feff}x"];
    let mut tx = schema.pool.begin().await.unwrap();
    let entries: Vec<_> = texts
        .iter()
        .map(|text| Entry {
            operator: text,
            role: text,
            act: text,
            subject: text,
            detail: text,
            address: text,
            operation: Some(Uuid::now_v7()),
            outcome: Outcome::Denied,
        })
        .collect();
    record_all(&mut tx, &entries).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(checked(&schema.pool).await.map(|it| it.lines), Ok(5));
}

/// Caught: each of the checks left out.
#[tokio::test]
async fn what_is_done_behind_its_back_is_named() {
    let schema = schema().await;
    let swap = "update audit_log set id = -1 where id = 5; update audit_log set id = 5 where id = 6; \
                update audit_log set id = 6 where id = -1";
    for (statement, broken) in [
        (
            "update audit_log set outcome = 'refused' where id = 5",
            Broken::Content { id: 5 },
        ),
        (
            "update audit_log set at = at + interval 1 second where id = 5",
            Broken::Content { id: 5 },
        ),
        (
            "delete from audit_log where id = 5",
            Broken::Gap { id: 6, last: 4 },
        ),
        (swap, Broken::Moved { id: 5, was: 6 }),
        (
            "delete from audit_log where id > 7",
            Broken::CutOff { last: 7, head: 9 },
        ),
        ("delete from audit_log", Broken::CutOff { last: 0, head: 9 }),
        (
            "update audit_head set hash = repeat('x', 32)",
            Broken::WrongHead { last: 9 },
        ),
        (
            "insert into audit_log (at, operator, role, act, subject, outcome, detail, address, prev, hash) \
             values (utc_timestamp(3), 'ann', 'admin', 'act', '', 'done', '', '', repeat('x', 32), repeat('x', 32))",
            Broken::Content { id: 10 },
        ),
    ] {
        schema.execute("truncate audit_log").await;
        schema
            .execute("update audit_head set last_id = 0, hash = repeat(char(0), 32)")
            .await;
        write(&schema.pool, 9).await;
        assert!(checked(&schema.pool).await.is_ok());
        schema.execute(statement).await;
        assert_eq!(checked(&schema.pool).await, Err(broken), "{statement}");
    }
    // What was put in by hand keeps nobody from acting.
    write(&schema.pool, 1).await;
    assert_eq!(checked(&schema.pool).await, Err(Broken::Content { id: 10 }));
}

/// Numbers of what is found, newest first; oldest first it is the same.
async fn found(db: &MySqlPool, filter: &Filter) -> Vec<i64> {
    let lines = newest(db, filter, None, 10).await.unwrap();
    let ids: Vec<_> = lines.iter().map(|line| line.id).collect();
    let forward = oldest(db, filter, 0, 4, 10).await.unwrap();
    let forward = forward.iter().map(|line| line.id);
    assert!(forward.eq(ids.iter().rev().copied()), "{filter:?}");
    ids
}

async fn four_lines(operation: Uuid) -> Schema {
    let schema = schema().await;
    let mut tx = schema.pool.begin().await.unwrap();
    let other = Entry {
        operator: "bob",
        act: "session.open",
        outcome: Outcome::Denied,
        operation: Some(operation),
        ..entry("x")
    };
    record_all(&mut tx, &[entry("x"), other, entry("y"), other])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    schema
}

#[tokio::test]
async fn a_filter_finds_what_it_names_page_by_page() {
    let operation = Uuid::now_v7();
    let schema = four_lines(operation).await;
    let filter = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let of_operation = Filter {
        operation: Some(operation),
        ..Filter::default()
    };
    for (filter, expected) in [
        (Filter::default(), vec![4, 3, 2, 1]),
        (
            filter(|it| it.operator = Some("bob".to_owned())),
            vec![4, 2],
        ),
        (
            filter(|it| it.act = Some("order.replay".to_owned())),
            vec![3, 1],
        ),
        (filter(|it| it.outcome = Some(Outcome::Denied)), vec![4, 2]),
        (of_operation, vec![4, 2]),
        (Filter::of_subject(&"y"), vec![3]),
        (filter(|it| it.operator = Some("eve".to_owned())), vec![]),
    ] {
        assert_eq!(found(&schema.pool, &filter).await, expected, "{filter:?}");
    }
    let page = newest(&schema.pool, &Filter::default(), Some(3), 1).await;
    let ids: Vec<_> = page.unwrap().iter().map(|line| line.id).collect();
    assert_eq!(ids, [2]);
}

/// Caught: a bound that takes its own time on the wrong side.
#[tokio::test]
async fn a_time_is_a_place_in_the_list() {
    let schema = four_lines(Uuid::now_v7()).await;
    schema
        .execute("update audit_log set at = '2026-07-03 10:00:00.001' where id <= 2")
        .await;
    let at: DateTime<Utc> = "2026-07-03T10:00:00.001Z".parse().unwrap();
    let later = at + TimeDelta::milliseconds(1);
    let far = Utc::now() + TimeDelta::hours(1);
    for (from, to, expected) in [
        (None, Some(at), vec![]),
        (None, Some(later), vec![2, 1]),
        (Some(at), None, vec![4, 3, 2, 1]),
        (Some(later), None, vec![4, 3]),
        (Some(at), Some(later), vec![2, 1]),
        (Some(far), None, vec![]),
    ] {
        let filter = Filter {
            from,
            to,
            ..Filter::default()
        };
        assert_eq!(found(&schema.pool, &filter).await, expected, "{filter:?}");
    }
}
