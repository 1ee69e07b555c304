//! Groups: what was given up for the same cause, counted as it comes and goes.

use chrono::Utc;
use compensation::{
    archive::{
        self, ArchivedOrder, Counting, Envelope, Kept, Subject, ToArchive, forget,
        groups::{self, Group, Paging, Shown, Sort},
        listing::{self, Filter},
    },
    attempt::History,
    fingerprint::{Cause, VERSION},
    headers::Headers,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::MySqlPool;
use std::{collections::BTreeMap, time::Instant};
use testkit::mysql::Schema;
use uuid::Uuid;

fn failed(id: Uuid, error: &str) -> ToArchive {
    ToArchive {
        id,
        subject: Subject::Order(ArchivedOrder {
            gid: id,
            generation: 0,
            sale_id: Uuid::now_v7(),
            user_id: Uuid::now_v7(),
            quantity: 1,
        }),
        step: "decide",
        error: error.to_owned(),
        history: History::default(),
        payload: b"message".to_vec(),
        headers: Headers::default(),
        envelope: Envelope::default(),
        held: false,
        first_failed_at: Utc::now(),
    }
}

async fn put(db: &MySqlPool, id: Uuid, error: &str) -> sqlx::Result<()> {
    let what = failed(id, error);
    let kept = Kept::in_row(&what);
    let mut db = db.acquire().await?;
    archive::put(&mut db, &what, &kept).await
}

async fn resolve(db: &MySqlPool, id: Uuid) -> sqlx::Result<()> {
    let mut db = db.acquire().await?;
    archive::resolve(&mut db, id, "confirmed", &History::default()).await
}

/// Until nothing is left to be counted.
async fn counted(db: &MySqlPool) -> sqlx::Result<()> {
    let counting = Counting::new(db.clone());
    while counting.run_batch().await? > 0 {}
    Ok(())
}

async fn all(db: &MySqlPool) -> Vec<Group> {
    let paging = Paging {
        after: None,
        limit: 10_000,
    };
    groups::page(db, Shown::All, Sort::Open, paging)
        .await
        .unwrap()
}

/// Pattern, open rows, all rows, in the order of the patterns.
async fn counts(db: &MySqlPool) -> Vec<(String, u64, u64)> {
    counted(db).await.unwrap();
    assert_eq!(groups::uncounted(db).await.unwrap(), 0);
    let groups = all(db).await.into_iter();
    let mut counts: Vec<_> = groups
        .map(|group| (group.cause.pattern, group.open, group.total))
        .collect();
    counts.sort_unstable();
    counts
}

/// What the rows themselves say, however long it takes.
async fn really(db: &MySqlPool) -> BTreeMap<u64, (i64, i64)> {
    let rows: Vec<(u64, i64, i64)> = sqlx::query_as(
        "select fingerprint, cast(sum(handled = 0) as signed), count(*) from failed_order_archives group by fingerprint",
    )
    .fetch_all(db)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(fingerprint, open, rows)| (fingerprint, (open, rows)))
        .collect()
}

async fn stored(db: &MySqlPool) -> BTreeMap<u64, (i64, i64)> {
    let rows: Vec<(u64, i64, i64)> = sqlx::query_as(
        "select fingerprint, open_rows, all_rows from failure_groups where all_rows <> 0 or open_rows <> 0",
    )
    .fetch_all(db)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(fingerprint, open, rows)| (fingerprint, (open, rows)))
        .collect()
}

