//! Foreign participants on a real socket: what their answers mean, and what keeps them and us from one another's faults.

use coordinator::{
    BadParticipant, Called, ForeignParticipants, Gid, HttpParticipant, HttpSettings, Phase, Reply,
    Style,
};
use futures::future::join_all;
use std::time::Duration;
use testkit::{
    eventually,
    foreign_participant::{Behaviour, ForeignParticipant, Then},
};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const BODY: &str = r#"{"order":7,"units":2}"#;
/// Nobody waits for so long, but where it says so.
const LONG: Duration = Duration::from_secs(20);
/// How much later than it has to a busy machine may come to it.
const SLACK: Duration = Duration::from_secs(5);

fn settings(server: &ForeignParticipant) -> HttpSettings {
    HttpSettings {
        name: "coupon".to_owned(),
        style: Style::Tcc,
        url: server.url(),
        timeout: Duration::from_secs(10),
        in_flight: 8,
        breaker_failures: 1_000,
    }
}

fn participant(server: &ForeignParticipant) -> HttpParticipant {
    HttpParticipant::new(settings(server)).expect("a participant")
}

fn gid(number: u128) -> Gid {
    Gid::from_uuid(Uuid::from_u128(number))
}

async fn within(it: &HttpParticipant, phase: Phase, number: u128, wait: Duration) -> Called {
    it.call(phase, gid(number), BODY, None, Instant::now() + wait)
        .await
}

async fn call(it: &HttpParticipant, phase: Phase, number: u128) -> Reply {
    within(it, phase, number, LONG).await.reply
}

#[tokio::test]
async fn a_request_is_as_participants_are_told() {
    let server = ForeignParticipant::start().await;
    let it = participant(&server);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let until = Instant::now() + LONG;
    for phase in [Phase::Ask, Phase::Commit] {
        let called = it.call(phase, gid(1), BODY, Some(parent), until).await;
        assert_eq!(called.reply, Reply::Done);
        assert!(called.took > Duration::ZERO);
    }
    let calls = server.calls();
    assert_eq!(calls.len(), 2);
    for (call, op) in calls.iter().zip(["try", "confirm"]) {
        assert_eq!(call.request.target, format!("/coupons/{op}"));
        assert_eq!(call.request.header("redress-op"), op);
        assert_eq!(call.request.header("redress-gid"), gid(1).to_string());
        assert_eq!(call.request.header("redress-branch"), "coupon");
        assert_eq!(call.request.header("content-type"), "application/json");
        assert_eq!(call.request.header("traceparent"), parent);
        assert_eq!(call.request.text(), BODY);
    }
    assert_eq!(
        (server.reserved(), server.used_by(gid(1).as_uuid())),
        (0, 2)
    );
    assert_eq!(server.broken_rules(), [""; 0]);
}

#[tokio::test]
async fn a_saga_acts_at_once_and_has_nothing_to_do_at_commit() {
    let server = ForeignParticipant::start().await;
    let it = HttpParticipant::new(HttpSettings {
        style: Style::Saga,
        ..settings(&server)
    })
    .unwrap();
    assert_eq!(call(&it, Phase::Ask, 1).await, Reply::Done);
    assert_eq!(call(&it, Phase::Commit, 1).await, Reply::Done);
    assert_eq!(server.used(), 2);
    assert_eq!(call(&it, Phase::RollBack, 1).await, Reply::Done);
    assert_eq!(server.used(), 0);
    assert_eq!(server.ops_of(gid(1).as_uuid()), ["action", "compensate"]);
}

#[tokio::test]
async fn every_answer_means_one_thing() {
    let server = ForeignParticipant::start().await;
    let it = participant(&server);
    let running = |wait: Option<&str>| Behaviour::Running(wait.map(str::to_owned));
    for (number, (behaviour, expected)) in (0..).zip([
        (Behaviour::Honest, Reply::Done),
        (
            Behaviour::Refuse("used_up"),
            Reply::No("used_up".to_owned()),
        ),
        (running(None), Reply::Running(None)),
        (
            running(Some("3")),
            Reply::Running(Some(Duration::from_secs(3))),
        ),
    ]) {
        server.next("try", behaviour.clone());
        assert_eq!(
            call(&it, Phase::Ask, number).await,
            expected,
            "{behaviour:?}"
        );
    }
    for (number, then, why) in [
        (10, Then::Status(204), "HTTP 204"),
        (11, Then::Status(400), "HTTP 400"),
        (12, Then::Status(500), "HTTP 500"),
        (13, Then::Status(503), "HTTP 503"),
        (14, Then::Status(302), "redirects are not followed"),
        (15, Then::Status(308), "redirects are not followed"),
        (16, Then::Reset, "connection"),
        (17, Then::BreakOff, "connection"),
        (18, Then::TooLong, "65536 bytes"),
        (19, Then::Garbage, "connection"),
    ] {
        server.next("try", Behaviour::Apply(then.clone()));
        match call(&it, Phase::Ask, number).await {
            Reply::Unknown(said) => assert!(said.contains(why), "{then:?}: {said}"),
            other => panic!("{then:?}: {other:?}"),
        }
        assert_eq!(call(&it, Phase::Ask, number).await, Reply::Done, "{then:?}");
        let asked = server.ops_of(gid(number).as_uuid());
        assert_eq!(asked.len(), 2, "one request a call: {then:?}");
    }
    assert_eq!(server.broken_rules(), [""; 0]);
}

