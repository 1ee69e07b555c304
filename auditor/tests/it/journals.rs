//! The journal by itself: what is on disk when, and what is read back after a crash.

use auditor::journal::{Answer, Intent, Journal, Read, Reader, Record};
use std::{fs, io::ErrorKind};
use tempfile::TempDir;
use uuid::Uuid;

fn intent(n: u64) -> Intent {
    Intent {
        n,
        sale: Uuid::from_u128(1),
        user: Uuid::from_u128(n.into()),
        key: Some(format!("key {n}")),
        quantity: 1,
    }
}

fn answer(n: u64) -> Answer {
    Answer {
        n,
        sent_us: 1,
        answered_us: 2,
        status: 409,
        code: Some("sold_out".into()),
        order: None,
    }
}

#[tokio::test]
async fn intents_can_be_read_as_soon_as_they_may_be_sent() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let journal = Journal::create(&path).unwrap();
    journal.intend((1..=3).map(intent).collect()).await.unwrap();
    let mut reader = Reader::open(&path).unwrap();
    for n in 1..=3 {
        assert_eq!(
            reader.read_next().unwrap(),
            Read::Record(Record::Intent(intent(n)))
        );
    }
    assert_eq!(reader.read_next().unwrap(), Read::End);
}

#[tokio::test]
async fn a_closed_journal_holds_every_answer_and_says_so() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let journal = Journal::create(&path).unwrap();
    journal.intend(vec![intent(1)]).await.unwrap();
    for _ in 0..1_000 {
        journal.answer(answer(1)).await.unwrap();
    }
    journal.close().await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1_002);
    assert_eq!(text.lines().last(), Some(r#"{"end":{"answers":1000}}"#));
}

#[tokio::test]
async fn a_torn_last_line_is_told_and_a_damaged_one_before_it_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let whole = serde_json::to_string(&Record::Intent(intent(1))).unwrap();
    fs::write(&path, format!("{whole}\n{{\"answer\":{{\"n\":1,")).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(
        reader.read_next().unwrap(),
        Read::Record(Record::Intent(intent(1)))
    );
    assert_eq!(reader.read_next().unwrap(), Read::Torn);

    fs::write(&path, format!("{{\"ans\n{whole}\n")).unwrap();
    let refused = Reader::open(&path).unwrap().read_next().unwrap_err();
    assert!(refused.to_string().contains("line 1"), "{refused}");
}

#[tokio::test]
async fn a_journal_is_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    fs::write(&path, "witness").unwrap();
    assert_eq!(
        Journal::create(&path).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
}