/// Breaks when a row that moves to another group is not taken out of the one it was counted in.
#[tokio::test]
async fn a_row_is_counted_in_the_group_of_its_latest_cause_open_until_it_is_handled() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let [one, two, three] = [(); 3].map(|()| Uuid::now_v7());
    put(db, one, "no answer within 5000 ms").await.unwrap();
    put(db, two, "no answer within 7 ms").await.unwrap();
    put(db, three, "sold to 'ada'").await.unwrap();
    let slow = "no answer within <number> ms".to_owned();
    let sold = "sold to <text>".to_owned();
    assert_eq!(
        counts(db).await,
        [(slow.clone(), 2, 2), (sold.clone(), 1, 1)]
    );
    let row = archive::find(db, one).await.unwrap().unwrap();
    assert_eq!(row.fingerprint, Some(row.cause().fingerprint()));
    assert_eq!(row.fingerprint_version, VERSION);
    let group = groups::find(db, row.cause().fingerprint()).await.unwrap();
    let group = group.unwrap();
    assert_eq!(group.cause, row.cause());
    assert!([one, two].contains(&group.example_id));

    resolve(db, one).await.unwrap();
    assert_eq!(
        counts(db).await,
        [(slow.clone(), 1, 2), (sold.clone(), 1, 1)]
    );
    // Archived again, for another cause: open, and elsewhere.
    put(db, one, "sold to 'bob'").await.unwrap();
    assert_eq!(
        counts(db).await,
        [(slow.clone(), 1, 1), (sold.clone(), 2, 2)]
    );
    let seen = groups::find(db, Cause::of("decide", None, "sold to ''").fingerprint())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.example_id, one, "the latest");
    let mut tx = db.begin().await.unwrap();
    forget(&mut tx, &[one, three, Uuid::now_v7()])
        .await
        .unwrap();
    sqlx::query("delete from failed_order_archives where id in (?, ?)")
        .bind(one)
        .bind(three)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(counts(db).await, [(slow, 1, 1)], "no row of it is left");
}

/// Whoever writes the row, also by hand: the database sees that its count is owed.
#[tokio::test]
async fn rows_of_before_and_rows_changed_by_hand_are_counted_too() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    for number in 0..700 {
        put(db, Uuid::now_v7(), &format!("try {number}"))
            .await
            .unwrap();
    }
    // As older builds left them.
    schema
        .execute("update failed_order_archives set fingerprint = null, fingerprint_version = 0")
        .await;
    assert_eq!(groups::uncounted(db).await.unwrap(), 700);
    assert_eq!(counts(db).await, [("try <number>".to_owned(), 700, 700)]);
    schema
        .execute("update failed_order_archives set handled = 1 limit 300")
        .await;
    assert_eq!(groups::uncounted(db).await.unwrap(), 300);
    assert_eq!(counts(db).await, [("try <number>".to_owned(), 400, 700)]);
    // Another way of comparing gave something else.
    schema
        .execute(
            "update failed_order_archives set fingerprint = 7, fingerprint_version = 0 limit 100",
        )
        .await;
    assert_eq!(counts(db).await, [("try <number>".to_owned(), 400, 700)]);
    // A newer build's rows are its own affair.
    schema
        .execute("update failed_order_archives set fingerprint = 7, fingerprint_version = 9 where handled = 1 limit 100")
        .await;
    counted(db).await.unwrap();
    assert_eq!(
        all(db).await[0].total,
        700,
        "counted where it was until that build counts it"
    );
}

/// A million times that nobody waits for: archiving does not stand in line at its group. Breaks when counting locks rows that others
/// hold.
#[tokio::test]
async fn archiving_waits_for_no_group_and_counting_for_no_row() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    put(db, Uuid::now_v7(), "it failed").await.unwrap();
    counted(db).await.unwrap();
    let mut group = db.begin().await.unwrap();
    sqlx::query("select 1 from failure_groups for update")
        .fetch_all(&mut *group)
        .await
        .unwrap();
    let held = Uuid::now_v7();
    put(db, held, "it failed").await.unwrap();
    put(db, Uuid::now_v7(), "it failed").await.unwrap();
    group.rollback().await.unwrap();
    let mut row = db.begin().await.unwrap();
    sqlx::query("select 1 from failed_order_archives where id = ? for update")
        .bind(held)
        .fetch_all(&mut *row)
        .await
        .unwrap();
    counted(db).await.unwrap();
    assert_eq!(all(db).await[0].total, 2, "all but the one that is held");
    row.rollback().await.unwrap();
    counted(db).await.unwrap();
    assert_eq!(all(db).await[0].total, 3);
}

