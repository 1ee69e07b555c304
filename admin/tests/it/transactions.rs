//! Transactions: what needs a person first, one with every branch, and what a person may do to it.

use crate::app::{Answer, TestApp, answer};
use compensation::{
    archive::transaction,
    attempt::{Attempt, Lane},
};
use identity::OperatorRole;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// One of them, put into the tables as the coordinator leaves it.
pub struct Known {
    pub gid: Uuid,
    pub kind: &'static str,
    pub label: Uuid,
    pub state: &'static str,
    pub age_s: u32,
    pub last_error: Option<&'static str>,
    /// The work of one that is not decided.
    pub work: Option<String>,
    /// Participants outside, and where their parts stand.
    pub branches: Vec<(&'static str, &'static str)>,
}

impl Known {
    pub fn new(state: &'static str) -> Self {
        Self {
            gid: Uuid::now_v7(),
            kind: "order",
            label: Uuid::now_v7(),
            state,
            age_s: 5,
            last_error: None,
            work: None,
            branches: Vec::new(),
        }
    }

    pub async fn insert(self, app: &TestApp) -> Self {
        sqlx::query(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, branches, work, attempts, due_at, last_error, \
             created_at, finished_at) \
             values (?, ?, ?, ?, ?, 3, ?, ?, ?, 20, utc_timestamp(3), ?, utc_timestamp(3) - interval ? second, \
             if(? in ('committed', 'rolled_back'), utc_timestamp(3), null))",
        )
        .bind(self.gid)
        .bind(self.kind)
        .bind(self.label)
        .bind(self.state)
        .bind(Uuid::now_v7())
        .bind(r#"{"sale":"s","units":2}"#)
        .bind(u32::try_from(self.branches.len()).unwrap())
        .bind(&self.work)
        .bind(self.last_error)
        .bind(self.age_s)
        .bind(self.state)
        .execute(&app.schema.pool)
        .await
        .expect("a transaction");
        for (participant, state) in &self.branches {
            let call = json!({"at": "2026-07-03T10:00:00Z", "op": "confirm", "took_ms": 300, "answer": "unknown: <503>"});
            sqlx::query(
                "insert into transaction_branches (gid, participant, is_foreign, state, attempts, history, last_error, waits, created_at, \
                 changed_at) values (?, ?, 1, ?, 21, ?, '<503>', 0, utc_timestamp(3), utc_timestamp(3))",
            )
            .bind(self.gid)
            .bind(participant)
            .bind(state)
            .bind(format!("{call}\n{call}"))
            .execute(&app.schema.pool)
            .await
            .expect("a branch");
        }
        self
    }

    pub fn page(&self) -> String {
        format!("/transactions/{}", self.gid)
    }

    pub fn api(&self, rest: &str) -> String {
        format!("/api/v1/transactions/{}{rest}", self.gid)
    }

    async fn state_now(&self, app: &TestApp) -> String {
        sqlx::query_scalar("select state from transactions where gid = ?")
            .bind(self.gid)
            .fetch_one(&app.schema.pool)
            .await
            .unwrap()
    }
}

fn gids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().expect("items");
    let gid = |item: &Value| item["gid"].as_str().expect("a gid").to_owned();
    items.iter().map(gid).collect()
}

async fn ask(app: &TestApp, token: &str, path: &str) -> Answer {
    answer(app.request(Method::POST, path).bearer_auth(token)).await
}

