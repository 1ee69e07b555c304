//! A compensator that is killed between sending an alert and writing down that it arrived: the receiver gets it once more, under its id.

use crate::world::{SOON, World};
use chrono::NaiveDateTime;
use compensation::alerts::{Alert, Severity, outbox::attempts, record};
use sqlx::{Connection as _, MySqlConnection};
use std::time::Duration;
use testkit::{
    eventually,
    process::Process,
    webhooks::{Receiver, Request},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The lease of who died lasts a minute from its claim.
const AFTER_ITS_LEASE: Duration = Duration::from_secs(90);

fn of(alert: &Alert, receiver: &Receiver) -> Vec<Request> {
    let id = alert.id.to_string();
    let requests = receiver.requests().into_iter();
    requests
        .filter(|it| it.header("webhook-id") == id)
        .collect()
}

async fn state(world: &World, alert: &Alert) -> Option<(String, i32)> {
    sqlx::query_as("select state, attempts from alert_outbox where id = ? and channel = 'ops'")
        .bind(alert.id)
        .fetch_optional(&world.schema.pool)
        .await
        .unwrap()
}

/// One more compensator, with one channel.
fn compensator(world: &World, receiver: &Receiver) -> Process {
    let channels = format!(
        "alerts: {{ channels: [ {{ name: ops, kind: webhook, url: \"{}\", secret: {SECRET} }} ], spool:",
        receiver.url()
    );
    let yaml = world.yaml_with(&[("alerts: { spool:", &channels)], "");
    Process::start(env!("CARGO_BIN_EXE_compensator"), &yaml)
}

async fn raised(world: &World) -> Alert {
    let alert = Alert::new(
        "system",
        Severity::Urgent,
        "the till",
        "The till does not answer",
    );
    let mut db = world.schema.pool.acquire().await.unwrap();
    record(&mut db, &alert).await.unwrap();
    alert
}

/// A session that keeps everybody from writing down a try, and nobody from anything before it.
async fn who_lets_no_try_be_written_down(world: &World) -> MySqlConnection {
    let options = service_kit::mysql::options(&world.schema.settings);
    let mut db = MySqlConnection::connect_with(&options).await.unwrap();
    for statement in [
        "set session transaction isolation level repeatable read",
        "start transaction",
        // The end of the table too: what is not there yet.
        "select * from alert_attempts for update",
    ] {
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
    }
    db
}

/// Sessions of this schema that are at such a statement.
async fn are_at(world: &World, statement: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*) from information_schema.processlist
         where db = ? and id <> connection_id() and info like concat(?, '%')",
    )
    .bind(&world.schema.settings.name)
    .bind(statement)
    .fetch_one(&world.schema.pool)
    .await
    .unwrap()
}

/// The receiver has said that it has it, and the process was about to write that down. Meant to break when a lease does not end by itself, when
/// it is written down in another transaction than the try, and when the next process gives the notice another id.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_writes_down_that_an_alert_arrived_it_sends_it_once_more_after_its_lease() {
    const WRITES: &str = "insert into alert_attempts";
    let (world, _) = World::open(1).await;
    let receiver = Receiver::start().await;
    let mut process = compensator(&world, &receiver);
    process.ready(SOON).await;
    let mut held = who_lets_no_try_be_written_down(&world).await;
    let alert = raised(&world).await;
    eventually("it arrived, and is being written down", SOON, || async {
        (are_at(&world, WRITES).await == 1).then_some(())
    })
    .await;
    assert_eq!(of(&alert, &receiver).len(), 1);
    process.kill().await;
    sqlx::raw_sql("rollback").execute(&mut held).await.unwrap();
    eventually("the server has noticed", SOON, || async {
        (are_at(&world, WRITES).await == 0).then_some(())
    })
    .await;
    let pending = ("pending".to_owned(), 0);
    assert_eq!(state(&world, &alert).await, Some(pending));
    let ends: NaiveDateTime =
        sqlx::query_scalar("select due_at from alert_outbox where id = ? and claim is not null")
            .bind(alert.id)
            .fetch_one(&world.schema.pool)
            .await
            .unwrap();

    let mut other = compensator(&world, &receiver);
    other.ready(SOON).await;
    eventually("it is written down", AFTER_ITS_LEASE, || async {
        let delivered = ("delivered".to_owned(), 1);
        (state(&world, &alert).await? == delivered).then_some(())
    })
    .await;
    let requests = of(&alert, &receiver);
    assert_eq!(requests.len(), 2, "one duplicate");
    assert_eq!(requests[0].body, requests[1].body);
    let tries = attempts(&world.schema.pool, alert.id).await.unwrap();
    let outcomes: Vec<_> = tries.iter().map(|it| it.outcome.as_str()).collect();
    assert_eq!(outcomes, ["sent"], "and once written down");
    assert!(
        tries[0].at.naive_utc() >= ends,
        "{tries:?} before the lease's end {ends}"
    );
    other.end(SOON).await;
    assert_eq!(of(&alert, &receiver).len(), 2, "and no more");
}

/// Meant to break when what is sent is written down as delivered before the receiver has answered: it is lost with the process then. And when a
/// notice has another id for the next process.
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_it_wrote_down_that_an_alert_arrived_it_sends_it_once_more_under_its_id() {
    let (world, _) = World::open(1).await;
    let receiver = Receiver::start().await;
    receiver.hang();
    let mut process = compensator(&world, &receiver);
    process.ready(SOON).await;
    let alert = raised(&world).await;
    eventually("the receiver has it", SOON, || async {
        (of(&alert, &receiver).len() == 1).then_some(())
    })
    .await;
    process.kill().await;
    let pending = ("pending".to_owned(), 0);
    assert_eq!(
        state(&world, &alert).await,
        Some(pending),
        "nobody wrote anything down"
    );

    receiver.answer_with(204, &[], "");
    // The lease of who died ends a minute after its claim.
    world
        .schema
        .execute("update alert_outbox set due_at = utc_timestamp(3) where state = 'pending'")
        .await;
    process.restart();
    eventually("it is written down", SOON, || async {
        let delivered = ("delivered".to_owned(), 1);
        (state(&world, &alert).await? == delivered).then_some(())
    })
    .await;
    let requests = of(&alert, &receiver);
    assert_eq!(requests.len(), 2, "one duplicate");
    assert_eq!(requests[0].body, requests[1].body);
    process.end(SOON).await;
    assert_eq!(of(&alert, &receiver).len(), 2, "and no more");
}
