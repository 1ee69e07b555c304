//! An operator's night in a real browser: logs in, filters, previews, replays, undoes, signs out. Whatever the browser complains about
//! on the way fails it.
//!
//! With `REDRESS_PICTURES` it keeps pictures of the pages in that folder, those of `docs/pictures`: `cargo xtask pictures` does both. It
//! needs Chromium, so it is not among the tests that run everywhere.

mod chromium;

use crate::{
    app::{ADMIN, PASSWORD, TestApp},
    failed::Failed,
};
use chromium::Chromium;
use chrono::{TimeDelta, Utc};
use std::path::PathBuf;
use uuid::Uuid;

/// What is photographed: bright and wide, dark and wide, bright and narrow, dark and narrow.
const LOOKS: [(&str, u32, u32, bool); 4] = [
    ("light", 1280, 860, false),
    ("dark", 1280, 860, true),
    ("narrow", 360, 780, false),
    ("narrow-dark", 360, 780, true),
];

/// Every room there is.
const ROOMS: [&str; 15] = [
    "/overview",
    "/groups",
    "/archives",
    "/transactions",
    "/operations",
    "/sales",
    "/compensation-log",
    "/incidents",
    "/alerts",
    "/alerts/channels",
    "/report",
    "/policy",
    "/operators",
    "/permissions",
    "/audit",
];

/// Causes as they come, and how many orders each has.
const CAUSES: [(&str, &str, u32); 5] = [
    (
        "decide",
        "Lock wait timeout exceeded; try restarting transaction",
        41,
    ),
    (
        "decide",
        "error communicating with database: expected to read 4 bytes, got 0 bytes at EOF",
        17,
    ),
    (
        "coupons",
        "the coupon service answers 503: upstream connect error",
        9,
    ),
    (
        "decide",
        "Deadlock found when trying to get lock; try restarting transaction",
        4,
    ),
    ("parse", "unknown field `quantitiy` at line 1 column 214", 1),
];

/// Every order that was archived has its row, and the sale units for most of them.
const ORDERS: [&str; 3] = [
    "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, created_at, decided_at) \
     select id, unhex(replace(uuid(), '-', '')), 0, user_id, sale_id, 2, 999, 'failed', 'archived', archived_at, archived_at \
     from failed_order_archives where id not in (select id from orders)",
    "update sales set total = 60",
    "update sale_inventory set total = 60, available = 54",
];

/// A night's failures of two sales.
async fn a_night(app: &TestApp) -> Failed {
    let sales = [Uuid::now_v7(), Uuid::now_v7()];
    let mut first = Failed {
        sale: sales[0],
        ..Failed::new()
    };
    first = first.with_sale(app, 4).await.insert(app).await;
    let mut minutes = 0;
    for (step, error, count) in CAUSES {
        for number in 0..count {
            minutes += 3;
            let failed = Failed {
                sale: sales[usize::from(number % 3 == 0)],
                step,
                error: error.to_owned(),
                archived_at: Utc::now() - TimeDelta::minutes(minutes),
                ..Failed::new()
            };
            failed.insert(app).await;
        }
    }
    for statement in ORDERS {
        app.schema.execute(statement).await;
    }
    app.count().await;
    first
}

/// Pictures of the page that is open, if any are wanted.
async fn pictures(chromium: &mut Chromium, name: &str) {
    let Some(folder) = std::env::var_os("REDRESS_PICTURES").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&folder).expect("a folder");
    for (look, width, height, dark) in LOOKS {
        chromium.look(width, height, dark).await;
        chromium
            .picture(&folder.join(format!("{name}-{look}.png")))
            .await;
    }
    let (_, width, height, dark) = LOOKS[0];
    chromium.look(width, height, dark).await;
}

async fn shows(chromium: &mut Chromium, words: &str) {
    let text = chromium.text().await;
    assert!(text.contains(words), "{words:?} is not on: {text}");
}

#[tokio::test]
#[ignore = "needs Chromium: cargo xtask pictures"]
async fn an_operator_finds_replays_undoes_and_signs_out() {
    let app = TestApp::start().await;
    let failed = a_night(&app).await;
    let mut chromium = Chromium::start().await;
    let (_, width, height, dark) = LOOKS[0];
    chromium.look(width, height, dark).await;

    // Whoever is not logged in is led to the door, and back to where they wanted to go.
    let wanted = format!("{}/archives?q=Lock%20wait", app.url);
    chromium.open(&wanted).await;
    shows(&mut chromium, "Log in").await;
    chromium.write("[name=username]", ADMIN).await;
    chromium.write("[name=password]", PASSWORD).await;
    chromium.press("form button.main").await;
    shows(&mut chromium, "Archived orders").await;
    assert_eq!(chromium.evaluate("location.href").await, wanted);

    // No room is wider than the window it is looked at in.
    for path in ROOMS {
        chromium.open(&format!("{}{path}", app.url)).await;
        for (_, width, height, dark) in LOOKS {
            chromium.look(width, height, dark).await;
            let fits = chromium
                .evaluate("document.documentElement.scrollWidth <= innerWidth")
                .await;
            assert_eq!(fits, true, "{path} is wider than {width} pixels");
        }
    }
    for name in ["overview", "groups", "archives"] {
        chromium.open(&format!("{}/{name}", app.url)).await;
        pictures(&mut chromium, name).await;
    }

    // The list is filtered, and what was found is previewed.
    chromium.open(&format!("{}/archives", app.url)).await;
    chromium.write("[name=q]", "Lock wait").await;
    chromium.press("form.search button").await;
    let found = chromium.evaluate("location.search").await;
    assert!(
        found.as_str().is_some_and(|it| it.contains("q=Lock")),
        "{found}"
    );
    chromium.press("form.inline button[value=replay]").await;
    shows(&mut chromium, "What would happen now").await;
    chromium
        .write("[name=reason]", "the database was restarted")
        .await;
    pictures(&mut chromium, "preview").await;
    chromium.press("form[action='/operations'] button").await;
    shows(&mut chromium, "the database was restarted").await;
    pictures(&mut chromium, "operation").await;
    chromium.press("form[action$='/undo'] button").await;
    shows(&mut chromium, "undone").await;

    // One order, whole; it is replayed.
    chromium
        .open(&format!("{}/archives/{}", app.url, failed.id))
        .await;
    shows(&mut chromium, &failed.id.to_string()).await;
    pictures(&mut chromium, "order").await;
    chromium.press("form[action$='/replay'] button").await;
    shows(&mut chromium, "requested").await;

    chromium.open(&format!("{}/audit", app.url)).await;
    shows(&mut chromium, "operation.undo").await;
    chromium.press("form[action='/logout'] button").await;
    shows(&mut chromium, "Log in").await;
    chromium.open(&format!("{}/audit", app.url)).await;
    shows(&mut chromium, "Log in").await;
    let complaints = chromium.complaints();
    assert!(
        complaints.is_empty(),
        "the browser complains: {complaints:#?}"
    );
}