#[tokio::test]
async fn the_list_has_what_needs_a_person_first_and_is_filtered() {
    let app = TestApp::start().await;
    let states = [
        "committed",
        "committing",
        "stuck_committing",
        "begun",
        "rolled_back",
    ];
    let mut all = Vec::new();
    for state in states {
        let mut known = Known::new(state);
        if state == "begun" {
            known.age_s = 600;
            known.branches = vec![("coupon", "asking")];
        }
        if state == "committing" {
            known.kind = "cancel";
        }
        all.push(known.insert(&app).await);
    }
    let gid = |at: usize| all[at].gid.to_string();
    let token = app.token(OperatorRole::Viewer).await;
    let list = async |query: &str| {
        app.get(&format!("/api/v1/transactions?{query}"), &token)
            .await
    };
    let whole = list("").await;
    assert_eq!(gids(&whole), [gid(2), gid(3), gid(1), gid(4), gid(0)]);
    assert!(whole.json()["next"].is_null());
    assert_eq!(whole.json()["items"][0]["direction"], "commit");
    assert_eq!(whole.json()["items"][1]["direction"], Value::Null);
    for (query, found) in [
        ("state=stuck_committing", vec![gid(2)]),
        ("state=stuck", vec![gid(2)]),
        ("state=undecided", vec![gid(3)]),
        ("state=finished", vec![gid(4), gid(0)]),
        ("kind=cancel", vec![gid(1)]),
        (&format!("label={}", all[0].label), vec![gid(0)]),
        ("participant=coupon", vec![gid(3)]),
        ("participant=nobody", vec![]),
        ("older_than_s=60", vec![gid(3)]),
        ("older_than_s=60&state=stuck", vec![]),
    ] {
        assert_eq!(gids(&list(query).await), found, "{query}");
    }
    let mut seen = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = list(&query).await;
        seen.extend(gids(&page));
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else {
            break;
        };
        query = format!("limit=2&cursor={next}");
    }
    assert_eq!(seen, gids(&whole), "page by page");
    for bad in [
        "state=x",
        "label=x",
        "older_than_s=x",
        "cursor=x",
        "limit=0",
    ] {
        list(bad).await.is_problem(422, "invalid");
    }

    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get("/transactions?state=stuck").await;
    assert_eq!(page.status, 200, "{page:?}");
    page.shows(&gid(2));
    page.shows_not(&gid(0));
    page.shows("Stuck <span class=\"count\">1<");
    page.shows("Undecided <span class=\"count\">1<");
    assert_eq!(browser.get("/transactions?limit=x").await.status, 422);
}

#[tokio::test]
async fn one_is_shown_with_every_branch_and_call_and_where_its_dead_letter_is() {
    let app = TestApp::start().await;
    let mut known = Known::new("stuck_committing");
    known.last_error = Some("coupon: <503>");
    known.branches = vec![("coupon", "owed"), ("points", "done")];
    let known = known.insert(&app).await;
    let token = app.token(OperatorRole::Viewer).await;
    let json = app.get(&known.api(""), &token).await.json();
    assert_eq!(json["state"], "stuck_committing");
    assert_eq!(json["epoch"], 3);
    assert_eq!(json["payload"]["units"], 2);
    assert_eq!(json["dead_letter"], Value::Null);
    assert_eq!(
        json["refusals"],
        json!({"rollback": "already_decided", "resume": null, "stop": "already_stuck"})
    );
    let branches = json["branches"].as_array().unwrap();
    assert_eq!(branches.len(), 2);
    assert_eq!(
        (&branches[0]["participant"], &branches[0]["state"]),
        (&json!("coupon"), &json!("owed"))
    );
    assert_eq!(branches[0]["calls"].as_array().map(Vec::len), Some(2));
    assert_eq!(branches[0]["calls"][1]["took_ms"], 300);

    let letter = transaction::id_of(known.gid);
    archived(&app, &known).await;
    let json = app.get(&known.api(""), &token).await.json();
    assert_eq!(json["dead_letter"], json!(letter));
    let browser = app.browser(OperatorRole::Viewer).await;
    let page = browser.get(&known.page()).await;
    assert_eq!(page.status, 200, "{page:?}");
    for text in [
        "It can only go on committing",
        "coupon: &lt;503&gt;",
        "unknown: &lt;503&gt;",
        "took 300 ms",
        "21 calls",
        &format!("/archives/{letter}"),
        "disabled>Resume",
        "Your role is viewer: this needs operator.",
        "It is stuck already: resume it.",
    ] {
        page.shows(text);
    }
    page.shows_not("<503>");
    let gone = format!("/api/v1/transactions/{}", Uuid::now_v7());
    app.get(&gone, &token).await.is_problem(404, "not_found");
    let gone = format!(
        "/transactions/{}?back=/transactions%3Fstate%3Dstuck",
        Uuid::now_v7()
    );
    assert_eq!(browser.get(&gone).await.status, 404);
}

