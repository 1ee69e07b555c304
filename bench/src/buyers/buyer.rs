//! One buyer, from the first click to a final answer.

use super::{
    Run,
    answers::{Next, Told},
    key,
};
use crate::{
    http::{BEARER, Connection},
    report::Tally,
};
use auditor::journal::{Answer, now_us};
use hyper::body::Bytes;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Spreads those who were told to come again at the same time, so that they do not all come at once.
const SPREAD_MS: u64 = 250;

pub(super) struct Buyer<'a> {
    run: &'a Run,
    /// The intent's number.
    n: u64,
    meant: Instant,
    bearer: String,
    key: String,
    remark: Option<&'a str>,
    body: Bytes,
    /// Random, and the same for the same seed.
    luck: u64,
}

/// How a buyer clicks.
enum Clicks {
    Once,
    TwiceAtOnce,
    AgainAfterwards,
}

/// How asking ended.
struct Asked {
    told: Told,
    next: Next,
}

impl<'a> Buyer<'a> {
    /// The buyer at place `at` of the load, who meant to come at `meant`.
    pub(super) fn new(run: &'a Run, at: usize, user: Uuid, meant: Instant) -> Self {
        let n = at as u64 + 1;
        let mut hasher = DefaultHasher::new();
        (run.load.seed, n).hash(&mut hasher);
        let remark = run.remark(at);
        Self {
            run,
            n,
            meant,
            bearer: run.minter.bearer(user),
            key: key(run.load.sale, n),
            remark,
            body: run.body(remark),
            luck: hasher.finish(),
        }
    }

    /// Buys, clicking once or twice, and notes how it went. The second connection is for the second click.
    pub(super) async fn buy(
        &self,
        first: &mut Connection,
        second: &mut Connection,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let clicks = self.clicks();
        tally.double_clicks += u64::from(!matches!(clicks, Clicks::Once));
        let asked = match clicks {
            Clicks::Once => self.ask(first, tally).await?,
            Clicks::TwiceAtOnce => {
                let mut aside = Tally::new()?;
                let (one, other) =
                    tokio::join!(self.ask(first, tally), self.ask(second, &mut aside));
                tally.add(&aside)?;
                let (one, other) = (one?, other?);
                if one.next == Next::Accepted {
                    one
                } else {
                    other
                }
            }
            Clicks::AgainAfterwards => {
                let asked = self.ask(first, tally).await?;
                let took = self.meant.elapsed();
                self.ask(first, tally).await?;
                return self.note(&asked, took, &Clicks::Once, tally);
            }
        };
        self.note(&asked, self.meant.elapsed(), &clicks, tally)
    }

    fn clicks(&self) -> Clicks {
        let drawn = (self.luck >> 11) as f64 / (1_u64 << 53) as f64;
        match (drawn < self.run.load.double_clicks, self.luck & 1) {
            (false, _) => Clicks::Once,
            (true, 0) => Clicks::TwiceAtOnce,
            (true, _) => Clicks::AgainAfterwards,
        }
    }

    /// Sends the request until there is a final answer, or patience ends.
    async fn ask(&self, connection: &mut Connection, tally: &mut Tally) -> anyhow::Result<Asked> {
        let give_up = Instant::now() + self.run.load.patience;
        let mut tries = 0;
        loop {
            tries += 1;
            let told = self.send(connection, tally).await?;
            let next = told.next(tries);
            let Next::Again(wait) = next else {
                return Ok(Asked { told, next });
            };
            let wait = wait + Duration::from_millis(self.luck.rotate_left(tries) % SPREAD_MS);
            if Instant::now() + wait > give_up {
                return Ok(Asked { told, next });
            }
            *tally.retried.entry(told.reason()).or_default() += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn send(&self, connection: &mut Connection, tally: &mut Tally) -> anyhow::Result<Told> {
        let sent_us = now_us();
        self.run.progress.sent();
        let headers = [
            (BEARER, self.bearer.as_str()),
            ("idempotency-key", self.key.as_str()),
        ];
        let told = Told::of(
            connection
                .post(&self.run.path, &headers, self.body.clone())
                .await,
        );
        tally.answers += u64::from(told.status != 0);
        self.run
            .journal
            .answer(Answer {
                n: self.n,
                sent_us,
                answered_us: now_us(),
                status: told.status,
                code: told.code.clone(),
                order: told.order,
            })
            .await?;
        Ok(told)
    }

    fn note(
        &self,
        asked: &Asked,
        took: Duration,
        clicks: &Clicks,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let us = u64::try_from(took.as_micros())?.max(1);
        let accepted = asked.next == Next::Accepted;
        self.run.progress.answered(accepted);
        match asked.next {
            Next::Accepted => {
                tally.accepted += 1;
                if let (Some(remark), Some(order)) = (self.remark, asked.told.order) {
                    let orders = tally.remarked.entry(remark.to_owned()).or_default();
                    orders.push(order);
                }
            }
            Next::Refused => *tally.rejected.entry(asked.told.reason()).or_default() += 1,
            Next::Again(_) => *tally.gave_up.entry(asked.told.reason()).or_default() += 1,
        }
        let histogram = match (clicks, accepted) {
            (Clicks::TwiceAtOnce, _) => &mut tally.double_click_us,
            (_, true) => &mut tally.accepted_us,
            (_, false) => &mut tally.rejected_us,
        };
        histogram.record(us)?;
        Ok(())
    }
}
