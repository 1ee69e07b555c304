//! `redressctl audit verify`: a chain that holds, and each way it is broken behind its back, from the admin and from a file.

use crate::world::{Admin, Ran, run};
use ::audit::{Entry, Outcome, record_all};
use serde_json::json;
use std::path::Path;

/// Lines there are before the program asks: more than one page of the export.
const LINES: usize = 1_100;

impl Admin {
    /// A chain of so many lines, and nothing else.
    async fn begin_anew(&self) {
        self.schema.execute("truncate audit_log").await;
        self.schema
            .execute("update audit_head set last_id = 0, hash = repeat(char(0), 32)")
            .await;
        let entry = Entry {
            operator: "ann",
            role: "operator",
            act: "order.replay",
            subject: "x\u{202e}\0=1+1",
            outcome: Outcome::Done,
            detail: "é",
            address: "::1",
            operation: None,
        };
        let mut tx = self.schema.pool.begin().await.unwrap();
        record_all(&mut tx, &vec![entry; LINES]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn verify(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["audit", "verify"], arguments].concat()).await
    }

    async fn export(&self, query: &str) -> String {
        let url = format!("{}/audit.jsonl{query}", self.url).replace("/audit", "/api/v1/audit");
        let export = reqwest::Client::new().get(url).bearer_auth(&self.token);
        export.send().await.unwrap().text().await.unwrap()
    }
}

async fn verify_file(path: &Path, text: &str) -> Ran {
    std::fs::write(path, text).unwrap();
    run(&["audit", "verify", "--file", path.to_str().unwrap()], None).await
}

/// Caught: a check that stops at the end of a page, or before the head.
#[tokio::test]
async fn a_chain_that_holds_is_told_with_its_head_and_what_is_done_to_it_is_named() {
    let admin = Admin::start().await;
    admin.verify(&[]).await.is(0, "The audit holds: 2 lines");
    admin.begin_anew().await;
    let told = admin.verify(&["--json"]).await.json();
    assert_eq!(
        (&told["holds"], &told["lines"]),
        (&json!(true), &json!(LINES + 1))
    );
    let noted = format!(
        "{}:{}",
        told["head"]["id"],
        told["head"]["hash"].as_str().unwrap()
    );
    let again = admin.verify(&["--noted", &noted]).await;
    again.is(0, "The audit holds: 1102 lines");

    let swap = "update audit_log set id = -1 where id = 700; update audit_log set id = 700 where id = 701; \
                update audit_log set id = 701 where id = -1";
    for (statement, words) in [
        (
            "update audit_log set operator = 'bob' where id = 700",
            "Content: line 700 was altered",
        ),
        (
            "delete from audit_log where id = 700",
            "Gap: line 701 does not follow on line 699, line 700 is not in its place",
        ),
        (swap, "Order: line 700 was written as line 701"),
        // The export has a line of its own, which follows on what is gone.
        (
            "delete from audit_log where id > 1000",
            "Gap: line 1101 does not follow on line 1000, lines 1001 to 1100 are not in their place",
        ),
        (
            "delete from audit_log",
            "Gap: line 1101 does not follow on the beginning",
        ),
        (
            "update audit_head set hash = repeat('x', 32)",
            "Gap: line 1101 does not follow on line 1100",
        ),
    ] {
        admin.begin_anew().await;
        admin.schema.execute(statement).await;
        admin.verify(&[]).await.is(1, words);
    }
    // Who may write to the database may make all of it anew, and is noticed by who noted the head.
    admin.begin_anew().await;
    admin.verify(&[]).await.is(0, "The audit holds");
    let anew = admin.verify(&["--noted", &noted, "--json"]).await;
    assert_eq!(
        (anew.code, &anew.json()["broken"]["kind"]),
        (1, &json!("made_anew"))
    );
}

/// Caught: an export that is taken for whole although its end is missing or it is one of a part.
#[tokio::test]
async fn a_file_is_checked_without_a_login() {
    let admin = Admin::start().await;
    admin.begin_anew().await;
    let export = admin.export("").await;
    let lines: Vec<&str> = export.lines().collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.jsonl");
    verify_file(&path, &export).await.is(0, "1101 lines");
    let with = |change: &dyn Fn(&mut Vec<&str>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        changed.join("\n")
    };
    verify_file(&path, &with(&|_| {})).await.is(0, "1101 lines");
    verify_file(
        &path,
        &with(&|lines| {
            lines.remove(699);
        }),
    )
    .await
    .is(1, "line 701 does not follow on line 699");
    verify_file(&path, &with(&|lines| lines.swap(699, 700)))
        .await
        .is(1, "line 701 does not follow on line 699");
    verify_file(&path, &with(&|lines| drop(lines.drain(1_000..1_101))))
        .await
        .is(
            1,
            "End: the head is line 1101, and nothing is there after line 1000",
        );
    verify_file(&path, &with(&|lines| lines.truncate(1_000)))
        .await
        .is(1, "Head: it is missing");
    verify_file(&path, &with(&|lines| lines[699] = "{}"))
        .await
        .is(1, "line 700 of the export is no line of the audit");
    let altered = lines[699].replace("\"ann\"", "\"bob\"");
    verify_file(&path, &with(&|lines| lines[699] = &*altered.clone().leak()))
        .await
        .is(1, "Content: line 700 was altered");

    let part = admin.export("?act=order.replay").await;
    verify_file(&path, &part).await.is(2, "an export of a part");
    let part = admin.export("?from=2020-01-01&to=2020-01-02").await;
    verify_file(&path, &part).await.is(2, "an export of a part");
    verify_file(&path, "id,at\n1,2\n").await.is(2, "no export");
    verify_file(&path, "").await.is(1, "Head: it is missing");
    let missing = folder.path().join("none");
    run(
        &["audit", "verify", "--file", missing.to_str().unwrap()],
        None,
    )
    .await
    .is(2, "cannot be read");
}

#[tokio::test]
async fn what_keeps_it_from_beginning_is_told() {
    let admin = Admin::start().await;
    run(&["audit", "verify", "--admin", &admin.url], None)
        .await
        .is(2, "Set REDRESSCTL_TOKEN");
    run(&["audit", "verify", "--admin", &admin.url], Some("wrong"))
        .await
        .is(2, "knows no such log-in");
    run(
        &["audit", "verify", "--admin", "http://127.0.0.1:1"],
        Some("wrong"),
    )
    .await
    .is(2, "does not answer");
    run(&["audit", "verify", "--noted", "7"], Some("wrong"))
        .await
        .is(2, "a colon");
    admin.schema.execute("rename table audit_log to lost").await;
    admin.verify(&[]).await.is(2, "the admin answers 503");
}