fn call(answer: &str) -> Attempt {
    Attempt {
        generation: 0,
        attempt: 21,
        lane: Lane::Call,
        started_at: chrono::Utc::now(),
        duration_ms: 300,
        worker: "coupon".to_owned(),
        outcome: if answer == "done" { "done" } else { "failed" }.to_owned(),
        error: Some(format!("confirm: {answer}")),
        next_after_ms: None,
    }
}

/// Puts its dead letter into the archive as the compensator does.
async fn archived(app: &TestApp, known: &Known) {
    use compensation::archive::{
        self, Kept,
        transaction::{StuckTransaction, Uncompensated},
    };
    let what = StuckTransaction {
        gid: known.gid,
        kind: known.kind.to_owned(),
        label: known.label,
        state: known.state.to_owned(),
        direction: "commit".to_owned(),
        epoch: 3,
        reason: None,
        attempts: 20,
        last_error: Some("coupon: <503>".to_owned()),
        uncompensated: vec![Uncompensated {
            participant: "coupon".to_owned(),
            state: "owed".to_owned(),
            attempts: 21,
            last_error: Some("<503>".to_owned()),
        }],
    }
    .to_archive(
        r#"{"units":2}"#,
        vec![call("done"), call("unknown: <503>")],
        chrono::Utc::now(),
    );
    let kept = Kept::in_row(&what);
    let mut db = app.schema.pool.acquire().await.unwrap();
    archive::put(&mut db, &what, &kept).await.unwrap();
}

/// Offered like an order's, the button led to a replay that was refused.
#[tokio::test]
async fn the_dead_letter_of_a_transaction_is_listed_shown_and_resumed_and_never_replayed() {
    let app = TestApp::start().await;
    let known = Known::new("stuck_committing").insert(&app).await;
    archived(&app, &known).await;
    let letter = transaction::id_of(known.gid);
    let browser = app.browser(OperatorRole::Operator).await;
    let list = browser.get("/archives").await;
    list.shows(&format!("href=\"/archives/{letter}"));
    list.shows(&format!(">{}</a>", known.gid));
    list.shows("<span class=\"chip plain\">transaction</span>");
    let page = browser.get(&format!("/archives/{letter}")).await;
    assert_eq!(page.status, 200, "{page:?}");
    for text in [
        "<span class=\"muted\">Transaction</span>",
        "What is not done",
        "<strong>coupon</strong>",
        "Calls to coupon",
        "<strong>21. confirm</strong> <span class=\"chip good\">done</span>",
        "<pre class=\"error\">unknown: &lt;503&gt;</pre>",
        "&lt;503&gt;",
        &format!("href=\"{}\"", known.page()),
        "Go to the transaction",
    ] {
        page.shows(text);
    }
    page.shows_not("Replay this order");
    let token = app.token(OperatorRole::Operator).await;
    let json = app
        .get(&format!("/api/v1/archives/{letter}"), &token)
        .await
        .json();
    assert_eq!(json["kind"], "transaction");
    assert_eq!(json["replay_refusal"], "a_transaction");
    assert_eq!(
        json["transaction"]["uncompensated"][0]["participant"],
        "coupon"
    );
    let refused = ask(&app, &token, &format!("/reprocess_order/{letter}")).await;
    refused.is_problem(409, "a_transaction");
    let listed = app.get("/api/v1/archives?step=complete", &token).await;
    assert_eq!(listed.json()["items"][0]["kind"], "transaction");
    assert_eq!(app.number("select count(*) from operations").await, 0);
}

