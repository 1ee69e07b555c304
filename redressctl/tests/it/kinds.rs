//! `redressctl alerts verify` with receivers of every kind but webhooks: such as do what they must, and such as fail in one thing.

use super::alerts::{Ran, verify, verify_trusting};
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};
use tempfile::TempDir;
use testkit::{
    receivers::{
        Alertmanager, Begins, DingTalk, Encrypted, Fake, Feishu, Limits, Mailbox, Mood, PagerDuty,
        Received, Refusal, Said, Slack, TestCa, Vendor, WeCom,
    },
    webhooks::{Receiver, Request},
};

const KEY: &str = "hush0123456789abcdef0123456789ab";
const SECRET: &str = "SEChush";

/// A vendor's receiver that does not take what another one of it would.
struct Picky<V> {
    vendor: V,
    refuses: Box<dyn Fn(&Request) -> bool + Send + Sync>,
}

impl<V: Vendor> Vendor for Picky<V> {
    fn target(&self) -> String {
        self.vendor.target()
    }

    fn read(&self, request: &Request, now: DateTime<Utc>) -> Result<Received, Refusal> {
        if (self.refuses)(request) {
            return Err(Refusal::Malformed("not here".to_owned()));
        }
        self.vendor.read(request, now)
    }

    fn limits(&self) -> Limits {
        self.vendor.limits()
    }

    fn taken(&self, received: &Received) -> Said {
        self.vendor.taken(received)
    }

    fn wordless(&self) -> Said {
        self.vendor.wordless()
    }

    fn refusal(&self, why: &Refusal) -> Said {
        self.vendor.refusal(why)
    }
}

async fn picky(
    vendor: impl Vendor,
    refuses: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Fake {
    let refuses = Box::new(refuses);
    Fake::start(Picky { vendor, refuses }).await
}

/// Refuses what has these words in it.
async fn picky_about(vendor: impl Vendor, words: &'static str) -> Fake {
    picky(vendor, move |request| request.text().contains(words)).await
}

/// Refuses a request that holds these words when it comes again.
async fn once(vendor: impl Vendor, words: &'static str) -> Fake {
    let seen = AtomicUsize::new(0);
    picky(vendor, move |request| {
        request.text().contains(words) && seen.fetch_add(1, Ordering::Relaxed) == 1
    })
    .await
}

async fn tried(kind: &str, url: &str, secret: &str) -> Ran {
    let asked = [
        "--kind",
        kind,
        "--url",
        url,
        "--secret",
        secret,
        "--allow-private",
        "--yes",
        "--json",
    ];
    verify(&asked).await
}

/// All of them at the same time.
async fn at_once<T: Send + 'static>(
    all: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let running: Vec<_> = all.map(tokio::spawn).collect();
    let mut came = Vec::new();
    for one in running {
        came.push(one.await.expect("it went well"));
    }
    came
}

const ROBOT: [&str; 5] = ["message", "marks", "longest", "at_once", "wrong_secret"];

