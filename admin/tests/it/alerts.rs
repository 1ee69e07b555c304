//! Alerts: what nobody got stands first.

use crate::app::TestApp;
use identity::OperatorRole;
use service_kit::settings::{ChannelKind, ChannelSettings, Secret};
use uuid::Uuid;

async fn alert(app: &TestApp, title: &str, channel: &str, state: &str, minutes: u32) {
    let (id, subject) = (Uuid::now_v7().simple().to_string(), Uuid::now_v7());
    app.schema
        .execute(&format!(
            "insert into alert_outbox (id, channel, kind, severity, subject, title, body, state, attempts, due_at, last_error, created_at) \
             values (x'{id}', '{channel}', 'archived', 'urgent', '{subject}', '{title}', '{{}}', '{state}', 2, utc_timestamp(3), \
             if('{state}' = 'delivered', null, 'connection refused'), utc_timestamp(3) - interval {minutes} minute)"
        ))
        .await;
}

#[tokio::test]
async fn what_nobody_got_stands_first_and_in_the_navigation() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    browser.get("/alerts").await.shows("No alert was raised.");
    alert(&app, "new and delivered", "ops", "delivered", 1).await;
    alert(&app, "old and lost", "", "undelivered", 600).await;
    alert(&app, "waits", "ops", "pending", 5).await;
    let page = browser.get("/alerts").await;
    let place = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(place("old and lost") < place("new and delivered"));
    assert!(place("waits") < place("new and delivered"));
    page.shows("connection refused");
    page.shows("none configured");
    page.shows("<span class=\"count bad\" title=\"alerts nobody got\">1</span>");
    let lost = browser.get("/alerts?show=undelivered").await;
    lost.shows("old and lost");
    lost.shows_not("new and delivered");
    assert_eq!(browser.get("/alerts?show=x").await.status, 422);
}

/// Meant to break when every subject that is an id is taken for a row of the archive: a sale is none.
#[tokio::test]
async fn only_what_is_about_the_archive_leads_there() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Viewer).await;
    alert(&app, "given up", "ops", "delivered", 1).await;
    alert(&app, "drifted", "ops", "delivered", 2).await;
    app.schema
        .execute("update alert_outbox set kind = 'drift' where title = 'drifted'")
        .await;
    let page = browser.get("/alerts").await;
    for (title, leads) in [("given up", true), ("drifted", false)] {
        let subject: String =
            sqlx::query_scalar("select subject from alert_outbox where title = ?")
                .bind(title)
                .fetch_one(&app.schema.pool)
                .await
                .unwrap();
        page.shows(&subject);
        let link = format!("href=\"/archives/{subject}\"");
        assert_eq!(page.text.contains(&link), leads, "{title}");
    }
}

#[tokio::test]
async fn programs_read_them_page_by_page() {
    let app = TestApp::start().await;
    for number in 0..60 {
        alert(
            &app,
            &format!("alert {number}"),
            "ops.b",
            "delivered",
            number / 5,
        )
        .await;
    }
    let token = app.token(OperatorRole::Viewer).await;
    let first = app.get("/api/v1/alerts", &token).await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(50));
    let next = first["next"].as_str().expect("there are more");
    let second = app
        .get(&format!("/api/v1/alerts?before={next}"), &token)
        .await
        .json();
    assert_eq!(second["items"].as_array().map(Vec::len), Some(10));
    assert!(second["next"].is_null());
    app.get("/api/v1/alerts?before=x", &token)
        .await
        .is_problem(422, "invalid");
}

/// An admin whose settings have the channel `ops`.
async fn with_a_channel() -> TestApp {
    TestApp::start_with(|settings| {
        settings.alerts.channels = vec![ChannelSettings {
            name: "ops".to_owned(),
            kind: ChannelKind::Webhook,
            url: Secret::new("http://127.0.0.1:1/MARKEDPATH"),
            secret: Secret::new("whsec_MARKEDSECRETMARKEDSECRETMARKEDSECRETMARK"),
            ..ChannelSettings::default()
        }];
    })
    .await
}

