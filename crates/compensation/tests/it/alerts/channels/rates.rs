//! A channel's own rate keeps within its vendor's, which is counted by the fake's clock.

use super::{
    Class, class,
    kinds::{KINDS, at_once, pair},
    notice,
};
use compensation::alerts::{Delivered, Status};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);
const TICKS: u32 = 6 * 60;

/// Breaks it catches: a bucket whose burst and refill together are more than a vendor takes in a minute (10 and 18, or 10 and 14, where
/// 20 are taken), or in a few seconds (3 and 55 a minute, where 4 are taken in three seconds).
#[tokio::test]
async fn as_fast_as_its_own_bucket_allows_a_channel_never_meets_its_vendors_limit() {
    for kind in KINDS {
        let pair = pair(kind).await;
        let rate = pair.channel.rate();
        assert!(
            rate.burst >= 1.0 && rate.per_minute > 0.0,
            "{kind:?}: {rate:?}"
        );
        let notice = notice(Status::Firing);
        let mut tokens = rate.burst;
        let mut sent = 0;
        for tick in 0..TICKS {
            while tokens >= 1.0 {
                let delivered = pair.channel.deliver(&notice).await;
                let refused = pair.fake.refused();
                assert_eq!(
                    delivered,
                    Delivered::Sent,
                    "{kind:?}, {rate:?}, tick {tick}, {sent} sent: {refused:?}"
                );
                tokens -= 1.0;
                sent += 1;
            }
            pair.fake.later(TICK);
            tokens = rate
                .per_minute
                .mul_add(TICK.as_secs_f64() / 60.0, tokens)
                .min(rate.burst);
        }
        assert_eq!(pair.fake.received().len(), sent, "{kind:?}");
    }
}

/// Breaks it catches: a fake without a rate, of any kind. The fakes' clocks stand: on a busy machine the sixth of five a second came a
/// second later, and was taken.
#[tokio::test]
async fn one_more_than_a_vendor_takes_is_told_to_slow_down_and_later_there_is_room() {
    for (kind, most) in KINDS.map(|kind| (kind, at_once(kind))) {
        let pair = pair(kind).await;
        pair.fake.stand_still();
        let notice = notice(Status::Firing);
        for number in 0..most {
            let delivered = pair.channel.deliver(&notice).await;
            assert_eq!(delivered, Delivered::Sent, "{kind:?}, {number}");
        }
        let one_more = pair.channel.deliver(&notice).await;
        assert_eq!(class(&one_more), Class::SlowDown, "{kind:?}: {one_more:?}");
        pair.fake.counts_later(Duration::from_mins(11));
        assert_eq!(
            pair.channel.deliver(&notice).await,
            Delivered::Sent,
            "{kind:?}"
        );
    }
}