/// Whatever a kind can be tried with holds where the receiver does what the vendor's does. Meant to break when a trial sends more than is
/// taken, or nothing, and when a wrong secret is the right one.
#[tokio::test]
async fn receivers_of_every_kind_that_do_as_they_should_pass() {
    let all = [
        (
            "dingtalk",
            SECRET,
            Fake::start(DingTalk::new("hush", SECRET)).await,
        ),
        ("wecom", "", Fake::start(WeCom::new("hush")).await),
        (
            "feishu",
            SECRET,
            Fake::start(Feishu::new("hush", SECRET)).await,
        ),
        ("slack", "", Fake::start(Slack::new("hush")).await),
        ("alertmanager", "", Fake::start(Alertmanager).await),
        ("pagerduty", KEY, Fake::start(PagerDuty::new(KEY)).await),
    ];
    let tries = all.into_iter().map(|(kind, secret, fake)| async move {
        let ran = tried(kind, &fake.url(), secret).await;
        (ran, kind, fake)
    });
    for (ran, kind, fake) in at_once(tries).await {
        assert_eq!(ran.code, 0, "{kind}: {ran:?} {:?}", fake.refused());
        let trials: &[&str] = match kind {
            "alertmanager" => &[
                "message",
                "same_again",
                "marks",
                "longest",
                "at_once",
                "over",
                "many",
                "many_over",
            ],
            "pagerduty" => &[
                "message",
                "same_again",
                "marks",
                "longest",
                "at_once",
                "acknowledged",
                "over",
                "wrong_secret",
            ],
            _ => &ROBOT,
        };
        assert_eq!(ran.checks(Some(true)), trials, "{kind}");
        assert!(!ran.out.contains("hush"), "{kind}: {}", ran.out);
        let knows_nobody = kind == "alertmanager";
        assert_eq!(
            fake.refused().len(),
            usize::from(!knows_nobody),
            "{kind}: {:?}",
            fake.refused()
        );
        let received = fake.received();
        assert!(received[0].title.contains("This is a test"), "{received:?}");
        assert!(!received.iter().any(|it| it.calls_everybody), "{kind}");
        if kind == "alertmanager" {
            assert_eq!(received.last().unwrap().several.len(), 50);
        }
        // What was opened is closed.
        let open: BTreeMap<_, _> = received.iter().flat_map(Received::each).collect();
        assert!(
            open.values().all(|status| status.starts_with("resolve")),
            "{kind}: {open:?}"
        );
    }
}

async fn assert_fails(kind: &str, url: &str, secret: &str, check: &str) {
    let ran = tried(kind, url, secret).await;
    assert_eq!(ran.code, 1, "{kind}, {check}: {ran:?}");
    assert_eq!(ran.checks(Some(false)), [check], "{kind}: {}", ran.out);
    assert_eq!(ran.checks(None), [""; 0], "{kind}, {check}: {}", ran.out);
    assert!(!ran.out.contains("hush"), "{kind}: {}", ran.out);
}

/// Each trial fails where the receiver fails in that alone. Breaks when a failure among several at once is taken for patience.
#[tokio::test]
async fn a_receiver_that_fails_in_one_thing_is_told_that_one() {
    let words = [
        ("marks", "退款"),
        ("longest", "as long as can be"),
        ("at_once", "2 of 3 at once"),
    ];
    for (check, words) in words {
        let robots = [
            (
                "dingtalk",
                SECRET,
                picky_about(DingTalk::new("hush", SECRET), words).await,
            ),
            ("wecom", "", picky_about(WeCom::new("hush"), words).await),
            (
                "feishu",
                SECRET,
                picky_about(Feishu::new("hush", SECRET), words).await,
            ),
            ("slack", "", picky_about(Slack::new("hush"), words).await),
            ("alertmanager", "", picky_about(Alertmanager, words).await),
            (
                "pagerduty",
                KEY,
                picky_about(PagerDuty::new(KEY), words).await,
            ),
        ];
        let tries = robots
            .into_iter()
            .map(move |(kind, secret, fake)| async move {
                assert_fails(kind, &fake.url(), secret, check).await;
            });
        at_once(tries).await;
    }
}

/// Breaks when what was taken counts as refused.
#[tokio::test]
async fn a_receiver_that_takes_whatever_secret_is_told_so() {
    let anybodys = Receiver::start().await;
    anybodys.answer_with(200, &[], "ok");
    let fakes = [
        (
            "dingtalk",
            SECRET,
            Fake::start(DingTalk::new("hush", "")).await,
        ),
        ("wecom", "", Fake::start(WeCom::new("")).await),
        ("feishu", SECRET, Fake::start(Feishu::new("hush", "")).await),
        ("pagerduty", KEY, Fake::start(PagerDuty::new("")).await),
    ];
    let tries = fakes.into_iter().map(|(kind, secret, fake)| async move {
        assert_fails(kind, &fake.url(), secret, "wrong_secret").await;
    });
    at_once(tries).await;
    assert_fails("slack", &anybodys.url(), "", "wrong_secret").await;
}