/// Breaks when a digest's page does not lead to what it tells of, or a page shows where alerts go.
#[tokio::test]
async fn a_notice_is_shown_with_its_tries_and_what_its_digest_tells_of() {
    let app = with_a_channel().await;
    let browser = app.browser(OperatorRole::Operator).await;
    let ask = async |act: &str| {
        browser
            .submit(&format!("/alerts/channels/ops/{act}"), &[])
            .await
    };
    let asked = ask("test").await;
    assert_eq!(asked.status, 303, "{asked:?}");
    let page = asked.location.expect("the test's page");
    let id = page.rsplit('/').next().expect("an id").replace('-', "");
    app.schema
        .execute(&format!(
            "insert into alert_attempts (alert_id, channel, at, took_ms, outcome, error, asked_by) \
             values (x'{id}', 'ops', utc_timestamp(3), 1500, 'slow_down', 'slow down: HTTP 429', 'some-operator')"
        ))
        .await;
    alert(&app, "told of by a digest", "ops", "digested", 5).await;
    app.schema
        .execute(&format!(
            "update alert_outbox set status = 'digest', state = 'delivered' where id = x'{id}'"
        ))
        .await;
    app.schema
        .execute(&format!(
            "update alert_outbox set digest_id = x'{id}' where state = 'digested'"
        ))
        .await;
    let shown = browser.get(&page).await;
    for text in [
        "This is a test of ops",
        "slow down: HTTP 429",
        "some-operator",
        "1.5 s",
        "Send again",
        "told of by a digest",
        "digested",
    ] {
        shown.shows(text);
    }
    let viewer = app.browser(OperatorRole::Viewer).await;
    let seen = viewer.get(&page).await;
    seen.shows(
        "<button disabled title=\"Your role is viewer: this needs operator.\">Send again</button>",
    );
    seen.shows_not("<button>Send again</button>");
    let token = app.token(OperatorRole::Viewer).await;
    let api = format!("/api/v1{page}");
    let json = app.get(&api, &token).await;
    assert_eq!(json.json()["attempts"][0]["asked_by"], "some-operator");
    assert_eq!(json.json()["digested"][0]["title"], "told of by a digest");
    for page in [page.as_str(), "/alerts", "/alerts/channels"] {
        browser.get(page).await.shows_not("MARKED");
    }
    json.shows_not("MARKED");
    assert_eq!(
        app.audited().await,
        [(
            "alert_channel.test".to_owned(),
            "ops".to_owned(),
            "done".to_owned()
        )]
    );
}

/// Breaks when somebody may send to a channel that nobody configured, or an act is done without its line in the audit.
#[tokio::test]
async fn what_was_given_up_is_sent_again_where_it_is_asked_for() {
    let app = with_a_channel().await;
    let browser = app.browser(OperatorRole::Operator).await;
    alert(&app, "nobody got it", "", "undelivered", 600).await;
    let id: Uuid = sqlx::query_scalar("select id from alert_outbox")
        .fetch_one(&app.schema.pool)
        .await
        .expect("the alert");
    let path = format!("/alerts/{id}/redeliver");
    browser
        .get(&format!("/alerts/{id}"))
        .await
        .shows("Send there too");
    let elsewhere = browser.submit(&path, &[("channel", "elsewhere")]).await;
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    elsewhere.shows("have no channel of this name");
    let sent = browser.submit(&path, &[("channel", "ops")]).await;
    assert_eq!(sent.status, 303, "{sent:?}");
    let waits = "select count(*) from alert_outbox where state = 'pending' and channel = 'ops' and asked_by = 'some-operator'";
    assert_eq!(app.number(waits).await, 1);
    app.schema
        .execute(
            "update alert_outbox set claim = id, due_at = utc_timestamp(3) + interval 1 minute",
        )
        .await;
    let token = app.token(OperatorRole::Operator).await;
    let body = serde_json::json!({"channel": "ops"});
    let api = format!("/api/v1{path}");
    app.post(&api, &token, &body)
        .await
        .is_problem(409, "in_hand");
    app.schema
        .execute("update alert_outbox set claim = null")
        .await;
    assert_eq!(app.post(&api, &token, &body).await.status, 202);
    let unknown = format!("/api/v1/alerts/{}/redeliver", Uuid::now_v7());
    app.post(&unknown, &token, &body)
        .await
        .is_problem(404, "not_found");
    let outcomes: Vec<_> = app
        .audited()
        .await
        .into_iter()
        .map(|(act, _, outcome)| (act, outcome))
        .collect();
    let of = |outcome: &str| ("alert.redeliver".to_owned(), outcome.to_owned());
    assert_eq!(
        outcomes,
        ["refused", "done", "refused", "done", "refused"].map(of)
    );
}

