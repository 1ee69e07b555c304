//! What is logged, stored and measured of channels of every kind, whatever their receivers answer.

use super::{
    Desk, alert,
    channels::{Class, kinds},
    quick,
    secrets::{Lines, everything_stored},
};
use compensation::alerts::{
    Channels,
    outbox::{counts, standings},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use service_kit::settings::{ChannelKind, Settings};
use std::collections::BTreeSet;
use tempfile::TempDir;
use testkit::{
    mysql::schema,
    receivers::{Fake, Mood},
};

/// What was given up, or waits for its turn.
const WAITS: &str = "waits";
const GIVEN_UP: &str = "given up";

/// Clears what a courier waits for, so that it tries again at once.
async fn refresh(desk: &Desk) {
    for cleared in [
        "update alert_channels set off_at = null, rests_until = null, tokens = 5",
        "update alert_outbox set due_at = utc_timestamp(3) where state = 'pending'",
    ] {
        desk.schema.execute(cleared).await;
    }
}

/// What every mood but the two that take 15 s comes to, as the metrics name it.
fn outcome(class: Class) -> &'static str {
    match class {
        Class::Sent => "sent",
        Class::Partly => "partly",
        Class::SlowDown => "slow_down",
        Class::Broken => "broken",
        Class::Gone => "gone",
        Class::Unknown => "failed",
    }
}

/// The figure of this name that has all these labels.
fn figure(scraped: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut lines = scraped
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    let line = lines.find(|line| {
        let mut labels = labels.iter();
        labels.all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// A desk with one channel of that kind, and its receiver.
async fn desk_of(kind: ChannelKind) -> (Desk, Fake) {
    let fake = kinds::fake(kind).await;
    let mut settings = Settings::default();
    let url = kinds::url(kind, &fake);
    let ops = kinds::in_settings("en", "ops", kind, &url, kinds::secret(kind));
    settings.alerts.channels = vec![ops];
    let desk = Desk {
        schema: schema().await,
        folder: TempDir::new().unwrap(),
        channels: Channels::from_settings(&settings).unwrap(),
    };
    (desk, fake)
}

/// Tries the channel in every mood; what comes of them, as the metrics name it.
async fn tried_in_every_mood(
    kind: ChannelKind,
    desk: &Desk,
    fake: &Fake,
) -> BTreeSet<&'static str> {
    let courier = desk.courier(quick());
    let mut outcomes = BTreeSet::new();
    for mood in Mood::ALL {
        // They take 15 s each, and are failures like others.
        if matches!(mood, Mood::Hangs | Mood::Drips) {
            continue;
        }
        fake.be(mood);
        outcomes.insert(match mood {
            Mood::Garbage => "failed",
            other => outcome(kinds::expected(kind, other)),
        });
        desk.write(&alert(&format!("{mood:?}"))).await;
        refresh(desk).await;
        courier.run_once().await.unwrap();
    }
    outcomes
}

async fn assert_counted(kind: ChannelKind, desk: &Desk, outcomes: &BTreeSet<&str>, scraped: &str) {
    for outcome in outcomes {
        let labels = [("channel", "ops"), ("outcome", *outcome)];
        let counted = figure(scraped, "alerts_total", &labels);
        let one = counted.is_some_and(|it| it >= 1.0);
        assert!(one, "{kind:?}, {outcome}: {scraped}");
    }
    let tries: u32 = sqlx::query_scalar("select cast(count(*) as unsigned) from alert_attempts")
        .fetch_one(desk.db())
        .await
        .unwrap();
    let lines = scraped.lines();
    let all: f64 = lines
        .filter(|line| line.starts_with("alerts_total{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    let same = (all - f64::from(tries)).abs() < 0.5;
    assert!(same, "{kind:?}: {all} of {tries}: {scraped}");
}

/// Whatever receivers of every kind answer: neither logs, rows, pages nor metrics hold where they are or what they are told by, and the
/// metrics count what came of it. Meant to break when an error of a client library is told as it is, when an outcome is not counted, and when what
/// waits or was given up is not measured.
#[tokio::test]
async fn of_no_kind_is_a_secret_in_logs_rows_or_metrics_and_every_outcome_is_counted() {
    for kind in ChannelKind::ALL {
        let lines = Lines::default();
        let listening = tracing::subscriber::set_default(lines.clone());
        let recorder = PrometheusBuilder::new().build_recorder();
        let measured: PrometheusHandle = recorder.handle();
        let counting = metrics::set_default_local_recorder(&recorder);
        let (desk, fake) = desk_of(kind).await;
        let outcomes = tried_in_every_mood(kind, &desk, &fake).await;
        // Nobody is there any longer; one waits, and one was given up.
        drop(fake);
        for subject in [WAITS, GIVEN_UP] {
            desk.write(&alert(subject)).await;
        }
        let given_up =
            format!("update alert_outbox set state = 'undelivered' where subject = '{GIVEN_UP}'");
        desk.schema.execute(&given_up).await;
        let waiting = counts(desk.db()).await.unwrap();
        refresh(&desk).await;
        desk.courier(quick()).run_once().await.unwrap();
        drop(counting);
        drop(listening);

        let scraped = measured.render();
        assert_counted(kind, &desk, &outcomes, &scraped).await;
        for (name, count) in [
            ("alerts_waiting", waiting.pending),
            ("alerts_undelivered", waiting.undelivered),
        ] {
            let shown = ["ops", ""].map(|of| figure(&scraped, name, &[("channel", of)]));
            let expected = [Some(count as f64), Some(0.0)];
            assert_eq!(shown, expected, "{kind:?}, {name}: {scraped}");
        }
        let logged = lines.text();
        let stored = everything_stored(&desk).await;
        let shown = format!("{:?}", standings(desk.db()).await.unwrap());
        assert!(logged.contains("was not delivered"), "{logged}");
        assert!(stored.contains("failed: "), "{stored}");
        // The third is how the first looks in base64.
        let marks = [kinds::HUSH, "127.0.0.1", "aHVza", kinds::secret(kind)];
        for mark in marks.into_iter().filter(|mark| !mark.is_empty()) {
            for (place, text) in [
                ("log", &logged),
                ("rows", &stored),
                ("standing", &shown),
                ("metrics", &scraped),
            ] {
                let hidden = !text.contains(mark);
                assert!(hidden, "{kind:?}: {mark} is in the {place}: {text}");
            }
        }
    }
}
