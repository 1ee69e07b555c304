//! Whole loads: what the report says, and what the journal says of the same.

use crate::shop::{Manners, Shop};
use auditor::journal::{Answer, Journal, Read, Reader, Record};
use bench::{
    buyers::{self, Load, Progress},
    report::Report,
    secrets::Minter,
};
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use uuid::Uuid;

fn load(shop: &Shop, buyers: usize) -> Load {
    Load {
        api: shop.url.clone(),
        sale: Uuid::now_v7(),
        buyers: std::iter::repeat_with(Uuid::now_v7).take(buyers).collect(),
        quantity: 1,
        remarks: Vec::new(),
        in_flight: 20,
        rate: None,
        double_clicks: 0.0,
        seed: 1,
        patience: Duration::from_secs(30),
    }
}

async fn run(load: Load) -> (Report, Vec<Answer>) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let minter = Minter::new(
        "a secret that is long enough for thirty-two bytes",
        Duration::from_mins(1),
    );
    let report = buyers::run(
        load,
        minter,
        Journal::create(&path).unwrap(),
        Arc::new(Progress::default()),
    )
    .await
    .unwrap();
    (report, answers(&path))
}

fn answers(path: &Path) -> Vec<Answer> {
    let mut reader = Reader::open(path).unwrap();
    let mut answers = Vec::new();
    loop {
        match reader.read_next().unwrap() {
            Read::Record(Record::Answer(answer)) => answers.push(answer),
            Read::Record(_) => {}
            Read::Torn => panic!("the journal is torn"),
            Read::End => return answers,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_buyer_gets_an_answer_and_the_journal_has_them_all() {
    let shop = Shop::open(50, Manners::default()).await;
    let (report, journal) = run(load(&shop, 500)).await;
    assert_eq!(
        (report.requests, report.answers, report.accepted),
        (500, 500, 50)
    );
    assert_eq!(report.rejected, [("sold_out".to_owned(), 450)].into());
    assert_eq!(
        (report.latency_ms.count, report.rejected_latency_ms.count),
        (50, 450)
    );
    assert_eq!(journal.len(), 500);
    assert_eq!(
        journal
            .iter()
            .filter(|answer| answer.status == 202 && answer.order.is_some())
            .count(),
        50
    );
    assert!(
        journal
            .iter()
            .all(|answer| answer.sent_us <= answer.answered_us)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_orders_of_those_who_wrote_something_are_told() {
    let shop = Shop::open(50, Manners::default()).await;
    let remarks = ["first:2", "second:3"].map(|remark| remark.parse().unwrap());
    let (report, _) = run(Load {
        remarks: remarks.into(),
        ..load(&shop, 20)
    })
    .await;
    assert_eq!(report.accepted, 20);
    let mut told = report.remarked;
    let mut written = shop.remarked();
    for orders in told.values_mut().chain(written.values_mut()) {
        orders.sort();
    }
    assert_eq!(told, written);
    assert_eq!((told["first"].len(), told["second"].len()), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_come_again_under_the_same_key_until_they_are_told() {
    let shop = Shop::open(
        100,
        Manners {
            unavailable_every: 7,
            silent_every: 11,
            ..Manners::default()
        },
    )
    .await;
    let (report, journal) = run(load(&shop, 100)).await;
    assert_eq!((report.accepted, report.gave_up.len()), (100, 0));
    assert_eq!(shop.sold(), 100, "a repeat is not another order");
    assert!(
        report.retried["busy"] > 0 && report.retried["connection_lost"] > 0,
        "{:?}",
        report.retried
    );
    assert_eq!(
        journal.len(),
        shop.requests(),
        "an answer that never came is noted too"
    );
    assert_eq!(report.retries, shop.requests() as u64 - 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_is_one_order() {
    let shop = Shop::open(1_000, Manners::default()).await;
    let (report, journal) = run(Load {
        double_clicks: 0.5,
        ..load(&shop, 400)
    })
    .await;
    assert_eq!((report.accepted, shop.sold()), (400, 400));
    assert!(
        (120..280).contains(&report.double_clicks),
        "{}",
        report.double_clicks
    );
    assert_eq!(journal.len() as u64, 400 + report.double_clicks);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_model_counts_the_wait_for_a_slow_server() {
    let shop = Shop::open(
        1_000,
        Manners {
            delay: Duration::from_millis(20),
            ..Manners::default()
        },
    )
    .await;
    // One at a time at 50 a second, while 1,000 a second come: the last of 50 waits for nearly a second.
    let (report, _) = run(Load {
        rate: Some(1_000.0),
        in_flight: 1,
        ..load(&shop, 50)
    })
    .await;
    assert!(report.latency_ms.max > 800.0, "{:?}", report.latency_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_serves_is_given_up_in_time() {
    let shop = Shop::open(
        1,
        Manners {
            unavailable_every: 1,
            ..Manners::default()
        },
    )
    .await;
    let (report, _) = run(Load {
        patience: Duration::from_millis(300),
        ..load(&shop, 5)
    })
    .await;
    assert_eq!(
        (report.accepted, report.gave_up),
        (0, [("busy".to_owned(), 5)].into())
    );
}
