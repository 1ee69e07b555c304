//! What operators do with incidents.

use super::{Desk, trouble, well_again};
use compensation::alerts::incidents::{self, Act, Done, NotDone, State};
use std::time::Duration;
use uuid::Uuid;

async fn act(desk: &Desk, id: Uuid, what: &Act, by: &str) -> Result<Done, NotDone> {
    let mut tx = desk.db().begin().await.unwrap();
    let done = incidents::act(&mut tx, id, what, by).await;
    tx.commit().await.unwrap();
    done
}

fn silence(minutes: u64) -> Act {
    Act::Silence {
        during: Duration::from_mins(minutes),
        reason: "it is known".to_owned(),
    }
}

async fn fires() -> (Desk, Uuid) {
    let desk = Desk::new().await;
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    let id = desk.incident().await.id;
    (desk, id)
}

/// Caught: the row not locked before it is looked at; both are told that they do it then.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_acknowledge_at_once_one_does() {
    for _ in 0..10 {
        let (desk, id) = fires().await;
        let (ann, bob) = tokio::join!(
            act(&desk, id, &Act::Acknowledge, "ann"),
            act(&desk, id, &Act::Acknowledge, "bob")
        );
        let (winner, refused) = match (ann, bob) {
            (Ok(Done::Now(_)), Err(refused)) => ("ann", refused),
            (Err(refused), Ok(Done::Now(_))) => ("bob", refused),
            both => panic!("{both:?}"),
        };
        let NotDone::NotNow { state, by, since } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((state, by.as_deref()), (State::Acknowledged, Some(winner)));
        assert!(since.is_some());
        assert_eq!(
            desk.incident().await.acknowledged_by.as_deref(),
            Some(winner)
        );
        let again = act(&desk, id, &Act::Acknowledge, winner).await;
        assert!(
            matches!(again, Ok(Done::Before(State::Acknowledged))),
            "{again:?}"
        );
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_not_repeated_and_its_end_is_told() {
    let (desk, id) = fires().await;
    act(&desk, id, &Act::Acknowledge, "ann").await.unwrap();
    desk.in_minutes(600).await;
    assert_eq!(desk.told("ops").await, ["firing"]);
    desk.raise(&well_again()).await;
    desk.in_minutes(601).await;
    assert_eq!(desk.told("ops").await, ["firing", "resolved"]);
    assert_eq!(desk.bodies("ops").await[1]["acknowledged_by"], "ann");
    let late = act(&desk, id, &Act::Acknowledge, "bob").await;
    assert!(
        matches!(
            &late,
            Err(NotDone::NotNow {
                state: State::Resolved,
                by: None,
                ..
            })
        ),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_silence_holds_until_it_ends_or_somebody_ends_it() {
    let (desk, id) = fires().await;
    let silenced = act(&desk, id, &silence(60), "ann").await.unwrap();
    assert_eq!(silenced, Done::Now(State::Silenced));
    desk.raise(&trouble()).await;
    desk.in_minutes(59).await;
    assert_eq!(desk.told("ops").await, ["firing"]);
    desk.in_minutes(61).await;
    desk.in_minutes(62).await;
    assert_eq!(desk.told("ops").await, ["firing", "changed"]);

    let (desk, id) = fires().await;
    act(&desk, id, &silence(60), "ann").await.unwrap();
    desk.in_minutes(0).await;
    let ended = act(&desk, id, &Act::Unsilence, "bob").await.unwrap();
    assert_eq!(ended, Done::Now(State::Firing));
    desk.in_minutes(1).await;
    desk.in_minutes(2).await;
    assert_eq!(desk.told("ops").await, ["firing", "repeated"]);
    let again = act(&desk, id, &Act::Unsilence, "bob").await;
    assert!(matches!(again, Err(NotDone::NotNow { .. })), "{again:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let (desk, id) = fires().await;
    for bad in [
        silence(0),
        silence(7 * 24 * 60 + 1),
        Act::Silence {
            during: Duration::from_mins(5),
            reason: " ".to_owned(),
        },
        Act::Close {
            reason: "x".repeat(501),
        },
        Act::Assign(Some("x".repeat(65))),
    ] {
        let refused = act(&desk, id, &bad, "ann").await;
        assert!(matches!(refused, Err(NotDone::Bad(_))), "{refused:?}");
    }
    let nothing = act(&desk, Uuid::now_v7(), &Act::Acknowledge, "ann").await;
    assert!(matches!(nothing, Err(NotDone::NotFound)));
    act(&desk, id, &silence(7 * 24 * 60), "ann").await.unwrap();
}

#[tokio::test]
async fn who_closes_it_ends_it_and_people_hear_how() {
    let (desk, id) = fires().await;
    act(&desk, id, &Act::Assign(Some("bob".to_owned())), "ann")
        .await
        .unwrap();
    let close = Act::Close {
        reason: "nobody needs it".to_owned(),
    };
    act(&desk, id, &close, "bob").await.unwrap();
    desk.in_minutes(0).await;
    let incident = desk.incident().await;
    assert_eq!(incident.assigned_to.as_deref(), Some("bob"));
    assert_eq!(
        incident.resolution.as_deref(),
        Some("closed by bob: nobody needs it")
    );
    assert_eq!(desk.told("ops").await, ["firing", "resolved"]);
    desk.raise(&trouble()).await;
    desk.in_minutes(0).await;
    assert_eq!(desk.number("select count(*) from incidents").await, 2);
}
