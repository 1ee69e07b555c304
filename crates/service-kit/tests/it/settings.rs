//! The settings file people copy, and what stops a start.

use service_kit::settings::{Auth, Environment, LogFormat, Settings};
use std::{collections::HashMap, fs, path::Path};

const EXAMPLE: &str = include_str!("../../../../config.example.yaml");
/// A file that says nothing of its own.
const NOTHING: &str = "environment: development";

fn read(yaml: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::parse(yaml, variables).map_err(|cause| cause.to_string())
}

/// The keys of nested lines such as `key:` or `Name { key: …`, each with those above it.
fn keys(text: &str, indent: usize) -> Vec<String> {
    let mut above: Vec<&str> = Vec::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        let plain = line.trim_start();
        let depth = (line.len() - plain.len()) / indent;
        let Some((key, _)) = plain.split_once(':') else {
            continue;
        };
        if key.is_empty()
            || !key
                .bytes()
                .all(|letter| letter.is_ascii_lowercase() || letter == b'_')
        {
            continue;
        }
        above.truncate(depth);
        above.push(key);
        keys.push(above.join("."));
    }
    keys.sort_unstable();
    keys
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    // The debug form nests one level deeper than the file: the outermost is the struct itself.
    let debug = format!("{:#?}", Settings::default());
    let fields = debug
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect::<Vec<_>>()
        .join("\n");
    let known = keys(&fields, 4);
    assert!(known.len() > 50, "{known:?}");
    assert_eq!(keys(EXAMPLE, 2), known);
}

#[test]
fn the_example_says_the_defaults() {
    let (example, nothing, default) = (
        read(EXAMPLE, &[]).unwrap(),
        read(NOTHING, &[]).unwrap(),
        Settings::default(),
    );
    assert_eq!(format!("{example:#?}"), format!("{default:#?}"));
    assert_eq!(format!("{nothing:#?}"), format!("{default:#?}"));
    assert_eq!(example.auth.token_secret, default.auth.token_secret);
    assert_eq!(
        example.database.mysql.password,
        default.database.mysql.password
    );
    assert_eq!(
        example.seckill_api.first_staff.password,
        default.seckill_api.first_staff.password
    );
}

