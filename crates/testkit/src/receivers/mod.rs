//! Fake receivers of alerts, one a vendor, on real sockets: each checks what the real one checks and answers as that one does.
//!
//! A fake recomputes signatures by itself, looks at clock, size, shape and rate, and writes down what it was sent. What it must refuse it
//! refuses whatever its [`Mood`] is; the mood says what becomes of the rest. Codes are the vendors' own; where only hearsay tells one (too
//! long, malformed), what matters is that it does not say "taken".
//!
//! ```no_run
//! # use testkit::receivers::{DingTalk, Fake, Mood};
//! # async fn example() {
//! let robot = Fake::start(DingTalk::new("TOKEN", "SECrobot")).await;
//! robot.next(Mood::TooFast); // errcode 130101, once
//! // … something that posts to robot.url() …
//! assert_eq!(robot.refused(), [""; 0]);
//! assert_eq!(robot.received()[0].title, "Redress: Work was given up");
//! # }
//! ```

mod alertmanager;
mod book;
mod dingtalk;
mod feishu;
mod mail;
mod mood;
mod pagerduty;
mod query;
mod rate;
mod signature;
mod slack;
mod standard_webhooks;
mod tls;
mod vendor;
mod wecom;

pub use alertmanager::Alertmanager;
pub use dingtalk::DingTalk;
pub use feishu::Feishu;
pub use mail::Mailbox;
pub use mood::Mood;
pub use pagerduty::PagerDuty;
pub use rate::Limits;
pub use slack::Slack;
pub use standard_webhooks::StandardWebhooks;
pub use tls::{Begins, Certificate, Encrypted, TestCa};
pub use vendor::{Received, Refusal, Said, Vendor};
pub use wecom::WeCom;

use crate::webhooks;
use book::Book;
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Listens until it is dropped, at first in the mood [`Mood::Well`].
pub struct Fake {
    address: SocketAddr,
    /// Plain and encrypted.
    schemes: [&'static str; 2],
    target: String,
    book: Arc<Book>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts one that speaks HTTP on a free port.
    pub async fn start(vendor: impl Vendor) -> Self {
        let target = vendor.target();
        let vendor = Arc::new(vendor);
        Self::listen(["http", "https"], target, move |stream, book| {
            let vendor = Arc::clone(&vendor);
            async move {
                let meet = |request| vendor::meet(&*vendor, &book, &request);
                webhooks::serve(stream, meet).await;
            }
        })
        .await
    }

    /// Starts one that takes e-mail on a free port.
    pub async fn mail(mailbox: Mailbox) -> Self {
        let mailbox = Arc::new(mailbox);
        Self::listen(["smtp", "smtps"], String::new(), move |stream, book| {
            let mailbox = Arc::clone(&mailbox);
            async move { mail::converse(stream, &mailbox, &book).await }
        })
        .await
    }

    async fn listen<F>(
        schemes: [&'static str; 2],
        target: String,
        converse: impl Fn(TcpStream, Arc<Book>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let book = Arc::new(Book::default());
        let shared = Arc::clone(&book);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if shared.mood_now() == Mood::Garbage {
                    shared.mood();
                    tokio::spawn(garbage(stream, Arc::clone(&shared)));
                } else {
                    tokio::spawn(converse(stream, Arc::clone(&shared)));
                }
            }
        });
        Self {
            address,
            schemes,
            target,
            book,
            task,
        }
    }

    /// Where it listens, with what stands for a credential in it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.schemes[0], self.address, self.target)
    }

    /// The same address as if it were encrypted, for [`Mood::Garbage`].
    #[must_use]
    pub fn encrypted_url(&self) -> String {
        format!("{}://{}{}", self.schemes[1], self.address, self.target)
    }

    /// Host and port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of every message from now on.
    pub fn be(&self, mood: Mood) {
        self.book.be(mood);
    }

    /// What becomes of the next message that has no mood of its own yet; called again, of the one after it.
    pub fn next(&self, mood: Mood) {
        self.book.next(mood);
    }

    /// Puts its clock forward: rates refill, and what was signed now was signed so long ago.
    pub fn later(&self, by: Duration) {
        self.book.later(by);
    }

    /// Puts forward the clock by which it counts, and not the one by which it looks at signatures: hours pass for its rates alone.
    pub fn counts_later(&self, by: Duration) {
        self.book.counts_later(by);
    }

    /// Stops its clock, which from now on moves by [`Fake::later`] alone: whether a rate is met no longer depends on how fast the machine
    /// is. Signatures are compared with it too, so a test that takes longer than the vendor lets them be old puts it forward.
    pub fn stand_still(&self) {
        self.book.stand_still();
    }

    /// Every message that was as it must be, whatever it was answered, in the order they came.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.book.received()
    }

    /// Why it refused what was not as it must be, in the order it came. Empty after a test that sends as it should.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.book.refused()
    }

    /// Messages and attempts at one so far, refused ones too: a redirect that was followed is one more.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.book.calls()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers whatever comes first with what is neither TLS nor HTTP.
async fn garbage(mut stream: TcpStream, book: Arc<Book>) {
    let mut first = [0; 4096];
    let _ = stream.read(&mut first).await;
    book.called();
    let mut stream = tokio::io::BufStream::new(stream);
    let _ = webhooks::say(
        &mut stream,
        b"\x00\x2a garbage, neither TLS nor HTTP\r\n\r\n",
    )
    .await;
    // Ends with the client: closing at once might take the garbage back.
    let _ = stream.read(&mut first).await;
}
