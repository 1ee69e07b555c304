//! A mail goes to several addresses at once, and one of them is not the others' trouble.

use super::{
    Class, class,
    kinds::{channel, secret, url},
    notice,
};
use crate::alerts::{Desk, alert, quick};
use chrono::{TimeDelta, Utc};
use compensation::alerts::{Channels, Delivered, Notice, Status, outbox::State};
use service_kit::settings::{ChannelKind, ChannelSettings, Secret, Settings};
use tempfile::TempDir;
use testkit::{
    mysql::schema,
    receivers::{Fake, Mailbox},
};

const OPS: &str = "ops@example.com";
const MORE: &str = "more@example.com";

fn mailbox() -> Mailbox {
    Mailbox::with_password("alerts", "hush-password")
}

async fn sent(mailbox: Mailbox, notice: &Notice) -> (Delivered, usize) {
    let fake = Fake::mail(mailbox).await;
    let kind = ChannelKind::Email;
    let channel = channel(kind, &url(kind, &fake), secret(kind));
    let delivered = channel.deliver(notice).await;
    assert_eq!(fake.refused(), [""; 0]);
    (delivered, fake.received().len())
}

/// Meant to break when the first refusal ends the mail: nobody gets it then, and it is tried again for a day.
#[tokio::test]
async fn who_is_refused_keeps_nobody_else_from_a_mail() {
    let notice = notice(Status::Firing);
    for (gone, number) in [(OPS, 1), (MORE, 2)] {
        let (delivered, received) = sent(mailbox().without(gone), &notice).await;
        let Delivered::Partly(why) = &delivered else {
            panic!("{delivered:?}")
        };
        let named = format!("not for 1 of 2 addresses: number {number}: ");
        assert!(
            why.starts_with(&named) && why.contains("no such mailbox"),
            "{why}"
        );
        assert!(!why.contains(gone), "{why}");
        assert_eq!(received, 1);
    }
    let (delivered, received) = sent(mailbox().without(OPS).without(MORE), &notice).await;
    assert_eq!((class(&delivered), received), (Class::Broken, 0));
}

/// Meant to break when whoever is put off is waited for as long as it lasts, and when he is given up at once.
#[tokio::test]
async fn who_is_put_off_is_waited_for_but_not_for_long() {
    let mut notice = notice(Status::Firing);
    notice.made_at = Some(Utc::now());
    let (delivered, received) = sent(mailbox().putting_off(MORE), &notice).await;
    assert_eq!((class(&delivered), received), (Class::SlowDown, 0));
    notice.made_at = Some(Utc::now() - TimeDelta::minutes(6));
    let (delivered, received) = sent(mailbox().putting_off(MORE), &notice).await;
    assert_eq!((class(&delivered), received), (Class::Partly, 1));
    let all = mailbox().putting_off(OPS).putting_off(MORE);
    let (delivered, received) = sent(all, &notice).await;
    assert_eq!((class(&delivered), received), (Class::SlowDown, 0));
}

/// Meant to break when what arrived for some is sent again, and when nobody is shown for whom it did not.
#[tokio::test]
async fn for_whom_a_mail_did_not_arrive_is_shown_and_it_is_sent_once() {
    let fake = Fake::mail(mailbox().without(MORE)).await;
    let mut settings = Settings::default();
    settings.alerts.channels = vec![ChannelSettings {
        name: "mail".to_owned(),
        kind: ChannelKind::Email,
        url: Secret::new(url(ChannelKind::Email, &fake)),
        secret: Secret::new(secret(ChannelKind::Email)),
        from: "redress@example.com".to_owned(),
        to: vec![OPS.to_owned(), MORE.to_owned()],
        ..ChannelSettings::default()
    }];
    let desk = Desk {
        schema: schema().await,
        folder: TempDir::new().unwrap(),
        channels: Channels::from_settings(&settings).unwrap(),
    };
    let alert = alert("order-1");
    desk.write(&alert).await;
    let courier = desk.courier(quick());
    assert_eq!(courier.run_once().await.unwrap(), 1);
    assert_eq!(courier.run_once().await.unwrap(), 0);
    let delivery = desk.delivery(&alert, "mail").await;
    assert_eq!((delivery.state, delivery.attempts), (State::Delivered, 1));
    let shown = delivery.last_error.unwrap();
    assert!(
        shown.starts_with("arrived, but not for 1 of 2 addresses"),
        "{shown}"
    );
    assert_eq!(fake.received().len(), 1);
}

/// The date of a mail is when it was to be said. Meant to break when it is the latest alert's: one that is over for an hour, or repeated after
/// four, would lie far down in a mailbox.
#[tokio::test]
async fn a_mail_has_the_date_of_its_notice() {
    let fake = Fake::mail(mailbox()).await;
    let kind = ChannelKind::Email;
    let channel = channel(kind, &url(kind, &fake), secret(kind));
    let mut notice = notice(Status::Repeated);
    notice.last_at = "2026-03-01T10:00:00Z".parse().unwrap();
    notice.made_at = Some("2026-03-01T14:00:00Z".parse().unwrap());
    for _ in 0..2 {
        assert_eq!(channel.deliver(&notice).await, Delivered::Sent);
    }
    for mail in fake.received() {
        let mail = String::from_utf8(mail.body).unwrap();
        assert!(
            mail.contains("\r\nDate: Sun, 01 Mar 2026 14:00:00 +0000\r\n"),
            "{mail}"
        );
    }
}
