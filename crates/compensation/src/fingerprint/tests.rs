use super::*;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

fn pattern(error: &str) -> String {
    Cause::of("decide", None, error).pattern
}

fn code(error: &str) -> Option<String> {
    Cause::of("decide", None, error).code
}

fn fingerprint(error: &str) -> Fingerprint {
    Cause::of("decide", None, error).fingerprint()
}

#[test]
fn what_differs_from_one_order_to_the_next_gives_way_to_placeholders() {
    for (error, expected) in [
        (
            "order 0197a000-0000-7000-8000-000000000001 failed",
            "order <id> failed",
        ),
        (
            "order 0197a000000070008000000000abcd00 failed",
            "order <number> failed",
        ),
        (
            "order 01J1ZQ6X0V4C9KQ7R2M5T8N3WE is gone",
            "order <id> is gone",
        ),
        ("no answer within 5000 ms", "no answer within <number> ms"),
        ("no answer within 5.2ms, 30%", "no answer within <number>"),
        ("units: -3 of 1,234.5", "units: <number> of <number>"),
        (
            "Duplicate entry 'ada@example.org' for key 'users.email'",
            "Duplicate entry <text> for key 'users.email'",
        ),
        (
            "unknown column `sales`.`limit`",
            "unknown column `sales`.`limit`",
        ),
        ("ada@example.org was told", "<email> was told"),
        (
            "connecting to 10.0.0.7:3306 failed",
            "connecting to <address> failed",
        ),
        (
            "connecting to fe80::1:2 failed",
            "connecting to <address> failed",
        ),
        (
            "at 2026-07-03T10:00:00.123Z and 2026-07-03 10:00:00+02:00",
            "at <time> and <time>",
        ),
        ("since 10:00:00 today", "since <time> today"),
        ("at 0x7ffe12 in deadbeef01", "at <hex> in <number>"),
        ("values (1, 2, 3)", "values (<number>)"),
        ("values (1, 2, 3, 4)", "values (<number>)"),
        (
            "http://coupon:8080/orders/17/confirm?gid=5&x=y failed",
            "http://coupon:<number>/orders/<number>/confirm?<query> failed",
        ),
        (
            "/var/lib/redress/archive-17.jsonl: no such file",
            "/var/lib/redress/archive-<number>.jsonl: no such file",
        ),
        (
            "worker compensator-1a2b3c4d, node7",
            "worker compensator-<number>, node<number>",
        ),
        ("can't be read, isn't it", "can't be read, isn't it"),
        ("it says 'this was cut", "it says <text>"),
        ("库存不足：订单 42", "库存不足：订单 <number>"),
        ("  \r\n\n first\tline \nsecond line", "first line"),
        ("", "(no text)"),
        ("\u{202e}\0\u{200b}", "(no text)"),
    ] {
        assert_eq!(pattern(error), expected, "{error}");
    }
}

#[test]
fn the_code_is_what_a_program_would_compare() {
    for (error, expected) in [
        (
            "error returned from database: 1205 (HY000): Lock wait timeout exceeded",
            Some("database 1205"),
        ),
        (
            "1062: Duplicate entry 'x' for key 'PRIMARY'",
            Some("database 1062"),
        ),
        (
            "SQLSTATE[23000]: Integrity constraint violation",
            Some("SQLSTATE 23000"),
        ),
        ("Connection refused (os error 111)", Some("os 111")),
        ("coupon: HTTP 503", Some("HTTP 503")),
        ("coupon: 503", Some("HTTP 503")),
        ("503 Service Unavailable", Some("HTTP 503")),
        ("status: 404", Some("HTTP 404")),
        ("failed with code 42", Some("code 42")),
        ("ORA-01017: invalid username", Some("ORA-01017")),
        ("order 503 failed", None),
        ("it failed", None),
        ("", None),
    ] {
        assert_eq!(code(error).as_deref(), expected, "{error}");
    }
    let of_spring = Cause::of("parse", Some("java.lang.IllegalStateException"), "HTTP 503");
    assert_eq!(
        of_spring.code.as_deref(),
        Some("java.lang.IllegalStateException HTTP 503")
    );
}

/// Breaks when the code, the step or the class is left out of the digest.
#[test]
fn different_causes_differ() {
    let mut causes: Vec<Cause> = [
        "error returned from database: 1205 (HY000): Lock wait timeout exceeded",
        "error returned from database: 1213 (40001): Lock wait timeout exceeded",
        "Duplicate entry 'x' for key 'PRIMARY'",
        "Duplicate entry 'x' for key 'orders_by_gid'",
        "coupon: HTTP 503",
        "coupon: HTTP 404",
        "loyalty: HTTP 503",
        "http://coupon/confirm failed",
        "http://loyalty/confirm failed",
        "Connection refused (os error 111)",
        "Connection reset (os error 104)",
        "",
    ]
    .map(|error| Cause::of("decide", None, error))
    .to_vec();
    causes.push(Cause::of("parse", None, "coupon: HTTP 503"));
    causes.push(Cause::of("parse", Some("A"), "coupon: HTTP 503"));
    causes.push(Cause::of("parse", Some("B"), "coupon: HTTP 503"));
    for (at, one) in causes.iter().enumerate() {
        for other in &causes[at + 1..] {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{one:?} {other:?}");
        }
    }
}