/// Breaks when the note in the row and the change of the group are two transactions, or when rows are read without a lock.
#[tokio::test(flavor = "multi_thread")]
async fn however_many_count_while_rows_come_and_go_each_is_counted_once() {
    let seed: u64 = rand::random();
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let ids: Vec<Uuid> = (0..300).map(|_| Uuid::now_v7()).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (db, ids, mut random) = (
            db.clone(),
            ids.clone(),
            StdRng::seed_from_u64(random.random()),
        );
        workers.spawn(async move {
            for _ in 0..200 {
                let id = ids[random.random_range(0..ids.len())];
                let wrote = if random.random_bool(0.7) {
                    let letters = ["aa", "bb", "cc", "dd", "ee"];
                    let error = letters[random.random_range(0..letters.len())];
                    put(&db, id, error).await
                } else {
                    resolve(&db, id).await
                };
                // Chosen to break a deadlock, it is nobody's business here.
                let _ = wrote;
            }
        });
    }
    for _ in 0..3 {
        let db = db.clone();
        workers.spawn(async move {
            for _ in 0..60 {
                // Another one's deadlock: nothing was written.
                let _ = Counting::new(db.clone()).run_batch().await;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    counted(db).await.unwrap();
    assert_eq!(stored(db).await, really(db).await, "seed {seed}");
}

#[tokio::test]
async fn pages_of_groups_follow_one_another_in_either_order() {
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let word = |number: usize| ["ka", "lo", "mi", "nu", "po"][number % 5].repeat(1 + number / 5);
    for number in 0..23 {
        for _ in 0..=(number % 4) {
            put(db, Uuid::now_v7(), &word(number)).await.unwrap();
        }
    }
    counted(db).await.unwrap();
    for sort in [Sort::Open, Sort::LastSeen] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let paging = Paging { after, limit: 5 };
            let page = groups::page(db, Shown::Open, sort, paging).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.after(sort));
            seen.extend(page);
        }
        assert_eq!(seen.len(), 23, "{sort:?}");
        let sorted = match sort {
            Sort::Open => seen.is_sorted_by_key(|group| std::cmp::Reverse(group.open)),
            Sort::LastSeen => seen.is_sorted_by_key(|group| std::cmp::Reverse(group.last_seen_at)),
        };
        assert!(sorted, "{sort:?}");
        let mut fingerprints: Vec<_> = seen.iter().map(|group| group.fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 23, "{sort:?}: each once");
    }
    let filter = Filter {
        fingerprint: Some(Cause::of("decide", None, &word(3)).fingerprint()),
        ..Filter::default()
    };
    let paging = listing::Paging {
        after: None,
        limit: 50,
    };
    let listed = listing::page(db, &filter, paging).await.unwrap().rows;
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|row| row.error == word(3)));
    let counts = listing::count(db, &filter).await.unwrap();
    assert_eq!(counts.unwrap().open, 4);
}

/// Writes rows by the thousand, of so many groups; a tenth of the groups has nine tenths of the rows.
async fn seed(schema: &Schema, rows: usize, of_groups: usize) {
    let db = &schema.pool;
    let words = [
        "lock", "wait", "stock", "coupon", "away", "late", "gone", "full", "torn", "shut",
    ];
    let error = |group: usize| {
        let mut left = group;
        let mut text = "it failed:".to_owned();
        for _ in 0..5 {
            text.push(' ');
            text.push_str(words[left % 10]);
            left /= 10;
        }
        text
    };
    let errors: Vec<_> = (0..of_groups)
        .map(error)
        .map(|error| (Cause::of("decide", None, &error).fingerprint(), error))
        .collect();
    let mut random = StdRng::seed_from_u64(1);
    for from in (0..rows).step_by(1_000) {
        let mut query = sqlx::QueryBuilder::new(
            "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, \
             fingerprint, fingerprint_version, attempts, history, storage, payload, headers, held, handled, times_archived, \
             first_failed_at, archived_at) ",
        );
        query.push_values(0..1_000, |mut row, number| {
            let id = Uuid::now_v7();
            let group = if random.random_bool(0.9) {
                random.random_range(0..of_groups / 10)
            } else {
                random.random_range(0..of_groups)
            };
            let (fingerprint, error) = errors[group].clone();
            row.push_bind(id).push_bind(id).push_bind(id).push_bind(0);
            row.push_bind(id).push_bind(id).push_bind(1);
            row.push_bind("decide").push_bind(error);
            row.push_bind(fingerprint.to_number()).push_bind(VERSION);
            row.push_bind(6).push_bind("[]").push_bind("mysql");
            row.push_bind(
                &b"{\"version\":1,\"remark\":\"a message of an order has some two hundred bytes\"}"
                    [..],
            );
            row.push_bind("[]").push_bind(false);
            row.push_bind(random.random_bool(0.5)).push_bind(1);
            let at = Utc::now()
                - chrono::TimeDelta::milliseconds(
                    i64::try_from((rows - from) * 10 - number).unwrap(),
                );
            row.push_bind(at.naive_utc()).push_bind(at.naive_utc());
        });
        query.build().execute(db).await.unwrap();
    }
}

