//! A compensator that is killed between sending an alert and writing down that it arrived: the receiver gets it once more, under its id.

use crate::world::{SOON, World};
use compensation::alerts::{Alert, Severity, record};
use testkit::{
    eventually,
    process::Process,
    webhooks::{Receiver, Request},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

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

/// Meant to break when what is sent is written down as delivered before the receiver has answered: it is lost with the process then. And when a
/// notice has another id for the next process.
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_it_wrote_down_that_an_alert_arrived_it_sends_it_once_more_under_its_id() {
    let (world, _) = World::open(1).await;
    let receiver = Receiver::start().await;
    receiver.hang();
    let channels = format!(
        "alerts: {{ channels: [ {{ name: ops, kind: webhook, url: \"{}\", secret: {SECRET} }} ], spool:",
        receiver.url()
    );
    let yaml = world.yaml_with(&[("alerts: { spool:", &channels)], "");
    let mut process = Process::start(env!("CARGO_BIN_EXE_compensator"), &yaml);
    process.ready(SOON).await;
    let alert = Alert::new(
        "system",
        Severity::Urgent,
        "the till",
        "The till does not answer",
    );
    let mut db = world.schema.pool.acquire().await.unwrap();
    record(&mut db, &alert).await.unwrap();
    drop(db);
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
