//! Whoever proves who it is gets alerts; whoever does not gets nothing, neither a message nor a password.
//!
//! Whom a client trusts it reads once from the system, or from the file that `SSL_CERT_FILE` names: the test runs in a process of its own
//! that has it.

use super::channels::kinds::{channel, fake, secret};
use compensation::alerts::{Alert, Delivered, Notice, Severity};
use service_kit::settings::ChannelKind;
use std::{env, path::PathBuf};
use tempfile::TempDir;
use testkit::receivers::{Begins, Encrypted, TestCa};
use tokio::process::Command;

const FOLDER: &str = "REDRESS_TLS_FOLDER";
/// The host of every url.
const HERE: &str = "IP:127.0.0.1";

const WAYS: [(ChannelKind, Begins); 3] = [
    (ChannelKind::Webhook, Begins::AtOnce),
    (ChannelKind::Email, Begins::AtOnce),
    (ChannelKind::Email, Begins::ByStartTls),
];

/// Meant to break when certificates are not checked, when names are not compared, when only one of mail's two ways is, and when nobody at all
/// is trusted.
#[tokio::test]
async fn only_who_proves_who_it_is_gets_alerts() {
    match env::var_os(FOLDER) {
        Some(folder) => whom_it_trusts(&TestCa::in_folder(&PathBuf::from(folder))).await,
        None => in_a_process_of_its_own().await,
    }
}

async fn in_a_process_of_its_own() {
    let folder = TempDir::new().unwrap();
    let ca = TestCa::in_folder(folder.path());
    let ran = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "alerts::tls::only_who_proves_who_it_is_gets_alerts",
            "--nocapture",
        ])
        .env("SSL_CERT_FILE", ca.certificate_file())
        .env_remove("SSL_CERT_DIR")
        .env(FOLDER, folder.path())
        .output()
        .await
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

async fn whom_it_trusts(ca: &TestCa) {
    let alert = Alert::new("archived", Severity::Urgent, "order 7", "Given up");
    let notice = Notice::of(alert);
    for (kind, begins) in WAYS {
        for (what, certificate) in [
            ("its own name", ca.vouches_for(HERE)),
            ("another's name", ca.vouches_for("DNS:elsewhere.example")),
            ("nobody vouches", ca.self_signed(HERE)),
        ] {
            let fake = fake(kind).await;
            let server = Encrypted::before(&fake, certificate, begins).await;
            let channel = channel(kind, server.url(), secret(kind));
            let delivered = channel.deliver(&notice).await;
            let case = format!("{kind:?}, {begins:?}, {what}: {delivered:?}");
            assert_eq!(fake.refused(), [""; 0], "{case}");
            if what == "its own name" {
                assert_eq!(delivered, Delivered::Sent, "{case}");
                assert_eq!(fake.received().len(), 1, "{case}");
            } else {
                assert!(matches!(delivered, Delivered::Unknown(_)), "{case}");
                assert_eq!(fake.calls(), 0, "{case}");
            }
        }
    }
}
