//! What pages can do, from a terminal: dead letters are found, shown, replayed and discarded, operations steered, the policy changed.

use crate::world::{Admin, run};
use serde_json::{Value, json};
use uuid::Uuid;

const SALE: &str = "01890000-0000-7000-8000-0000000000aa";
/// An error as hostile as errors come.
const HOSTILE: &str = "lock \u{1b}[2J wait \u{202e}txt.exe";

fn hex(id: &str) -> String {
    id.replace('-', "")
}

impl Admin {
    /// Orders of the sale that were given up, as the compensator leaves them.
    async fn archived(&self, count: u8) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = Uuid::now_v7().to_string();
            let user = hex(&Uuid::now_v7().to_string());
            self.schema
                .execute(&format!(
                    "insert into failed_order_archives (id, order_id, gid, generation, sale_id, user_id, quantity, step, error, attempts, \
                     history, storage, payload, headers, held, handled, times_archived, first_failed_at, archived_at) \
                     values (unhex('{0}'), unhex('{0}'), unhex('{1}'), 0, unhex('{2}'), unhex('{user}'), 2, 'decide', '{HOSTILE}', 3, '[]', \
                     'mysql', '{{\"n\": 18446744073709551615}}', '[]', 0, 0, 1, utc_timestamp(3), utc_timestamp(3))",
                    hex(&id),
                    hex(&Uuid::now_v7().to_string()),
                    hex(SALE),
                ))
                .await;
            self.schema
                .execute(&format!(
                    "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, created_at, decided_at) \
                     values (unhex('{0}'), unhex('{0}'), 0, unhex('{user}'), unhex('{1}'), 2, 999, 'failed', 'archived', utc_timestamp(3), \
                     utc_timestamp(3))",
                    hex(&id),
                    hex(SALE)
                ))
                .await;
            ids.push(id);
        }
        ids
    }

    async fn token(&self, name: &str, role: &str) -> String {
        let client = reqwest::Client::new();
        self.schema
            .execute(&format!(
                "insert into operators (id, username, password_hash, role, must_change, created_at) \
                 select unhex('{}'), '{name}', password_hash, '{role}', 0, utc_timestamp(3) from operators limit 1",
                hex(&Uuid::now_v7().to_string())
            ))
            .await;
        let session = client
            .post(format!("{}/api/v1/sessions", self.url))
            .json(&json!({"username": name, "password": "everyone has this one"}));
        let session: Value = session.send().await.unwrap().json().await.unwrap();
        session["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }
}

#[tokio::test]
async fn dead_letters_are_found_and_shown() {
    let admin = Admin::start().await;
    admin.run(&["list"]).await.is(0, "Nothing.");
    let ids = admin.archived(3).await;
    let listed = admin.run(&["list", "--sale", SALE, "--limit", "2"]).await;
    listed.is(0, &ids[2]);
    listed.is(0, "There are more: say --limit");
    // A terminal obeys nothing of it.
    listed.is(0, "lock \\u{1b}[2J wait \\u{202e}txt.exe");
    assert!(!listed.out.contains(['\u{1b}', '\u{202e}']));
    let lines = admin.run(&["list", "--state", "all", "--json"]).await.out;
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert_eq!(found, ids);
    admin
        .run(&["list", "--step", "other"])
        .await
        .is(0, "Nothing.");
    let shown = admin.run(&["show", &ids[0]]).await;
    shown.is(0, SALE);
    shown.is(0, "n  18446744073709551615");
    let whole = admin.run(&["show", &ids[0], "--json"]).await;
    whole.is(0, "18446744073709551615");
    let unknown = Uuid::now_v7().to_string();
    admin
        .run(&["show", &unknown])
        .await
        .is(2, "the admin answers 404");
    admin.run(&["groups"]).await.is(0, "Nothing.");
}

/// Each act by whoever may, and told to whoever may not.
#[tokio::test]
async fn what_would_happen_is_told_before_it_is_let_happen() {
    let admin = Admin::start().await;
    let ids = admin.archived(3).await;
    let of_sale = ["--sale", SALE];
    let ask = async |more: &[&str]| {
        admin
            .run(&[&["discard"], &of_sale[..], more].concat())
            .await
    };
    admin.run(&["discard"]).await.is(2, "which ones?");
    ask(&["--dry-run"])
        .await
        .is(0, "3 match.\n3 would be discarded.");
    ask(&[]).await.is(2, "say --reason");
    ask(&["--reason", "sold elsewhere"])
        .await
        .is(2, "3 would be discarded.\nSay --yes");
    admin.run(&["operations"]).await.is(0, "Nothing.");
    let looks = admin.token("looks", "viewer").await;
    let seen = ["discard", "--sale", SALE, "--dry-run"];
    admin.run_as(&looks, &seen).await.is(0, "3 match.");
    let denied = ["discard", "--sale", SALE, "--reason", "x", "--yes"];
    let denied = admin.run_as(&looks, &denied).await;
    denied.is(2, "the admin answers 403");
    let taken = ask(&[
        "--reason",
        "sold elsewhere",
        "--grace",
        "600",
        "--rate",
        "5",
        "--yes",
        "--json",
    ])
    .await;
    assert_eq!(taken.code, 0, "{}{}", taken.out, taken.err);
    let id = taken.json()["operation_id"].as_str().unwrap().to_owned();
    admin.run(&["operations"]).await.is(0, &id);
    admin
        .run(&["operations", "show", &id])
        .await
        .is(0, "Reason         sold elsewhere");
    admin
        .run(&["operations", "items", &id])
        .await
        .is(0, "Nothing.");
    admin.run(&["operations", "undo", &id]).await.is(0, "State");
    let again = admin.run(&["operations", "pause", &id]).await;
    again.is(2, "the admin answers 409");
    admin
        .run(&["audit", "list", "--operation", &id])
        .await
        .is(0, "operation.undo");
    admin
        .run(&["replay", &id, "--sale", SALE])
        .await
        .is(2, "not both");
    let one = &ids[0];
    admin.run(&["replay", one]).await.is(2, "Say --yes");
    let graced = ["discard", one, "--yes", "--grace", "600"];
    admin.run(&graced).await.is(2, "are for many");
    let bare = admin.run(&["discard", one, "--yes"]).await;
    bare.is(1, "refused: the admin answers 422");
    admin
        .run(&["discard", one, "--reason", "paid by hand", "--yes"])
        .await
        .is(0, &format!("{one}  taken: operation "));
    let refused = admin
        .run(&["replay", "--yes", &Uuid::now_v7().to_string()])
        .await;
    refused.is(1, "refused: the admin answers 404");
}

#[tokio::test]
async fn the_policy_is_changed_by_name() {
    let admin = Admin::start().await;
    admin
        .run(&["policy"])
        .await
        .is(0, "  compensation.max_retries = 3\n");
    let set = async |more: &[&str]| admin.run(&[&["policy", "set"], more].concat()).await;
    set(&["other=1"]).await.is(2, "the policy has no other");
    set(&["compensation.max_retries=-1"])
        .await
        .is(2, "the admin answers 4");
    set(&["compensation.max_retries=7", "--dry-run"])
        .await
        .is(0, "What comes of it");
    set(&["compensation.max_retries=7"])
        .await
        .is(2, "say --reason");
    set(&["compensation.max_retries=7", "--reason", "x"])
        .await
        .is(2, "Say --yes");
    admin
        .run(&["policy"])
        .await
        .is(0, "  compensation.max_retries = 3\n");
    set(&[
        "compensation.max_retries=7",
        "--reason",
        "slow bank",
        "--yes",
    ])
    .await
    .is(0, "  compensation.max_retries = 7\n");
    admin.run(&["policy"]).await.is(0, "slow bank");
}

#[tokio::test]
async fn every_list_is_there_where_nothing_is() {
    let admin = Admin::start().await;
    for list in [
        &["transactions"][..],
        &["transactions", "--state", "all"],
        &["alerts", "list", "--undelivered"],
        &["alerts", "incidents"],
        &["alerts", "channels"],
        &["operations"],
    ] {
        admin.run(list).await.is(0, "Nothing.");
    }
    admin
        .run(&["transactions", "--state", "lost"])
        .await
        .is(2, "state cannot be understood");
    admin.run(&["audit", "list"]).await.is(0, "session.open");
    let gid = Uuid::now_v7().to_string();
    admin
        .run(&["transactions", "stop", &gid, "--reason", "x"])
        .await
        .is(2, "the admin answers 404");
    admin
        .run(&["alerts", "test", "no/such"])
        .await
        .is(2, "the admin answers 404");
    let words = run(&["completion", "bash"], None).await;
    words.is(0, "_redressctl");
    run(&["list", "--admin", "file:///x"], Some("x"))
        .await
        .is(2, "is no address");
    run(&["list"], None).await.is(2, "Set REDRESSCTL_TOKEN");
}
