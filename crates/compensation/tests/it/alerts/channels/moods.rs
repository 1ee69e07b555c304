//! Every answer, and none, of every vendor is classed as ALERTS.md says.

use super::{
    Class, class,
    kinds::{HUSH, KINDS, encrypted_pair, expected, pair, says_how_long, secret},
    notice,
};
use compensation::alerts::{Delivered, Status};
use futures::future::join_all;
use service_kit::settings::ChannelKind;
use std::time::{Duration, Instant};
use testkit::receivers::Mood;

/// A try's 15 s, and what a busy machine adds.
const AT_MOST: Duration = Duration::from_secs(25);

async fn tried(kind: ChannelKind, mood: Mood) {
    let pair = if mood == Mood::Garbage {
        encrypted_pair(kind).await
    } else {
        pair(kind).await
    };
    pair.fake.be(mood);
    let asked = Instant::now();
    let delivered = pair.channel.deliver(&notice(Status::Firing)).await;
    let what = format!("{:?}, {mood:?}: {delivered:?}", pair.kind);
    assert_eq!(class(&delivered), expected(kind, mood), "{what}");
    assert!(asked.elapsed() < AT_MOST, "{what}: {:?}", asked.elapsed());
    assert_eq!(pair.fake.refused(), [""; 0], "{what}");
    assert_eq!(pair.fake.calls(), 1, "{what}: once, and no redirect");
    if let Delivered::SlowDown(wait, _) = &delivered {
        let said = match mood {
            Mood::TooFast => says_how_long(kind),
            _ => None,
        };
        assert_eq!(*wait, said, "{what}");
    }
    let words = delivered.error().unwrap_or_default();
    for secret in [HUSH, "127.0.0.1", secret(kind)] {
        assert!(secret.is_empty() || !words.contains(secret), "{what}");
    }
    assert!(words.chars().count() < 400, "{what}");
}

/// Breaks it catches: `errcode` absent taken for 0 (`#[serde(default)]` on it); 130101 classed with the rest; redirects followed
/// (`Policy::none` removed); no timeout on the client.
#[tokio::test]
async fn every_answer_and_none_is_classed_as_the_vendor_means_it() {
    let all = KINDS
        .iter()
        .flat_map(|kind| Mood::ALL.map(|mood| tried(*kind, mood)));
    // The silent ones take their 15 s at the same time.
    join_all(all).await;
}

/// What was wrong is over: the next try arrives.
#[tokio::test]
async fn after_every_trouble_the_next_try_is_taken() {
    for kind in KINDS {
        let pair = pair(kind).await;
        for mood in [Mood::TooFast, Mood::Foreign, Mood::Busy, Mood::Resets] {
            pair.fake.next(mood);
            let notice = notice(Status::Firing);
            let before = pair.fake.received().len();
            let first = pair.channel.deliver(&notice).await;
            assert_ne!(class(&first), Class::Sent, "{kind:?}, {mood:?}");
            let second = pair.channel.deliver(&notice).await;
            assert_eq!(second, Delivered::Sent, "{kind:?}, {mood:?}");
            // Mail is refused before the message is said.
            let received = &pair.fake.received()[before..];
            assert!(
                (1..=2).contains(&received.len()) && received[0].id == received.last().unwrap().id,
                "{kind:?}, {mood:?}: {received:?}"
            );
        }
        assert_eq!(pair.fake.refused(), [""; 0], "{kind:?}");
    }
}
