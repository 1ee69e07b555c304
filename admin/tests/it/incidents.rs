//! Incidents: what stands, who was told, and what operators do about it.

use crate::app::TestApp;
use compensation::alerts::{Alert, Channels, Folder, Severity, record};
use identity::OperatorRole;
use serde_json::json;
use service_kit::settings::Alerts;
use uuid::Uuid;

/// An incident of one alert, told to nobody for there is no channel.
pub async fn told_of(app: &TestApp, title: &str) -> Uuid {
    let subject = Uuid::now_v7().to_string();
    let alert = Alert::new("system", Severity::Urgent, &subject, title);
    raise(app, &alert).await;
    let id = sqlx::query_scalar("select incident_id from alerts where id = ?")
        .bind(alert.id)
        .fetch_one(&app.schema.pool);
    id.await.unwrap()
}

async fn raise(app: &TestApp, alert: &Alert) {
    let mut db = app.schema.pool.acquire().await.unwrap();
    record(&mut db, alert).await.unwrap();
    fold(app).await;
}

async fn fold(app: &TestApp) {
    let pool = app.schema.pool.clone();
    let folder = Folder::new(pool, &Alerts::default(), &Channels::default());
    folder.run_once().await.unwrap();
}

#[tokio::test]
async fn what_stands_and_what_is_over_are_listed_and_shown() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Operator).await;
    browser.get("/incidents").await.shows("Nothing stands.");
    let id = told_of(&app, "The archive does not answer").await;
    let page = browser.get("/incidents").await;
    page.shows("The archive does not answer");
    page.shows(&format!("/incidents/{id}"));
    let resolved = browser.get("/incidents?show=resolved").await;
    resolved.shows_not("The archive does not answer");
    let page = browser.get(&format!("/incidents/{id}")).await;
    page.shows("none configured");
    let notice: Uuid = sqlx::query_scalar("select id from alert_outbox where incident_id = ?")
        .bind(id)
        .fetch_one(&app.schema.pool)
        .await
        .unwrap();
    // Its tries are there. Meant to break when who was told is shown without them.
    page.shows(&format!("href=\"/alerts/{notice}\""));
    // What it is about has an id, and is not in the archive.
    page.shows_not("href=\"/archives/");
    page.shows("firing");
    page.shows("1 alert");
    assert_eq!(browser.get("/incidents?show=x").await.status, 422);
    assert_eq!(browser.get("/incidents?before=x").await.status, 422);
    let nothing = format!("/incidents/{}", Uuid::now_v7());
    assert_eq!(browser.get(&nothing).await.status, 404);
}

#[tokio::test]
async fn operators_act_and_each_act_is_in_the_audit() {
    let app = TestApp::start().await;
    let browser = app.browser(OperatorRole::Operator).await;
    let id = told_of(&app, "It stands").await;
    let page = format!("/incidents/{id}");
    let act = |act: &str| format!("{page}/{act}");
    for (name, form) in [
        ("acknowledge", vec![]),
        ("assign", vec![("to", "some-operator")]),
        (
            "silence",
            vec![("minutes", "60"), ("reason", "it is known")],
        ),
    ] {
        let done = browser.submit(&act(name), &form).await;
        assert_eq!(
            (done.status, done.location.as_deref()),
            (303, Some(page.as_str())),
            "{name}"
        );
    }
    let shown = browser.get(&page).await;
    shown.shows("acknowledged and silenced");
    shown.shows("it is known");
    shown.shows("some-operator looks after it.");
    shown.shows("incident.silence");
    let refused = browser
        .submit(&act("assign"), &[("to", "nobody-of-this-name")])
        .await;
    assert_eq!(refused.status, 422);
    refused.shows("there is no operator of this name");
    let refused = browser
        .submit(&act("silence"), &[("minutes", "999999"), ("reason", "x")])
        .await;
    assert_eq!(refused.status, 422);
    browser.submit(&act("unsilence"), &[]).await;
    let refused = browser.submit(&act("unsilence"), &[]).await;
    assert_eq!(refused.status, 409);
    browser
        .submit(&act("close"), &[("reason", "mended by hand")])
        .await;
    browser
        .get(&page)
        .await
        .shows("closed by some-operator: mended by hand");
    let outcomes: Vec<(String, String)> =
        sqlx::query_as("select act, outcome from audit_log where subject = ? order by id")
            .bind(id.to_string())
            .fetch_all(&app.schema.pool)
            .await
            .unwrap();
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(act, outcome)| format!("{act} {outcome}"))
        .collect();
    assert_eq!(
        outcomes,
        [
            "incident.acknowledge done",
            "incident.assign done",
            "incident.silence done",
            "incident.assign refused",
            "incident.silence refused",
            "incident.unsilence done",
            "incident.unsilence refused",
            "incident.close done",
        ]
    );
}

#[tokio::test]
async fn of_two_who_acknowledge_the_second_is_told_who_did() {
    let app = TestApp::start().await;
    let (operator, admin) = tokio::join!(
        app.token(OperatorRole::Operator),
        app.token(OperatorRole::Admin)
    );
    let id = told_of(&app, "It stands").await;
    let path = format!("/api/v1/incidents/{id}/acknowledge");
    let nothing = json!({});
    let (one, other) = tokio::join!(
        app.post(&path, &operator, &nothing),
        app.post(&path, &admin, &nothing)
    );
    let (done, refused) = if one.status == 200 {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(done.status, 200, "{done:?}");
    refused.is_problem(409, "not_now");
    let done = done.json();
    assert_eq!(done["state"], "acknowledged");
    assert_eq!(refused.json()["by"], done["acknowledged_by"]);
    let again = done["acknowledged_by"] == "some-operator";
    let winner = if again { &operator } else { &admin };
    assert_eq!(
        app.post(&path, winner, &nothing).await.status,
        200,
        "a second click is no second act"
    );
}

#[tokio::test]
async fn programs_read_incidents_and_their_alerts_page_by_page() {
    let app = TestApp::start().await;
    let token = app.token(OperatorRole::Viewer).await;
    for number in 0..60 {
        let alert = Alert::new("system", Severity::Urgent, &format!("s{number}"), "t");
        let mut db = app.schema.pool.acquire().await.unwrap();
        record(&mut db, &alert).await.unwrap();
        let more = Alert::new("system", Severity::Warning, &format!("m{number}"), "t").group("one");
        record(&mut db, &more).await.unwrap();
    }
    fold(&app).await;
    let first = app.get("/api/v1/incidents", &token).await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(50));
    let next = first["next"].as_str().expect("there are more");
    let second = app
        .get(&format!("/api/v1/incidents?before={next}"), &token)
        .await
        .json();
    assert_eq!(second["items"].as_array().map(Vec::len), Some(11));
    assert!(second["next"].is_null());
    let all = first["items"]
        .as_array()
        .into_iter()
        .chain(second["items"].as_array())
        .flatten();
    let one = all
        .clone()
        .find(|it| it["group"] == "one")
        .expect("it is listed");
    assert_eq!(one["alerts"], 60);
    let alerts = format!("/api/v1/incidents/{}/alerts", one["id"].as_str().unwrap());
    let first = app.get(&alerts, &token).await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(50));
    let next = first["next"].as_str().expect("there are more");
    let second = app
        .get(&format!("{alerts}?before={next}"), &token)
        .await
        .json();
    assert_eq!(second["items"].as_array().map(Vec::len), Some(10));
}
