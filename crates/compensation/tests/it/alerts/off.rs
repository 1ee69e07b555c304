//! A channel that is off: however much waits there, nothing of it is looked at.

use super::{Desk, quick, states};
use compensation::alerts::{
    Alert, Notice, Severity, Status,
    outbox::{insert_notice, redeliver, switch_on},
};
use service_kit::settings::ChannelKind;
use testkit::webhooks::Receiver;
use uuid::Uuid;

fn notice(incident: Uuid, sequence: u32, status: Status) -> Notice {
    let mut notice = Notice::of(Alert::new(
        "figure",
        Severity::Urgent,
        "queue",
        "It is long",
    ));
    (notice.incident, notice.sequence, notice.status) = (Some(incident), sequence, status);
    notice
}

/// Breaks when a channel that is off is looked at like others: with each look all that waits is read and locked, for nothing; here it would
/// be marked what a later notice says as well.
#[tokio::test]
async fn of_a_channel_that_is_off_nothing_is_looked_at_until_somebody_asks() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let courier = desk.courier(quick());
    hook.answer_next_with(410, &[], "");
    let gone = Notice::of(super::alert("gone"));
    desk.write(&gone.alert).await;
    courier.run_once().await.unwrap();
    assert_eq!(hook.requests().len(), 1);
    let incident = Uuid::now_v7();
    let (first, last) = (
        notice(incident, 1, Status::Firing),
        notice(incident, 2, Status::Changed),
    );
    let mut db = desk.db().acquire().await.unwrap();
    for notice in [&first, &last] {
        insert_notice(&mut db, desk.channels.names(), notice)
            .await
            .unwrap();
    }
    for _ in 0..3 {
        assert_eq!(courier.run_once().await.unwrap(), 0);
    }
    assert_eq!(
        states(&desk).await,
        [("pending", 3)],
        "nobody looked at them"
    );
    assert_eq!(hook.requests().len(), 1);
    // What somebody asks for is sent all the same, and it alone.
    redeliver(&mut db, last.id(), "ops", "anna").await.unwrap();
    assert_eq!(courier.run_once().await.unwrap(), 1);
    assert_eq!(hook.requests().len(), 2);
    assert!(switch_on(&mut db, "ops").await.unwrap());
    courier.run_once().await.unwrap();
    let after = states(&desk).await;
    assert!(
        !after.iter().any(|(state, _)| *state == "pending"),
        "{after:?}"
    );
}
