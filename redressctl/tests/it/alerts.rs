//! `redressctl alerts verify`: a webhook that does as it should, and such as do not. Receivers of other kinds: `super::kinds`.

use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use testkit::{
    receivers::{Fake, Mood, StandardWebhooks},
    webhooks::Receiver,
};
use tokio::process::Command;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the program printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }

    /// Names of the checks with that verdict.
    pub fn checks(&self, holds: Option<bool>) -> Vec<String> {
        let json = self.json();
        let checks = json["checks"].as_array().unwrap().iter();
        let of_it = checks.filter(|check| check["holds"].as_bool() == holds);
        of_it
            .map(|check| check["check"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub async fn verify(arguments: &[&str]) -> Ran {
    verify_trusting(None, arguments).await
}

/// The same, where whoever has a certificate of this authority is trusted.
pub async fn verify_trusting(authority: Option<&Path>, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redressctl"));
    command
        .args(["alerts", "verify"])
        .args(arguments)
        .env_remove("REDRESSCTL_URL")
        .env_remove("REDRESSCTL_SECRET");
    if let Some(file) = authority {
        command
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR");
    }
    let output = command.output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Breaks it catches: an old timestamp that is a new one; a sender that signs with one of its secrets only.
#[tokio::test]
async fn a_receiver_that_does_as_it_should_passes() {
    let hook = Fake::start(StandardWebhooks::new(SECRET)).await;
    let url = hook.url();
    let ran = verify(&["--url", &url, "--secret", SECRET, "--allow-private"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("11 of 11 hold.\n"), "{}", ran.out);
    assert!(
        !ran.out.contains("What to do") && !ran.out.contains("/hook"),
        "{}",
        ran.out
    );
    let refused = hook.refused();
    let reasons = [
        "no signature",
        "no signature",
        "the timestamp",
        "no signature",
    ];
    assert_eq!(refused.len(), 4, "{refused:?}");
    for (why, reason) in refused.iter().zip(reasons) {
        assert!(why.contains(reason), "{refused:?}");
    }
    let received = hook.received();
    assert_eq!(received.len(), 7);
    assert_eq!(received[0].id, received[1].id);
    assert!(received.iter().any(|it| it.bytes > 60_000));
}

#[tokio::test]
async fn a_receiver_that_checks_nothing_is_told_what_it_misses() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let asked = ["--url", &url, "--secret", SECRET, "--allow-private"];
    let ran = verify(&[&asked[..], &["--json"]].concat()).await;
    assert_eq!(ran.code, 1);
    assert_eq!(ran.json()["holds"], false);
    assert_eq!(
        ran.checks(Some(false)),
        [
            "wrong_signature",
            "changed_body",
            "old_timestamp",
            "missing_signature"
        ]
    );
    assert!(
        !ran.out.contains("/hook") && !ran.out.contains(SECRET),
        "{}",
        ran.out
    );
    let table = verify(&asked).await;
    assert_eq!(table.code, 1);
    for words in ["FAILS", "What to do", "answer 401", "7 of 11 hold."] {
        assert!(table.out.contains(words), "{}", table.out);
    }
}

#[tokio::test]
async fn without_a_secret_what_needs_one_is_open_and_that_is_no_success() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let ran = verify(&["--url", &url, "--allow-private", "--json"]).await;
    assert_eq!(ran.code, 1);
    assert_eq!(ran.checks(Some(false)), [""; 0]);
    assert_eq!(ran.checks(None).len(), 6);
    assert!(
        receiver
            .requests()
            .iter()
            .all(|it| it.header("webhook-signature").is_empty())
    );
}

#[tokio::test]
async fn a_receiver_that_hangs_takes_one_try_and_not_eleven() {
    let receiver = Receiver::start().await;
    receiver.hang();
    let url = receiver.url();
    let asked = Instant::now();
    let ran = verify(&[
        "--url",
        &url,
        "--secret",
        SECRET,
        "--allow-private",
        "--json",
    ])
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(40),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(ran.code, 1);
    assert_eq!(ran.checks(Some(false)), ["good"]);
    assert_eq!(ran.checks(None).len(), 10);
    assert!(ran.out.contains("no answer within 15 s"), "{}", ran.out);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_redirect_and_another_secret_are_named_as_such() {
    let receiver = Fake::start(StandardWebhooks::new(SECRET)).await;
    let url = receiver.url();
    receiver.be(Mood::Redirects);
    let ran = verify(&["--url", &url, "--secret", SECRET, "--allow-private"]).await;
    assert!(
        ran.code == 1 && ran.out.contains("redirects are not followed"),
        "{}",
        ran.out
    );
    receiver.be(Mood::Well);
    let other = "whsec_bHVzaC1odXNoLWh1c2gtaHVzaC1odXNoLWh1c2gh";
    let ran = verify(&["--url", &url, "--secret", other, "--allow-private"]).await;
    assert!(
        ran.code == 1 && ran.out.contains("--secret is not the receiver's"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn what_cannot_begin_says_what_to_change_and_ends_with_2() {
    for (arguments, words) in [
        (&["--url", "https://10.0.0.7/hush"][..], "--allow-private"),
        (&["--url", "http://a.example/hush"], "--allow-private"),
        (&["--url", "hush"], "malformed"),
        (
            &["--url", "https://a.example/", "--secret", "hush"],
            "whsec_",
        ),
        (&[], "--url"),
        (
            &["--kind", "dingtalk", "--url", "https://a.example/hush"],
            "--yes",
        ),
        (
            &[
                "--kind",
                "dingtalk",
                "--yes",
                "--url",
                "https://10.0.0.7/hush",
            ],
            "--allow-private",
        ),
        (
            &["--kind", "pigeon", "--url", "https://a.example/hush"],
            "possible values",
        ),
    ] {
        let ran = verify(arguments).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        assert!(!ran.err.contains("hush"), "{arguments:?}: {}", ran.err);
    }
}
