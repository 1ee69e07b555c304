//! Every message is as its vendor wants it: shape, size, signature, id.

use super::{
    Class, TITLE, alert, class,
    kinds::{KINDS, channel, channel_in, fake, pair, secret, signs, url},
    notice,
};
use compensation::alerts::{Delivered, Notice, Status};
use service_kit::settings::ChannelKind;
use std::time::Duration;
use testkit::receivers::{Fake, StandardWebhooks};

/// Letters that grow when they are encoded, or mean something to a vendor.
const PIECES: [&str; 9] = ["x", "\"", "ü", "\u{1}", "😀", "<", "&", "退款\n", "[a](b) "];
const MEGABYTE: usize = 1024 * 1024;
/// All that calls everybody, somewhere.
const CALLS: &str = "@all @everyone <!channel> <!here> <!everyone> <@all> <at id=all></at> <at user_id=\"all\">all</at>";

#[tokio::test]
async fn a_notice_of_every_status_is_taken_in_every_language() {
    for (kind, language) in KINDS.iter().flat_map(|kind| [(*kind, "en"), (*kind, "zh")]) {
        let fake = fake(kind).await;
        let channel = channel_in(language, kind, &url(kind, &fake), secret(kind));
        for status in Status::ALL {
            let notice = notice(status);
            let delivered = channel.deliver(&notice).await;
            let refused = fake.refused();
            assert_eq!(
                delivered,
                Delivered::Sent,
                "{kind:?}, {status:?}: {refused:?}"
            );
            // So that no rate is met.
            fake.later(Duration::from_secs(1));
            let received = fake.received().pop().unwrap();
            let said = format!("{kind:?}, {status:?}: {received:?}");
            assert!(
                !received.title.is_empty() && !received.calls_everybody,
                "{said}"
            );
            if status != Status::Digest {
                assert!(received.text.contains(TITLE), "{said}");
            }
            let id = match kind {
                ChannelKind::Webhook => Some(notice.id().to_string()),
                ChannelKind::Email => Some(format!("<{}@example.com>", notice.id())),
                // All notices of an incident are one event to it.
                ChannelKind::Pagerduty => Some(notice.key().to_string()),
                _ => continue,
            };
            assert_eq!(received.id, id, "{said}");
        }
    }
}

/// Breaks it catches: a limit counted in characters where the vendor counts bytes, before JSON's escapes, or of one field only.
#[tokio::test]
async fn a_megabyte_is_cut_to_what_the_vendor_takes() {
    for kind in KINDS {
        let pair = pair(kind).await;
        for piece in PIECES {
            let long = piece.repeat(MEGABYTE / piece.len());
            let mut alert = alert().text(&long).fact(&long, &long);
            alert.title = long.chars().take(200).collect();
            for number in 0..500 {
                alert = alert.fact(
                    &format!("fact {number}"),
                    &long[..1000.min(long.floor_char_boundary(1000))],
                );
            }
            let mut notice = Notice::of(alert);
            notice.resolution = Some(long.clone());
            for status in [Status::Firing, Status::Resolved] {
                notice.status = status;
                let delivered = pair.channel.deliver(&notice).await;
                let refused = pair.fake.refused();
                assert_eq!(
                    delivered,
                    Delivered::Sent,
                    "{kind:?}, {piece:?}: {refused:?}"
                );
            }
            // So that no rate is met.
            pair.fake.later(Duration::from_secs(10));
        }
        assert_eq!(pair.fake.received().len(), 2 * PIECES.len());
    }
}

#[tokio::test]
async fn a_repeat_says_the_same_under_the_same_id() {
    for kind in KINDS {
        let pair = pair(kind).await;
        let (first, mut other) = (notice(Status::Firing), notice(Status::Firing));
        other.alert.subject = "order 8".to_owned();
        for notice in [&first, &first, &other] {
            assert_eq!(
                pair.channel.deliver(notice).await,
                Delivered::Sent,
                "{kind:?}"
            );
        }
        let received = pair.fake.received();
        let [one, again, other] = &received[..] else {
            panic!("{kind:?}: {received:?}")
        };
        assert_eq!(
            (&one.id, &one.title, &one.text),
            (&again.id, &again.title, &again.text)
        );
        if one.id.is_some() {
            assert_ne!(one.id, other.id, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn another_secret_or_another_clock_is_a_broken_channel() {
    for kind in KINDS.into_iter().filter(|kind| signs(*kind)) {
        let pair = pair(kind).await;
        // Of the same form, and not the fake's.
        let other = secret(kind).replacen('a', "b", 1).replacen("SEC", "SED", 1);
        assert_ne!(other, secret(kind));
        let stranger = channel(kind, &url(kind, &pair.fake), &other);
        let delivered = stranger.deliver(&notice(Status::Firing)).await;
        assert_eq!(class(&delivered), Class::Broken, "{kind:?}: {delivered:?}");
        pair.fake.later(Duration::from_hours(2));
        let delivered = pair.channel.deliver(&notice(Status::Firing)).await;
        assert_eq!(class(&delivered), Class::Broken, "{kind:?}: {delivered:?}");
        let refused = pair.fake.refused();
        assert!(
            refused.len() == 2 && refused.iter().all(|why| why.starts_with("foreign")),
            "{kind:?}: {refused:?}"
        );
    }
}

/// What calls everybody in a text of strangers is a text. Break it catches: Slack's `<`, `>` and `&` left as they are.
#[tokio::test]
async fn what_strangers_wrote_calls_nobody() {
    for kind in KINDS {
        let pair = pair(kind).await;
        let mut alert = alert().text(CALLS).fact(CALLS, CALLS);
        alert.title = format!("{CALLS}\r\nBcc: <b@example.org>\r\n");
        alert.subject = CALLS.to_owned();
        let notice = Notice {
            resolution: Some(CALLS.to_owned()),
            acknowledged_by: Some(CALLS.to_owned()),
            ..Notice::of(alert)
        };
        for status in Status::ALL {
            let notice = Notice {
                status,
                ..notice.clone()
            };
            let delivered = pair.channel.deliver(&notice).await;
            let refused = pair.fake.refused();
            assert_eq!(delivered, Delivered::Sent, "{kind:?}: {refused:?}");
            pair.fake.later(Duration::from_secs(1));
            let received = pair.fake.received().pop().unwrap();
            assert!(
                !received.calls_everybody,
                "{kind:?}, {status:?}: {received:?}"
            );
            let head = String::from_utf8_lossy(&received.body).into_owned();
            assert!(!head.contains("\nBcc:"), "{kind:?}, {status:?}: {head}");
        }
    }
}

/// A receiver that knows one secret takes what two of them signed, whichever it knows: a secret is changed without a gap.
/// Break it catches: only the first key signs.
#[tokio::test]
async fn two_secrets_sign_at_once() {
    let (old, new) = (
        secret(ChannelKind::Webhook),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    );
    for known in [old, new] {
        let fake = Fake::start(StandardWebhooks::new(known)).await;
        let channel = channel(ChannelKind::Webhook, &fake.url(), &format!("{new} {old}"));
        let delivered = channel.deliver(&notice(Status::Firing)).await;
        assert_eq!(delivered, Delivered::Sent, "{:?}", fake.refused());
    }
    let stranger = fake(ChannelKind::Webhook).await;
    let channel = channel(ChannelKind::Webhook, &stranger.url(), new);
    let delivered = channel.deliver(&notice(Status::Firing)).await;
    assert_eq!(class(&delivered), Class::Broken);
}