/// Stored for ever: a change of what it gives needs another [`VERSION`].
#[test]
fn it_is_the_same_in_every_build() {
    let known = fingerprint(
        "error returned from database: 1205 (HY000): Lock wait timeout exceeded; try restarting transaction",
    );
    assert_eq!(
        (VERSION, known.to_string().as_str()),
        (1, "32dd84e77e027b84")
    );
    assert_eq!(known.to_string().parse(), Ok(known));
    for none in [
        "",
        "1",
        "+123456789abcdef",
        "0123456789abcdeg",
        "0123456789abcdef0",
    ] {
        assert_eq!(none.parse::<Fingerprint>(), Err(NoFingerprint), "{none}");
    }
}

fn id(random: &mut StdRng) -> String {
    Uuid::from_u128(random.random()).to_string()
}

/// Texts as they come from everywhere, with whatever ids, numbers and times.
fn like(kind: usize, random: &mut StdRng) -> String {
    let number: u32 = random.random_range(0..2_000_000);
    match kind {
        0 => format!(
            "order {} of sale {} cannot be decided",
            id(random),
            id(random)
        ),
        1 => format!(
            "Duplicate entry '{}-{number}' for key 'PRIMARY'",
            id(random)
        ),
        2 => format!(
            "no answer within {number} ms from 10.{}.0.{}:{}",
            number % 255,
            number % 200,
            number % 60_000
        ),
        3 => format!(
            "http://coupon:8080/v1/orders/{}/confirm?gid={} is away",
            id(random),
            id(random)
        ),
        4 => format!(
            "at 20{:02}-0{}-1{} 1{}:00:{:02}.{:03}: deadlock",
            number % 90 + 10,
            number % 9 + 1,
            number % 10,
            number % 10,
            number % 60,
            number % 1000
        ),
        5 => format!(
            "insert into orders values ({}) failed",
            vec![number.to_string(); 1 + number as usize % 7].join(", ")
        ),
        6 => {
            format!("/archive/{number}/part-{number}.jsonl: no space left on device (os error 28)")
        }
        7 => format!("user{number}@example.org may not buy \"lamp {number}\" before {number}"),
        8 => format!(
            "worker compensator-0{:07x} lost its claim {:#x}",
            number,
            random.random::<u64>()
        ),
        _ => format!(
            "offset {number} of orders-{} is out of range: [{}, {}]",
            number % 8,
            number / 2,
            number * 2
        ),
    }
}

#[test]
fn the_same_cause_with_other_ids_is_the_same() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut all = std::collections::BTreeSet::new();
    for kind in 0..10 {
        let first = like(kind, &mut random);
        for _ in 0..500 {
            let other = like(kind, &mut random);
            assert_eq!(
                pattern(&first),
                pattern(&other),
                "{first:?} and {other:?}, seed {seed}"
            );
            assert_eq!(fingerprint(&first), fingerprint(&other), "seed {seed}");
        }
        all.insert(fingerprint(&first));
    }
    assert_eq!(all.len(), 10, "each kind is its own");
}

#[test]
fn whatever_the_text_the_pattern_is_short_visible_and_stable() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let nasty: Vec<char> = "'\"`“<>?=:/.-+@#%0189afxzé店\u{202e}\u{200f}\0\n\r\t\u{7f}\u{301}😀٣"
        .chars()
        .collect();
    for _ in 0..2_000 {
        let length = random.random_range(0..600);
        let text: String = (0..length)
            .map(|_| nasty[random.random_range(0..nasty.len())])
            .collect();
        let cause = Cause::of(&text, Some(&text), &text);
        assert!(
            cause.pattern.chars().count() <= message::AT_MOST,
            "seed {seed}"
        );
        assert!(cause.step.chars().count() <= STEP_AT_MOST, "seed {seed}");
        assert!(
            cause.code.iter().all(|it| it.chars().count() <= 120),
            "seed {seed}"
        );
        let shown = [&cause.pattern, &cause.step];
        assert!(
            shown.iter().all(|it| !it
                .chars()
                .any(|letter| letter.is_control() || letter == '\u{202e}')),
            "seed {seed}"
        );
        assert_eq!(cause, Cause::of(&text, Some(&text), &text), "seed {seed}");
    }
}

/// 1 MiB of each: read in a moment, for only the beginning is.
#[test]
fn a_text_without_end_is_bounded() {
    let began = std::time::Instant::now();
    for part in [
        "a", "1", "1.", "'", "é", "\n", " ", "\u{202e}", "a1", "ff:", "1-", "?x=", "@", "😀",
    ] {
        let text = part.repeat(1 << 20);
        let cause = Cause::of(&text, Some(&text), &text);
        assert!(
            cause.pattern.chars().count() <= message::AT_MOST,
            "{part:?}"
        );
        assert!(cause.why_grouped().len() < 4_000, "{part:?}");
    }
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_person_is_told_what_was_compared_and_what_was_left_out() {
    let cause = Cause::of(
        "decide",
        None,
        "order 0197a000-0000-7000-8000-000000000001: 1205 (HY000): Lock wait timeout\nmore",
    );
    assert_eq!(
        cause.why_grouped(),
        "Everything in this group failed at the step “decide”, has the code “database 1205”, and its error reads “order <id>: <number> \
         (HY<number>): Lock wait timeout”. Left out of the comparison: ids and numbers, every line of the error after its first. This is \
         way 1 of comparing."
    );
    let long = Cause::of("decide", None, &"word ".repeat(200));
    assert!(
        long.why_grouped()
            .contains("whatever follows its first 300 characters")
    );
    assert!(long.why_grouped().contains("names no code"));
}
