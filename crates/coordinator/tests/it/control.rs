//! What operators see of transactions.

use crate::theatre::{Mood, Theatre};
use coordinator::{
    Gid, Label, TxState,
    control::{Cursor, Filter, get, list},
};
use std::collections::HashSet;
use uuid::Uuid;

/// All pages of `limit`, turned as a browser turns them.
async fn pages(theatre: &Theatre, filter: &Filter, limit: usize) -> Vec<(Gid, TxState)> {
    let mut all = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = list(&theatre.schema.pool, filter, after.as_ref(), limit)
            .await
            .unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items.iter().map(|item| (item.gid, item.state)));
        let Some(next) = page.next else { return all };
        after = Some(next.to_string().parse().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_everything_once_with_what_needs_a_person_first() {
    let theatre = Theatre::with_seats(0).await;
    theatre.left_behind(250, "committing").await;
    for (state, range) in [
        ("committed", "1 and 100"),
        ("rolled_back", "101 and 150"),
        ("stuck_rolling_back", "151 and 160"),
        ("begun", "161 and 170"),
    ] {
        // Many are due, and made, at the same instant.
        theatre
            .schema
            .execute(&format!(
                "update transactions set state = '{state}', due_at = '2026-01-01 00:00:00.5'
                 where conv(hex(gid), 16, 10) between {range}"
            ))
            .await;
    }
    let all = pages(&theatre, &Filter::default(), 7).await;
    let distinct: HashSet<Gid> = all.iter().map(|(gid, _)| *gid).collect();
    assert_eq!((all.len(), distinct.len()), (250, 250));
    let mut states: Vec<TxState> = all.iter().map(|(_, state)| *state).collect();
    states.dedup();
    assert_eq!(
        states,
        [
            TxState::StuckRollingBack,
            TxState::Begun,
            TxState::Committing,
            TxState::RolledBack,
            TxState::Committed,
        ]
    );

    let finished = Filter {
        states: vec![TxState::Committed],
        ..Filter::default()
    };
    assert_eq!(pages(&theatre, &finished, 100).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_the_few_among_the_many() {
    let theatre = Theatre::with_seats(0).await;
    theatre.left_behind(3_000, "committed").await;
    let label = Label::from_uuid(Uuid::from_u128(0xabc));
    let rare = "update transactions set label = unhex(lpad('abc', 32, '0')), kind = 'rare' where conv(hex(gid), 16, 10) in (5, 2900)";
    theatre.schema.execute(rare).await;
    for filter in [
        Filter {
            label: Some(label),
            ..Filter::default()
        },
        Filter {
            kind: Some("rare".to_owned()),
            ..Filter::default()
        },
    ] {
        assert_eq!(pages(&theatre, &filter, 1).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_shown_with_its_attempts_times_and_last_error() {
    let theatre = Theatre::with_seats(1).await;
    theatre.cloakroom.is(Mood::Fails);
    let (seated, refused) = (theatre.decided(7).await, theatre.decided(8).await);
    theatre.recovered(2).await;
    let db = &theatre.schema.pool;
    let details = get(db, seated).await.unwrap().unwrap();
    assert_eq!(details.payload, r#"{"visitor":7}"#);
    let shown = details.transaction;
    assert_eq!(
        (shown.kind.as_str(), shown.state),
        ("visit", TxState::Committing)
    );
    assert_eq!(
        (shown.attempts, shown.epoch, shown.finished_at),
        (1, 1, None)
    );
    assert_eq!(
        shown.last_error.as_deref(),
        Some("cloakroom: no hooks left")
    );
    assert!(shown.due_at > shown.created_at && shown.age_ms >= 0);
    let reason = get(db, refused).await.unwrap().unwrap().transaction.reason;
    assert_eq!(reason.as_deref(), Some("full"));

    theatre.cloakroom.is(Mood::Works);
    theatre.recovered(2).await;
    let shown = get(db, seated).await.unwrap().unwrap().transaction;
    assert_eq!(shown.state, TxState::Committed);
    assert_eq!(shown.last_error, None);
    let took = shown.finished_at.unwrap() - shown.created_at;
    assert_eq!(took.num_milliseconds(), shown.age_ms);
    assert!(
        get(db, Gid::from_uuid(Uuid::nil()))
            .await
            .unwrap()
            .is_none()
    );
}