#[test]
fn the_environment_wins_over_the_file_lists_included() {
    let settings = read(
        EXAMPLE,
        &[
            ("REDRESS__ENVIRONMENT", "production"),
            (
                "REDRESS__AUTH__TOKEN_SECRET",
                "a secret of one's own, 32 bytes long",
            ),
            ("REDRESS__LOG__FORMAT", "json"),
            ("REDRESS__SECKILL_API__LISTEN", "0.0.0.0:80"),
            ("REDRESS__DATABASE__MYSQL__PORT", "13306"),
            (
                "REDRESS__REDIS__LOCK__URLS",
                "redis://a:1, redis://b:2,redis://c:3",
            ),
            ("REDRESS__REDIS__STOCK__URLS", "redis://s:4"),
            ("REDRESS__SALE_LOCK__REQUIRED", "true"),
            ("REDRESS__TRANSACTION__BATCH_SIZE", "3"),
            ("REDRESS_TEST_MYSQL", "not a setting"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(settings.environment, Environment::Production);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.seckill_api.listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(settings.database.mysql.port, 13306);
    assert_eq!(
        settings.redis.lock.urls,
        ["redis://a:1", "redis://b:2", "redis://c:3"]
    );
    assert_eq!(settings.redis.stock.urls, ["redis://s:4"]);
    assert!(settings.sale_lock.required);
    assert_eq!(settings.transaction.batch_size, 3);
    assert_eq!(
        settings.kafka.brokers, "127.0.0.1:9092",
        "what nobody names stays as it was"
    );
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let settings = read(
        "database: { mysql: { password: \"00123\", user: \"1e3\" } }",
        &[
            ("REDRESS__SECKILL_API__FIRST_STAFF__PASSWORD", "00012345"),
            ("REDRESS__ORDER_CONSUMER__GROUP", "007"),
        ],
    )
    .unwrap();
    assert_eq!(settings.database.mysql.password.expose(), "00123");
    assert_eq!(settings.database.mysql.user, "1e3");
    assert_eq!(
        settings.seckill_api.first_staff.password.expose(),
        "00012345"
    );
    assert_eq!(settings.order_consumer.group, "007");
}

#[test]
fn retries_and_faults_that_make_no_sense_stop_the_start() {
    for (yaml, variables, named) in [
        (
            "{ environment: production, auth: { token_secret: \"0123456789abcdef0123456789abcdef\" }, faults: [\"decide:remark=x:1\"] }",
            &[],
            "faults",
        ),
        (
            "compensation: { topic: compensation_dlq }",
            &[],
            "compensation.topic",
        ),
        (
            "compensation: { retry_delay: [] }",
            &[],
            "compensation.retry_delay",
        ),
        ("dlq: { retry_delay: [soon] }", &[], "dlq.retry_delay"),
        (
            "compensation: { max_retries: 21 }",
            &[],
            "compensation.max_retries",
        ),
        ("compensation: { jitter: 1 }", &[], "compensation.jitter"),
        ("dlq: { archive_storage: tape }", &[], "tape"),
        (
            "dlq: { archive_storage: postgres }",
            &[],
            "dlq.archive_postgres.host",
        ),
        ("dlq: { archive_storage: s3 }", &[], "dlq.archive_s3.bucket"),
        (
            "dlq: { archive_storage: s3, archive_s3: { bucket: dead } }",
            &[],
            "dlq.archive_s3.access_key",
        ),
        (
            "dlq: { archive_s3: { bucket: dead, access_key: a, secret_key: b, endpoint: \"http://a:1\" } }",
            &[],
            "dlq.archive_s3.allow_http",
        ),
        (
            "dlq: { archive_s3: { bucket: dead, access_key: a, secret_key: b, endpoint: \"https://u:p@a\" } }",
            &[],
            "dlq.archive_s3.endpoint",
        ),
        (
            "dlq: { archive_s3: { bucket: dead, access_key: a, secret_key: b, prefix: a//b } }",
            &[],
            "dlq.archive_s3.prefix",
        ),
        (
            "dlq: { archive_postgres: { host: a, max_connections: 0 } }",
            &[],
            "dlq.archive_postgres.max_connections",
        ),
        (
            "dlq: { archive_file_max_mb: 0 }",
            &[],
            "dlq.archive_file_max_mb",
        ),
        (
            "dlq: { archive_keep_d: { s3: 1 } }",
            &[],
            "dlq.archive_keep_d.s3",
        ),
    ] {
        let line = refused(yaml, variables);
        assert!(
            line.contains(named),
            "{yaml} {variables:?} was refused without naming {named}: {line}"
        );
    }
}

#[test]
fn waits_may_be_numbers_or_come_from_the_environment() {
    let settings = read(
        "compensation: { retry_delay: [10, 0.5] }",
        &[("REDRESS__DLQ__RETRY_DELAY", "1, 2.5")],
    )
    .unwrap();
    assert_eq!(settings.compensation.retry_delay, ["10", "0.5"]);
    assert_eq!(settings.dlq.retry_delay, ["1", "2.5"]);
}

#[test]
fn a_password_that_yaml_takes_for_a_number_is_refused_rather_than_changed() {
    let line = refused("database: { mysql: { password: 00123 } }", &[]);
    assert!(line.contains("quotes"), "{line}");
}

#[test]
fn whatever_cannot_be_used_stops_the_start_with_one_line_that_names_it() {
    for (yaml, variables, named) in [
        ("databse: {}", &[][..], "databse"),
        ("database: { mysql: { hots: a } }", &[], "hots"),
        (NOTHING, &[("REDRESS__KAFKA__BROKER", "a:1")], "broker"),
        (
            NOTHING,
            &[("REDRESS__SALE_LOCKS__TTL_MS", "5")],
            "sale_locks",
        ),
        ("environment: staging", &[], "staging"),
        ("log: { format: xml }", &[], "xml"),
        ("database: { mysql: { port: 70000 } }", &[], "70000"),
        ("database: { mysql: { port: -1 } }", &[], "-1"),
        ("seckill_api: { listen: here }", &[], "listen"),
        (
            NOTHING,
            &[("REDRESS__TRANSACTION__BATCH_SIZE", "many")],
            "many",
        ),
        (
            NOTHING,
            &[("REDRESS__SALE_LOCK__REQUIRED", "maybe")],
            "maybe",
        ),
        ("auth: { token_secret: short }", &[], "auth.token_secret"),
        ("auth: { token_ttl_s: 0 }", &[], "auth.token_ttl_s"),
        ("environment: production", &[], "auth.token_secret"),
        ("redis: { stock: { urls: [] } }", &[], "redis.stock.urls"),
        (
            "redis: { stock: { urls: [\"redis://a:1\", \"redis://b:1\"] } }",
            &[],
            "redis.stock.urls",
        ),
        (
            "redis: { lock: { urls: [\"redis://a:1\", \"redis://b:1\"] } }",
            &[],
            "redis.lock.urls",
        ),
        (
            NOTHING,
            &[(
                "REDRESS__REDIS__LOCK__URLS",
                "redis://a:1,redis://a:1,redis://b:1",
            )],
            "redis.lock.urls",
        ),
        (NOTHING, &[("REDRESS__REDIS__LOCK__URLS", "a:1")], "a:1"),
        ("kafka: { brokers: \" \" }", &[], "kafka.brokers"),
        (
            "kafka: { orders_partitions: 0 }",
            &[],
            "kafka.orders_partitions",
        ),
        (
            "compensation: { dlq_topic: orders }",
            &[],
            "compensation.dlq_topic",
        ),
        (
            "transaction: { batch_size: 1001 }",
            &[],
            "transaction.batch_size",
        ),
        ("transaction: { queue: 10 }", &[], "transaction.queue"),
        ("scans: { fence_watch_s: 0 }", &[], "scans.fence_watch_s"),
        (
            "seckill_api: { first_staff: { username: ann, password: short } }",
            &[],
            "seckill_api.first_staff.password",
        ),
        ("admin: { session_idle_s: 0 }", &[], "admin.session_idle_s"),
        (
            "admin: { session_idle_s: 60, session_ttl_s: 59 }",
            &[],
            "admin.session_ttl_s",
        ),
        (
            "admin: { first_admin: { username: al } }",
            &[],
            "admin.first_admin.username",
        ),
        (
            "admin: { first_admin: { password: short } }",
            &[],
            "admin.first_admin.password",
        ),
        ("log: [", &[], "settings"),
    ] {
        let line = refused(yaml, variables);
        assert!(
            line.contains(named),
            "{yaml} {variables:?} was refused without naming {named}: {line}"
        );
    }
}

#[test]
fn transactions_that_would_be_tried_or_forgotten_senselessly_stop_the_start() {
    for (yaml, variables, named) in [
        (
            "transaction: { retry_policy: { max_attempts: 0 } }",
            &[][..],
            "transaction.retry_policy.max_attempts",
        ),
        (
            "transaction: { retry_policy: { first_wait_ms: 5000, max_wait_s: 4 } }",
            &[],
            "transaction.retry_policy.max_wait_s",
        ),
        (
            "",
            &[("REDRESS__TRANSACTION__RETRY_POLICY__BACKOFF_FACTOR", "0.5")],
            "transaction.retry_policy.backoff_factor",
        ),
        ("scans: { unpaid_after_s: 59 }", &[], "scans.unpaid_after_s"),
        (
            "transaction: { keep_finished_h: 167 }",
            &[],
            "transaction.keep_finished_h",
        ),
    ] {
        let line = refused(yaml, variables);
        assert!(line.contains(named), "{yaml} {variables:?}: {line}");
    }
}

#[test]
fn a_secret_is_in_no_complaint_and_in_no_log() {
    let line = refused("auth: { token_secret: hush }", &[]);
    assert!(!line.contains("hush"), "{line}");
    let shown = format!(
        "{:?}",
        read("database: { mysql: { password: hush-hush } }", &[]).unwrap()
    );
    assert!(!shown.contains("hush") && !shown.contains(Auth::DEVELOPMENT_SECRET));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let line = Settings::load(Some(Path::new("/nowhere/config.yaml")))
        .unwrap_err()
        .to_string();
    assert!(
        line.contains("/nowhere/config.yaml") && line.lines().count() == 1,
        "{line}"
    );
}

#[test]
fn the_example_can_be_copied_as_it_is() {
    let file = std::env::temp_dir().join(format!("redress-example-{}.yaml", std::process::id()));
    fs::write(&file, EXAMPLE).unwrap();
    let settings = Settings::load(Some(&file));
    fs::remove_file(&file).unwrap();
    assert_eq!(settings.unwrap().transaction.batch_size, 200);
}

fn refused(yaml: &str, variables: &[(&str, &str)]) -> String {
    let line = read(yaml, variables)
        .err()
        .unwrap_or_else(|| panic!("{yaml} {variables:?} was not refused"));
    assert_eq!(line.lines().count(), 1, "more than a line: {line}");
    line
}