#[tokio::test]
async fn a_call_ends_in_time_whoever_hangs() {
    let server = ForeignParticipant::start().await;
    server.always("try", Behaviour::Skip(Then::Hang));
    // Long enough for a request to arrive.
    let short = Duration::from_secs(1);
    let impatient = HttpParticipant::new(HttpSettings {
        timeout: short,
        ..settings(&server)
    })
    .unwrap();
    for (it, wait) in [(&participant(&server), short), (&impatient, LONG)] {
        let begun = Instant::now();
        let called = within(it, Phase::Ask, 1, wait).await;
        let took = begun.elapsed();
        assert!((short..short + SLACK).contains(&took), "{took:?}");
        assert!(called.took <= took, "{called:?}");
        match called.reply {
            Reply::Unknown(why) => assert!(why.starts_with("no answer within"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let called = within(&impatient, Phase::Ask, 1, Duration::ZERO).await;
    assert!(matches!(called.reply, Reply::Away(..)), "{called:?}");
    assert_eq!(server.calls().len(), 2, "what has no time is not sent");
}

#[tokio::test]
async fn never_more_than_the_limit_and_first_come_first_served() {
    let server = ForeignParticipant::start().await;
    server.always("try", Behaviour::After(Duration::from_millis(20)));
    for (limit, calls) in [(1, 10), (4, 40)] {
        let it = HttpParticipant::new(HttpSettings {
            in_flight: limit,
            ..settings(&server)
        })
        .unwrap();
        let before = server.calls().len();
        let first = u128::try_from(before).unwrap();
        let replies = join_all(
            (first..)
                .take(calls)
                .map(|number| call(&it, Phase::Ask, number)),
        );
        assert!(replies.await.iter().all(|reply| *reply == Reply::Done));
        assert_eq!(server.most_at_once(), limit);
        if limit == 1 {
            let came: Vec<Uuid> = server.calls().iter().map(|call| call.gid).collect();
            let expected: Vec<Uuid> = (first..).take(calls).map(Uuid::from_u128).collect();
            assert_eq!(came, expected);
        }
    }
}

#[tokio::test]
async fn whoever_gives_up_waiting_takes_nobodys_turn() {
    let server = ForeignParticipant::start().await;
    server.next("try", Behaviour::After(Duration::from_secs(2)));
    let it = HttpParticipant::new(HttpSettings {
        in_flight: 1,
        ..settings(&server)
    })
    .unwrap();
    let dropped = timeout(Duration::from_millis(50), within(&it, Phase::Ask, 2, LONG));
    let late = within(&it, Phase::Ask, 3, Duration::from_millis(100));
    let (slow, dropped, late, patient) = tokio::join!(
        call(&it, Phase::Ask, 1),
        dropped,
        late,
        call(&it, Phase::Ask, 4)
    );
    assert_eq!((slow, patient), (Reply::Done, Reply::Done));
    assert!(dropped.is_err());
    assert_eq!(
        late.reply,
        Reply::Away("its turn did not come in time".to_owned(), None)
    );
    assert_eq!(late.took, Duration::ZERO);
    let came: Vec<Uuid> = server.calls().iter().map(|call| call.gid).collect();
    assert_eq!(came, [1, 4].map(Uuid::from_u128));
}

#[tokio::test]
async fn one_that_is_dropped_while_it_is_sent_gives_its_turn_back() {
    let server = ForeignParticipant::start().await;
    server.next("try", Behaviour::Skip(Then::Hang));
    let it = HttpParticipant::new(HttpSettings {
        in_flight: 1,
        ..settings(&server)
    })
    .unwrap();
    let until_it_has_come = async {
        tokio::select! {
            reply = call(&it, Phase::Ask, 1) => Some(reply),
            _ = server.called("try", 1) => None,
        }
    };
    let (answered, next) = tokio::join!(until_it_has_come, call(&it, Phase::Ask, 2));
    assert_eq!((answered, next), (None, Reply::Done));
}

#[tokio::test]
async fn one_that_is_gone_is_left_alone_and_found_again() {
    let server = ForeignParticipant::start().await;
    let it = HttpParticipant::new(HttpSettings {
        breaker_failures: 3,
        ..settings(&server)
    })
    .unwrap();
    let back = it.came_back();
    assert_eq!(call(&it, Phase::Ask, 1).await, Reply::Done);
    server.stop().await;
    let begun = Instant::now();
    for number in 2..5 {
        assert!(!it.is_away());
        let reply = call(&it, Phase::Ask, number).await;
        assert!(matches!(reply, Reply::Unknown(_)), "{reply:?}");
    }
    assert!(it.is_away());
    for number in 0..100 {
        let called = within(&it, Phase::Ask, number, LONG).await;
        // The first wait may be over after 400 ms, and then somebody tries.
        if begun.elapsed() > Duration::from_millis(350) {
            break;
        }
        assert!(
            matches!(called.reply, Reply::Away(_, Some(_))),
            "{called:?}"
        );
        assert_eq!(called.took, Duration::ZERO);
    }

    // The next ones that try find nobody, and the wait grows.
    eventually("the third wait", LONG, async || {
        match call(&it, Phase::Ask, 5).await {
            Reply::Away(_, Some(wait)) => (wait > Duration::from_millis(1_300)).then_some(()),
            _ => None,
        }
    })
    .await;
    assert!(!back.has_changed().unwrap());

    server.start_again().await;
    eventually("its answer", LONG, async || {
        (call(&it, Phase::Ask, 6).await == Reply::Done).then_some(())
    })
    .await;
    assert!(back.has_changed().unwrap());
    assert_eq!(*back.borrow(), 1);
    assert!(!it.is_away());
    let replies = join_all((10..40).map(|number| call(&it, Phase::Ask, number)));
    assert!(replies.await.iter().all(|reply| *reply == Reply::Done));
    assert_eq!(server.reserved(), 32 * 2, "1, 6 and thirty");
}

#[tokio::test]
async fn those_who_wait_are_sent_away_with_the_first_who_knows() {
    let server = ForeignParticipant::start().await;
    server.always("try", Behaviour::Skip(Then::Hang));
    let it = HttpParticipant::new(HttpSettings {
        timeout: Duration::from_secs(1),
        in_flight: 1,
        breaker_failures: 1,
        ..settings(&server)
    })
    .unwrap();
    let begun = Instant::now();
    let replies = join_all((0..50).map(|number| call(&it, Phase::Ask, number))).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "not each after the other: {:?}",
        begun.elapsed()
    );
    assert!(matches!(replies[0], Reply::Unknown(_)));
    for reply in &replies[1..] {
        assert!(matches!(reply, Reply::Away(_, Some(_))), "{reply:?}");
    }
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn what_the_queue_took_is_not_blamed_on_the_participant() {
    let server = ForeignParticipant::start().await;
    server.always("try", Behaviour::After(Duration::from_secs(2)));
    let it = HttpParticipant::new(HttpSettings {
        in_flight: 1,
        breaker_failures: 1,
        ..settings(&server)
    })
    .unwrap();
    let (first, cut_short) = tokio::join!(
        call(&it, Phase::Ask, 1),
        within(&it, Phase::Ask, 2, Duration::from_millis(3_500))
    );
    assert_eq!(first, Reply::Done);
    assert!(matches!(cut_short.reply, Reply::Unknown(_)));
    assert!(!it.is_away());
}

#[tokio::test]
async fn whoever_asks_to_be_left_alone_is() {
    let server = ForeignParticipant::start().await;
    let it = participant(&server);
    let in_three_seconds = || {
        let date = chrono::Utc::now() + Duration::from_secs(3);
        date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for (number, status, wait) in [
        (0, 429, "2".to_owned()),
        (10, 503, "2".to_owned()),
        (20, 503, String::new()),
    ] {
        let wait = if number == 20 {
            in_three_seconds()
        } else {
            wait
        };
        server.next("confirm", Behaviour::Busy(status, wait));
        assert_eq!(call(&it, Phase::Ask, number).await, Reply::Done);
        let begun = Instant::now();
        let told = match call(&it, Phase::Commit, number).await {
            Reply::Away(why, Some(told)) => {
                assert_eq!(why, format!("HTTP {status}"));
                told
            }
            other => panic!("{other:?}"),
        };
        assert!((0..=3_000).contains(&told.as_millis()), "{told:?}");
        assert!(it.is_away());
        let reply = call(&it, Phase::Ask, number + 1).await;
        assert!(
            matches!(reply, Reply::Away(_, Some(wait)) if wait <= told),
            "everybody, whatever the op: {reply:?}"
        );
        eventually("the end of the pause", LONG, async || {
            (call(&it, Phase::Commit, number).await == Reply::Done).then_some(())
        })
        .await;
        assert!(begun.elapsed() >= told);
    }
    assert_eq!(
        server.ops_of(gid(0).as_uuid()),
        ["try", "confirm", "confirm"]
    );
}

#[tokio::test]
async fn credentials_travel_and_are_never_shown() {
    let server = ForeignParticipant::start().await;
    let url = server.url().replace("http://", "http://hush:secret@") + "?key=hidden";
    let with = HttpSettings {
        url,
        timeout: Duration::from_secs(1),
        ..settings(&server)
    };
    let it = HttpParticipant::new(with.clone()).unwrap();
    let mut shown = vec![format!("{with:?} {it:?}")];
    for then in [Then::Hang, Then::Reset, Then::Garbage, Then::Status(302)] {
        server.next("try", Behaviour::Skip(then));
        shown.push(format!("{:?}", call(&it, Phase::Ask, 1).await));
    }
    assert_eq!(call(&it, Phase::Ask, 1).await, Reply::Done);
    let calls = server.calls();
    let request = &calls.last().unwrap().request;
    assert_eq!(request.target, "/coupons/try?key=hidden");
    assert_eq!(request.header("authorization"), "Basic aHVzaDpzZWNyZXQ=");
    server.stop().await;
    shown.push(format!("{:?}", call(&it, Phase::Ask, 1).await));
    let unknown = HttpParticipant::new(HttpSettings {
        url: "http://hush:secret@nowhere.invalid/hidden".to_owned(),
        ..with.clone()
    })
    .unwrap();
    shown.push(format!("{:?}", call(&unknown, Phase::Ask, 1).await));
    for url in ["ftp://hush/hidden", "hush", "mailto:hush", "https://", ""] {
        let bad = HttpParticipant::new(HttpSettings {
            url: url.to_owned(),
            ..with.clone()
        })
        .unwrap_err();
        assert!(matches!(bad, BadParticipant::Url(_)), "{bad:?}");
        shown.push(format!("{bad:?} {bad}"));
    }
    let shown = shown.join("\n");
    for hidden in ["hush", "secret", "hidden"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[tokio::test]
async fn what_should_be_encrypted_is_never_sent_plain() {
    let server = ForeignParticipant::start().await;
    let it = HttpParticipant::new(HttpSettings {
        url: server.url().replace("http://", "https://"),
        ..settings(&server)
    })
    .unwrap();
    let reply = call(&it, Phase::Ask, 1).await;
    assert!(matches!(reply, Reply::Unknown(_)), "{reply:?}");
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn settings_that_let_nothing_through_are_refused() {
    let server = ForeignParticipant::start().await;
    for name in ["", "Coupon", "a b", &"x".repeat(65)] {
        let bad = HttpParticipant::new(HttpSettings {
            name: name.to_owned(),
            ..settings(&server)
        });
        assert!(matches!(bad, Err(BadParticipant::Name(_))), "{name:?}");
    }
    for without in [
        HttpSettings {
            timeout: Duration::ZERO,
            ..settings(&server)
        },
        HttpSettings {
            in_flight: 0,
            ..settings(&server)
        },
        HttpSettings {
            breaker_failures: 0,
            ..settings(&server)
        },
    ] {
        let bad = HttpParticipant::new(without);
        assert!(matches!(bad, Err(BadParticipant::Limit { .. })), "{bad:?}");
    }
}

#[tokio::test]
async fn participants_are_found_by_name_and_no_two_share_one() {
    let server = ForeignParticipant::start().await;
    let named = |name: &str| {
        HttpParticipant::new(HttpSettings {
            name: name.to_owned(),
            ..settings(&server)
        })
        .unwrap()
    };
    let all = ForeignParticipants::new([named("points"), named("coupon")]).unwrap();
    assert_eq!(all.get("points").unwrap().name(), "points");
    assert!(all.get("stock").is_none());
    let in_order: Vec<&str> = all.iter().map(|it| it.name()).collect();
    assert_eq!(in_order, ["coupon", "points"]);
    assert!(ForeignParticipants::default().is_empty());
    let same = ForeignParticipants::new([named("coupon"), named("coupon")]).unwrap_err();
    assert!(same.to_string().contains("coupon"));
}