#[tokio::test]
async fn what_is_stuck_is_resumed_once_and_audited() {
    let app = TestApp::start().await;
    let known = Known::new("stuck_rolling_back").insert(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let path = known.api("/resume");
    let resumed = ask(&app, &token, &path).await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    assert_eq!(
        resumed.json(),
        json!({"gid": known.gid, "state": "rolling_back"})
    );
    assert_eq!(known.state_now(&app).await, "rolling_back");
    ask(&app, &token, &path).await.is_problem(409, "not_stuck");
    let nobody = format!("/api/v1/transactions/{}/resume", Uuid::now_v7());
    ask(&app, &token, &nobody)
        .await
        .is_problem(404, "not_found");
    let lines = app.audited().await;
    let subject = known.gid.to_string();
    let line = |outcome: &str| {
        (
            "transaction.resume".to_owned(),
            subject.clone(),
            outcome.to_owned(),
        )
    };
    assert_eq!(lines[..2], [line("done"), line("refused")]);

    let again = Known::new("stuck_committing").insert(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let form = format!("{}/resume", again.page());
    let done = browser.submit(&form, &[]).await;
    assert_eq!((done.status, done.location), (303, Some(again.page())));
    let page = browser.get(&again.page()).await;
    page.shows("http-equiv=\"refresh\"");
    page.shows("transaction.resume");
    let refused = browser.submit(&form, &[]).await;
    assert_eq!(refused.status, 409);
    refused.shows("Nothing was done. It is not stuck");
    let audit = browser.get("/audit").await;
    audit.shows(&format!("href=\"{}\"", again.page()));
}

#[tokio::test]
async fn a_stop_needs_a_reason_and_something_to_stop() {
    let app = TestApp::start().await;
    let known = Known::new("committing").insert(&app).await;
    let token = app.token(OperatorRole::Operator).await;
    let stop =
        async |known: &Known, body: Value| app.post(&known.api("/stop"), &token, &body).await;
    for body in [
        json!({}),
        json!({"reason": " "}),
        json!({"reason": "x".repeat(501)}),
    ] {
        stop(&known, body).await.is_problem(422, "invalid");
    }
    assert_eq!(known.state_now(&app).await, "committing");
    let why = json!({"reason": "the coupon service is gone for good"});
    let stopped = stop(&known, why.clone()).await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    assert_eq!(stopped.json()["state"], "stuck_committing");
    assert_eq!(known.state_now(&app).await, "stuck_committing");
    assert_eq!(app.number("select handed_over from transactions").await, 0);
    for (state, code) in [
        ("stuck_committing", "already_stuck"),
        ("begun", "not_decided"),
        ("prepared", "not_decided"),
        ("committed", "finished"),
        ("rolled_back", "finished"),
    ] {
        let known = Known::new(state).insert(&app).await;
        stop(&known, why.clone()).await.is_problem(409, code);
        assert_eq!(known.state_now(&app).await, state);
    }
    let line: (String, String, String) =
        sqlx::query_as("select act, outcome, detail from audit_log where act like 'transaction.%' order by id limit 1")
            .fetch_one(&app.schema.pool)
            .await
            .unwrap();
    let [act, outcome, detail] = [
        "transaction.stop",
        "done",
        "the coupon service is gone for good",
    ]
    .map(str::to_owned);
    assert_eq!(line, (act, outcome, detail));

    let other = Known::new("rolling_back").insert(&app).await;
    let browser = app.browser(OperatorRole::Operator).await;
    let form = format!("{}/stop", other.page());
    let refused = browser.submit(&form, &[("reason", "")]).await;
    assert_eq!(refused.status, 422);
    refused.shows("a reason is needed");
    let done = browser.submit(&form, &[("reason", "enough")]).await;
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(other.state_now(&app).await, "stuck_rolling_back");
}

#[tokio::test]
async fn what_is_decided_is_not_rolled_back_and_what_is_no_order_neither() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    for state in [
        "committing",
        "committed",
        "rolling_back",
        "rolled_back",
        "stuck_committing",
        "stuck_rolling_back",
    ] {
        let known = Known::new(state).insert(&app).await;
        let refused = ask(&app, &token, &known.api("/rollback")).await;
        refused.is_problem(409, "already_decided");
        assert_eq!(known.state_now(&app).await, state);
    }
    let mut other = Known::new("begun");
    other.kind = "visit";
    let other = other.insert(&app).await;
    ask(&app, &token, &other.api("/rollback"))
        .await
        .is_problem(409, "not_an_order");
    assert_eq!(app.number("select count(*) from compensations").await, 0);
    let refused = app
        .number("select count(*) from audit_log where act = 'transaction.rollback' and outcome = 'refused'")
        .await;
    assert_eq!(refused, 7);
}

/// An order nobody decided, with its message.
async fn undecided(app: &TestApp, state: &'static str) -> (Known, Value) {
    let mut known = Known::new(state);
    let message = json!({
        "version": 1, "order_id": Uuid::now_v7(), "gid": known.gid, "generation": 0, "sale_id": known.label,
        "user_id": Uuid::now_v7(), "quantity": 2, "price": 999, "remark": "ring twice", "idempotency": null,
        "created_at": "2026-07-03T10:00:00Z",
    });
    known.work =
        Some(json!({"act": "place", "message": message, "foreign": ["coupon"]}).to_string());
    known.branches = vec![("coupon", "unknown")];
    (known.insert(app).await, message)
}

async fn compensation(app: &TestApp, known: &Known) -> (String, Vec<u8>, Option<String>, bool) {
    sqlx::query_as(
        "select state, payload, last_error, not is_claimed from compensations join compensation_messages on id = message_id where gid = ?",
    )
    .bind(known.gid)
    .fetch_one(&app.schema.pool)
    .await
    .unwrap()
}

/// Caught: put into the queue to be tried, as what failed is.
#[tokio::test]
async fn an_undecided_order_is_left_to_the_archive_whether_it_was_tried_again_or_not() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    for state in ["begun", "prepared"] {
        let (known, message) = undecided(&app, state).await;
        let accepted = ask(&app, &token, &known.api("/rollback")).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        assert_eq!(accepted.location, Some(known.api("")));
        assert_eq!(accepted.json()["state"], "archiving");
        let (stands, payload, error, is_free) = compensation(&app, &known).await;
        assert_eq!((stands.as_str(), is_free), ("archiving", true));
        assert_eq!(error.as_deref(), Some("rolled back by an operator"));
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload, message);
        assert_eq!(known.state_now(&app).await, state, "decided by the archive");
        let again = ask(&app, &token, &known.api("/rollback")).await;
        assert_eq!(again.status, 202, "{again:?}");
    }
    assert_eq!(app.number("select count(*) from compensations").await, 2);

    let (tried, _) = undecided(&app, "prepared").await;
    ask(&app, &token, &tried.api("/rollback")).await;
    sqlx::query("update compensations set state = 'dead', attempts = 5, last_error = 'it failed', claim = gid where gid = ?")
        .bind(tried.gid)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    let browser = app.browser(OperatorRole::Operator).await;
    let form = format!("{}/rollback", tried.page());
    assert_eq!(browser.submit(&form, &[]).await.status, 303);
    let (stands, _, error, is_free) = compensation(&app, &tried).await;
    assert_eq!((stands.as_str(), is_free), ("archiving", true));
    assert_eq!(error.as_deref(), Some("it failed"), "why it came to this");

    sqlx::query("update compensations set state = 'held' where gid = ?")
        .bind(tried.gid)
        .execute(&app.schema.pool)
        .await
        .unwrap();
    let refused = ask(&app, &token, &tried.api("/rollback")).await;
    refused.is_problem(409, "held");
    let mut unreadable = Known::new("begun");
    unreadable.work = Some("{}".to_owned());
    let unreadable = unreadable.insert(&app).await;
    let refused = ask(&app, &token, &unreadable.api("/rollback")).await;
    refused.is_problem(409, "message_unreadable");
    let done = app
        .number("select count(*) from audit_log where act = 'transaction.rollback' and outcome = 'done'")
        .await;
    assert_eq!(done, 6);
}

/// Caught: the act done although its line could not be written.
#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Operator).await;
    let stuck = Known::new("stuck_committing").insert(&app).await;
    let going = Known::new("committing").insert(&app).await;
    let (begun, _) = undecided(&app, "begun").await;
    app.schema.execute("rename table audit_log to lost").await;
    for request in [
        app.request(Method::POST, &stuck.api("/resume")),
        app.request(Method::POST, &begun.api("/rollback")),
        app.request(Method::POST, &going.api("/stop"))
            .json(&json!({"reason": "enough"})),
    ] {
        let refused = answer(request.bearer_auth(&token)).await;
        refused.is_problem(503, "unavailable");
    }
    assert_eq!(stuck.state_now(&app).await, "stuck_committing");
    assert_eq!(going.state_now(&app).await, "committing");
    assert_eq!(app.number("select count(*) from compensations").await, 0);
}