/// Meant to break when a trial is made of another message than its own.
#[tokio::test]
async fn a_receiver_that_does_not_know_repeats_ends_or_many_is_told_so() {
    let many = |status: &'static str| {
        move |request: &Request| {
            let text = request.text();
            text.contains("number 50")
                && text.contains(&format!("\"alerts\":[{{\"status\":\"{status}\""))
        }
    };
    let alone = "redressctl";
    let is_end = move |request: &Request| {
        let text = request.text();
        !text.contains("number 50") && text.contains("\"resolved\"") && text.contains(alone)
    };
    let cases = [
        (
            "alertmanager",
            "same_again",
            once(Alertmanager, "nothing happened").await,
        ),
        ("alertmanager", "over", picky(Alertmanager, is_end).await),
        (
            "alertmanager",
            "many",
            picky(Alertmanager, many("firing")).await,
        ),
        (
            "alertmanager",
            "many_over",
            picky(Alertmanager, many("resolved")).await,
        ),
        (
            "pagerduty",
            "same_again",
            once(PagerDuty::new(KEY), "nothing happened").await,
        ),
        (
            "pagerduty",
            "acknowledged",
            picky_about(PagerDuty::new(KEY), "\"acknowledge\"").await,
        ),
        (
            "pagerduty",
            "over",
            picky_about(PagerDuty::new(KEY), "\"resolve\"").await,
        ),
    ];
    let tries = cases.into_iter().map(|(kind, check, fake)| async move {
        let secret = if kind == "pagerduty" { KEY } else { "" };
        assert_fails(kind, &fake.url(), secret, check).await;
    });
    at_once(tries).await;
}

/// Meant to break when an answer that asks for patience is a failure, and when a receiver that takes nothing is sent more.
#[tokio::test]
async fn a_robot_that_asks_for_patience_is_understood_and_one_that_takes_nothing_is_asked_once() {
    let robot = Fake::start(DingTalk::new("hush", SECRET)).await;
    // The first three are taken; of the three at once one is too many.
    for mood in [Mood::Well, Mood::Well, Mood::Well, Mood::TooFast] {
        robot.next(mood);
    }
    let ran = tried("dingtalk", &robot.url(), SECRET).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("2 of 3 taken; slow down: errcode 130101"),
        "{}",
        ran.out
    );
    for (mood, words) in [
        (Mood::TooFast, "130101"),
        (Mood::Foreign, "310000"),
        (Mood::Wordless, "errcode"),
        (Mood::Gone, "its new url"),
    ] {
        robot.be(mood);
        let before = robot.calls();
        let ran = tried("dingtalk", &robot.url(), SECRET).await;
        assert_eq!(
            (ran.code, robot.calls()),
            (1, before + 1),
            "{mood:?}: {ran:?}"
        );
        assert_eq!(ran.checks(Some(false)), ["message"], "{mood:?}");
        assert_eq!(ran.checks(None), ROBOT[1..], "{mood:?}");
        assert!(
            ran.out.contains(words) && !ran.out.contains("hush"),
            "{mood:?}: {}",
            ran.out
        );
    }
}

#[tokio::test]
async fn nothing_is_sent_before_yes_and_what_needs_a_secret_is_open_without_one() {
    let robot = Fake::start(DingTalk::new("hush", "")).await;
    let url = robot.url();
    let asked = ["--kind", "dingtalk", "--url", &url, "--allow-private"];
    let ran = verify(&asked).await;
    assert!(
        ran.code == 2 && ran.err.contains("--yes") && robot.calls() == 0,
        "{ran:?}"
    );
    let ran = verify(&[&asked[..], &["--yes"]].concat()).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.starts_with("DingTalk at http://127.0.0.1:"),
        "{}",
        ran.out
    );
    for words in ["no --secret was given", "open", "4 of 5 hold, 1 open."] {
        assert!(ran.out.contains(words), "{}", ran.out);
    }
    let ran = verify(&[
        "--kind",
        "pagerduty",
        "--url",
        &url,
        "--allow-private",
        "--yes",
    ])
    .await;
    assert!(ran.code == 2 && ran.err.contains("routing key"), "{ran:?}");
}