/// Breaks when the page offers what is refused: a button, and then a page that says no.
#[tokio::test]
async fn of_an_incident_that_is_over_no_beginning_can_be_sent_again_and_its_end_can() {
    let app = with_a_channel().await;
    let browser = app.browser(OperatorRole::Operator).await;
    for (title, minutes) in [("it began", 10), ("it is over", 5)] {
        alert(&app, title, "ops", "delivered", minutes).await;
    }
    for done in [
        "insert into incidents (id, group_key, kind, severity, title, subject, opened_by, latest_id, alerts, first_at, last_at, state, \
         resolved_at, told) select id, 'group', kind, 'urgent', title, subject, id, id, 1, created_at, created_at, 'open', null, '{}' \
         from alert_outbox where title = 'it began'",
        "update alert_outbox set incident_id = (select id from incidents), status = 'firing', sequence = 1",
        "update alert_outbox set status = 'resolved', sequence = 2 where title = 'it is over'",
    ] {
        app.schema.execute(done).await;
    }
    let page_of = async |title: &str| {
        let id: Uuid = sqlx::query_scalar("select id from alert_outbox where title = ?")
            .bind(title)
            .fetch_one(&app.schema.pool)
            .await
            .expect("the notice");
        format!("/alerts/{id}")
    };
    let (begun, over) = (page_of("it began").await, page_of("it is over").await);
    let button = "<button>Send again</button>";
    browser.get(&begun).await.shows(button);
    app.schema
        .execute("update incidents set state = 'resolved', resolved_at = utc_timestamp(3)")
        .await;
    let shown = browser.get(&begun).await;
    shown.shows("<button disabled title=\"What it tells of is over: have its end sent instead.\">Send again</button>");
    shown.shows_not(button);
    browser.get(&over).await.shows(button);
    let refused = browser
        .submit(&format!("{begun}/redeliver"), &[("channel", "ops")])
        .await;
    assert_eq!(refused.status, 409, "{refused:?}");
    refused.shows("have its end sent instead");
}

#[tokio::test]
async fn a_channel_that_is_off_is_shown_and_switched_on_once() {
    let app = with_a_channel().await;
    let browser = app.browser(OperatorRole::Operator).await;
    browser.get("/alerts/channels").await.shows("not used yet");
    app.schema
        .execute(
            "insert into alert_channels (name, tokens, refilled_at, burst, per_minute, failures, off_at, off_why) \
             values ('ops', 3.5, utc_timestamp(3), 30, 60, 1, utc_timestamp(3), 'channel broken: HTTP 410')",
        )
        .await;
    alert(&app, "waits", "ops", "pending", 5).await;
    let alerts = browser.get("/alerts").await;
    alerts.shows("Nothing is sent on <strong>ops</strong>: channel broken: HTTP 410. 1 wait");
    let page = browser.get("/alerts/channels").await;
    page.shows("Switch on");
    page.shows("of 30, 60 a minute");
    let viewer = app.browser(OperatorRole::Viewer).await;
    let seen = viewer.get("/alerts/channels").await;
    for act in ["Send a test", "Switch on"] {
        seen.shows(&format!(
            "<button disabled title=\"Your role is viewer: this needs operator.\">{act}</button>"
        ));
        seen.shows_not(&format!("<button>{act}</button>"));
    }
    let on = browser.submit("/alerts/channels/ops/on", &[]).await;
    assert_eq!(on.status, 303, "{on:?}");
    assert_eq!(
        app.number("select count(*) from alert_channels where off_at is null")
            .await,
        1
    );
    let again = browser.submit("/alerts/channels/ops/on", &[]).await;
    assert_eq!(again.status, 409, "{again:?}");
    again.shows("The channel is on");
    let token = app.token(OperatorRole::Operator).await;
    let json = app.get("/api/v1/alerts/channels", &token).await.json();
    assert_eq!(json["items"][0]["pending"], 1);
    app.post(
        "/api/v1/alerts/channels/ops/on",
        &token,
        &serde_json::json!({}),
    )
    .await
    .is_problem(409, "not_off");
}
