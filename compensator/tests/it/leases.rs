//! The lease rows that keep two compensators from doing one job at once.

use ordering::leases::{Held, Leases};
use std::{future::pending, time::Duration};

const LONG: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn one_holder_at_a_time_and_a_lease_given_back_is_free() {
    let schema = testkit::mysql::schema().await;
    let one = Leases::new(schema.pool.clone(), "test");
    let other = Leases::new(schema.pool.clone(), "test");
    let inside = one.under("job", LONG, other.under("job", LONG, async {}));
    assert!(matches!(inside.await, Ok(Held::Done(Ok(Held::Busy)))));
    assert_eq!(
        other.under("job", LONG, async { 7 }).await.unwrap(),
        Held::Done(7)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_abandoned_when_the_lease_went_to_another() {
    let schema = testkit::mysql::schema().await;
    let one = Leases::new(schema.pool.clone(), "test");
    let other = Leases::new(schema.pool.clone(), "test");
    let ttl = Duration::from_secs(6);
    let lost = one.under("job", ttl, async {
        // As if this holder had slept past its lease.
        schema
            .execute("update leases set expires_at = '2000-01-01'")
            .await;
        assert!(other.acquire("job", LONG).await.unwrap());
        pending::<()>().await;
    });
    assert_eq!(lost.await.unwrap(), Held::Lost);
    assert!(
        !one.acquire("job", LONG).await.unwrap(),
        "it is the other's now"
    );
}