#[expect(clippy::print_stdout, reason = "it measures")]
async fn p95<F: Future>(what: &str, tries: usize, mut run: impl FnMut(usize) -> F) {
    let mut took = Vec::with_capacity(tries);
    for number in 0..tries {
        let began = Instant::now();
        run(number).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    println!(
        "{what}: p50 {:?}, p95 {:?}, max {:?}",
        took[tries / 2],
        took[tries * 95 / 100],
        took[tries - 1]
    );
}

/// `REDRESS_ROWS`, 1,000,000 unless it says otherwise. It prints; a person compares.
#[tokio::test]
#[ignore = "writes a million rows: some minutes"]
#[expect(clippy::print_stdout, reason = "it measures")]
async fn a_million_rows_in_ten_thousand_groups() {
    let rows: usize = std::env::var("REDRESS_ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    let schema = testkit::mysql::schema().await;
    let db = &schema.pool;
    let began = Instant::now();
    seed(&schema, rows, 10_000).await;
    println!("{rows} rows written in {:?}", began.elapsed());
    let began = Instant::now();
    counted(db).await.unwrap();
    let took = began.elapsed();
    println!("counted in {took:?}");
    assert_eq!(stored(db).await, really(db).await);
    for sort in [Sort::Open, Sort::LastSeen] {
        let (mut after, mut pages) = (None, 0);
        let mut took = Vec::new();
        loop {
            let began = Instant::now();
            let paging = Paging { after, limit: 51 };
            let page = groups::page(db, Shown::Open, sort, paging).await.unwrap();
            took.push(began.elapsed());
            let Some(last) = page.last() else { break };
            after = Some(last.after(sort));
            pages += 1;
        }
        took.sort_unstable();
        println!(
            "{pages} pages of groups by {sort:?}: p95 {:?}, max {:?}",
            took[took.len() * 95 / 100],
            took[took.len() - 1]
        );
    }
    let all = all(db).await;
    println!("{} groups, the largest of {} rows", all.len(), all[0].total);
    p95("uncounted", 100, |_| async {
        groups::uncounted(db).await.unwrap()
    })
    .await;
    for state in [
        None,
        Some(listing::State::Open),
        Some(listing::State::Handled),
    ] {
        let filter = |number: usize| Filter {
            fingerprint: Some(all[number % all.len()].fingerprint),
            state,
            ..Filter::default()
        };
        p95(&format!("list of a group, {state:?}"), 300, |number| {
            let filter = filter(number);
            async move {
                let paging = listing::Paging {
                    after: None,
                    limit: 51,
                };
                listing::page(db, &filter, paging).await.unwrap()
            }
        })
        .await;
    }
    p95("counts of a group", 100, |number| {
        let filter = Filter {
            fingerprint: Some(all[number % all.len()].fingerprint),
            ..Filter::default()
        };
        async move { listing::count(db, &filter).await.unwrap() }
    })
    .await;
    p95("counts of everything", 10, |_| async {
        listing::count(db, &Filter::default()).await.unwrap()
    })
    .await;
    p95("one more is archived", 200, |number| async move {
        put(db, Uuid::now_v7(), &format!("it failed {number}"))
            .await
            .unwrap();
    })
    .await;
}