const ADDRESSES: [&str; 6] = [
    "--from",
    "redress@example.com",
    "--to",
    "ops@example.com",
    "--to",
    "more@example.com",
];

/// A mailbox behind encryption, tried by who trusts it.
async fn mailed(mailbox: Mailbox) -> (Ran, Fake) {
    let folder = TempDir::new().unwrap();
    let ca = TestCa::in_folder(folder.path());
    let fake = Fake::mail(mailbox).await;
    let certificate = ca.vouches_for("IP:127.0.0.1");
    let server = Encrypted::before(&fake, certificate, Begins::AtOnce).await;
    let asked = [
        "--kind",
        "email",
        "--url",
        server.url(),
        "--secret",
        "alerts:hush",
        "--allow-private",
        "--yes",
        "--json",
    ];
    let asked = [&asked[..], &ADDRESSES].concat();
    let ran = verify_trusting(Some(&ca.certificate_file()), &asked).await;
    (ran, fake)
}

#[tokio::test]
async fn a_mail_server_that_does_as_it_should_passes() {
    let (ran, fake) = mailed(Mailbox::with_password("alerts", "hush")).await;
    assert_eq!(ran.code, 0, "{ran:?} {:?}", fake.refused());
    let all = [
        "message",
        "each_address",
        "marks",
        "long_line",
        "longest",
        "at_once",
        "encrypted",
        "wrong_secret",
    ];
    assert_eq!(ran.checks(Some(true)), all);
    assert!(!ran.out.contains("hush"), "{}", ran.out);
    let received = fake.received();
    assert!(
        received.iter().any(|it| it.title.contains("退款")),
        "{received:?}"
    );
    assert_eq!(
        fake.refused().len(),
        1,
        "the wrong password: {:?}",
        fake.refused()
    );
}

/// Breaks when a failure among several at once is taken for patience. Meant to break as well when encryption is not looked at, when what was
/// taken counts as refused, and when an address that is refused is not told.
#[tokio::test]
async fn a_mail_server_that_fails_in_one_thing_is_told_that_one() {
    let mailbox = || Mailbox::with_password("alerts", "hush");
    for (check, mailbox) in [
        ("each_address", mailbox().without("more@example.com")),
        ("marks", mailbox().filtering("退款")),
        ("long_line", mailbox().filtering(&"x".repeat(2000))),
        ("longest", mailbox().filtering("as long as can be")),
        ("at_once", mailbox().filtering("2 of 3 at once")),
        ("wrong_secret", Mailbox::with_password("alerts", "")),
    ] {
        let (ran, fake) = mailed(mailbox).await;
        assert_eq!(ran.code, 1, "{check}: {ran:?}");
        assert_eq!(
            ran.checks(Some(false)),
            [check],
            "{} {:?}",
            ran.out,
            fake.refused()
        );
    }
    let fake = Fake::mail(mailbox()).await;
    let url = format!("{}?tls=none", fake.url());
    let asked = [
        "--kind",
        "email",
        "--url",
        &url,
        "--secret",
        "alerts:hush",
        "--allow-private",
        "--yes",
        "--json",
    ];
    let ran = verify(&[&asked[..], &ADDRESSES].concat()).await;
    assert_eq!(
        (ran.code, ran.checks(Some(false))),
        (1, vec!["encrypted".to_owned()]),
        "{ran:?}"
    );
    let ran = verify(&asked).await;
    assert!(ran.code == 2 && ran.err.contains("--from"), "{ran:?}");
}
