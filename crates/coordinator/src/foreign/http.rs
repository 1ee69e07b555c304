//! One participant over HTTP: a request a call, in its turn and in time, and what came of it.
//!
//! Nothing is followed, retried or guessed here: no redirects, no proxies, one request a call. What is said of a call names neither the
//! url nor what is in it, for it may hold a credential.

use super::{
    answer::{self, BODY_AT_MOST},
    destination::Ended,
    metrics::{FOREIGN_CALL_SECONDS, FOREIGN_CALLS_TOTAL},
    reply::{Called, Op, Phase, Reply, Style},
    turns::{TOO_LATE, Turns},
};
use crate::ids::Gid;
use chrono::Utc;
use metrics::{counter, histogram};
use reqwest::{Client, Response, Url, header::CONTENT_TYPE, redirect};
use std::{error::Error as _, fmt, io, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{Instrument as _, Span, debug, field::Empty, info_span};

/// As long as a name may be, for it is stored with every branch.
const NAME_AT_MOST: usize = 64;

/// How a participant is reached.
#[derive(Clone)]
pub struct HttpSettings {
    /// Its name in the log, in metrics and in requests: 1 to 64 of a-z, 0-9, '-', '_' and '.'. It never changes and is never given to
    /// another: stored branches go by it.
    pub name: String,
    /// How it takes part.
    pub style: Style,
    /// Where it listens; the op is added to the path. It may hold a user and a password, or a key in its query: it is never shown.
    pub url: String,
    /// How long one call may take, more than nothing.
    pub timeout: Duration,
    /// Calls under way at once, at least 1.
    pub in_flight: usize,
    /// Answers in a row that say nothing after which it is not called for a while, at least 1.
    pub breaker_failures: u32,
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("name", &self.name)
            .field("style", &self.style)
            .field("timeout", &self.timeout)
            .field("in_flight", &self.in_flight)
            .field("breaker_failures", &self.breaker_failures)
            .finish_non_exhaustive()
    }
}

/// Why a participant cannot be reached this way. One line, without the url.
#[derive(Debug, thiserror::Error)]
pub enum BadParticipant {
    /// What it is called.
    #[error(
        "a participant's name must be 1 to {NAME_AT_MOST} of a-z, 0-9, '-', '_' and '.', not {0:?}"
    )]
    Name(String),
    /// Not a url that can be called.
    #[error("the url of participant {0} must be of the form https://host or http://host")]
    Url(String),
    /// A limit that lets nothing through.
    #[error("{limit} of participant {name} must be above 0")]
    Limit {
        /// Whose.
        name: String,
        /// Which.
        limit: &'static str,
    },
    /// The machine has no certificates to check an encrypted participant by.
    #[error(
        "no encrypted connection to participant {name} can be made: are the system's certificates installed?"
    )]
    Client {
        /// Whose.
        name: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
}

/// A participant that is spoken to as the [module](crate::foreign) says.
pub struct HttpParticipant {
    name: Arc<str>,
    style: Style,
    url: Url,
    timeout: Duration,
    client: Client,
    turns: Turns,
}

impl fmt::Debug for HttpParticipant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpParticipant")
            .field("name", &self.name)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl HttpParticipant {
    /// One that is believed to be there. Nothing is sent yet. Encrypted ones are checked by the system's certificates.
    ///
    /// # Errors
    /// When it could never be called.
    pub fn new(settings: HttpSettings) -> Result<Self, BadParticipant> {
        let HttpSettings {
            name,
            style,
            url,
            timeout,
            in_flight,
            breaker_failures,
        } = settings;
        if !is_name(&name) {
            return Err(BadParticipant::Name(name));
        }
        for (limit, is_zero) in [
            ("the timeout", timeout.is_zero()),
            ("the number of calls in flight", in_flight == 0),
            (
                "the number of failures that open the breaker",
                breaker_failures == 0,
            ),
        ] {
            if is_zero {
                return Err(BadParticipant::Limit { name, limit });
            }
        }
        let Some(url) = callable(&url) else {
            return Err(BadParticipant::Url(name));
        };
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(in_flight)
            .user_agent("redress");
        let builder = if url.scheme() == "https" {
            builder.https_only(true)
        } else {
            // Nothing is checked by certificates, so a machine without any will do.
            builder.tls_certs_only([])
        };
        let client = match builder.build() {
            Ok(client) => client,
            Err(cause) => {
                let cause = cause.without_url();
                return Err(BadParticipant::Client { name, cause });
            }
        };
        let name: Arc<str> = name.into();
        Ok(Self {
            turns: Turns::new(Arc::clone(&name), in_flight, breaker_failures),
            name,
            style,
            url,
            timeout,
            client,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it takes part.
    #[must_use]
    pub const fn style(&self) -> Style {
        self.style
    }

    /// Whether a call made now would be [`Reply::Away`] at once. Not while the one that tries it anew is still to be made: without
    /// a caller nobody would.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.turns.is_away()
    }

    /// Whether it answers, as far as is known: its breaker is closed. Where it does not, one caller is enough to see whether it does
    /// again.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.turns.answers()
    }

    /// Changes each time the participant answers again after it had not for a while: what waited for it may go on, and is paced
    /// here.
    #[must_use]
    pub fn came_back(&self) -> watch::Receiver<u64> {
        self.turns.came_back()
    }

    /// Calls it for one branch, once, with the same `body` as every call of that branch (JSON). Waits for its turn, first come first
    /// served, and never returns later than `until`. Where its style has nothing to do in this phase it is done at once.
    ///
    /// `traceparent` (W3C Trace Context) links what the participant writes down to what was asked here. Dropping the future leaves
    /// unknown what the participant did.
    pub async fn call(
        &self,
        phase: Phase,
        gid: Gid,
        body: &str,
        traceparent: Option<&str>,
        until: Instant,
    ) -> Called {
        let Some(op) = self.style.op(phase) else {
            return not_sent(Reply::Done);
        };
        let span = info_span!("foreign_call", %gid, participant = %self.name, op = op.as_str(), traceparent, outcome = Empty);
        let called = self
            .in_turn(op, gid, body, traceparent, until)
            .instrument(span.clone())
            .await;
        self.note(op, &called, &span);
        called
    }

    async fn in_turn(
        &self,
        op: Op,
        gid: Gid,
        body: &str,
        traceparent: Option<&str>,
        until: Instant,
    ) -> Called {
        let came = Instant::now();
        let permit = match self.turns.next(until).await {
            Ok(permit) => permit,
            Err((why, wait)) => return not_sent(Reply::Away(why.to_owned(), wait)),
        };
        let (at, begun) = (Utc::now(), Instant::now());
        let deadline = until.min(begun + self.timeout);
        let given = deadline.saturating_duration_since(begun);
        if given.is_zero() {
            return not_sent(Reply::Away(TOO_LATE.to_owned(), None));
        }
        let answer = timeout_at(deadline, self.post(op, gid, body, traceparent)).await;
        let ended = match &answer {
            Ok(Reply::Done | Reply::No(_) | Reply::Running(_)) => Ended::Answered,
            Ok(Reply::Away(_, wait)) => Ended::LeaveAlone(wait.unwrap_or_default()),
            // Whoever spent its time in the queue cannot say that the participant is slow.
            Err(_) if given < self.timeout.min(until - came) / 2 => Ended::Unsaid,
            Ok(Reply::Unknown(_)) | Err(_) => Ended::Unknown,
        };
        permit.ended(ended);
        Called {
            at,
            took: begun.elapsed(),
            reply: answer.unwrap_or_else(|_| {
                Reply::Unknown(format!("no answer within {} ms", given.as_millis()))
            }),
        }
    }

    async fn post(&self, op: Op, gid: Gid, body: &str, traceparent: Option<&str>) -> Reply {
        let mut request = self
            .client
            .post(self.url_of(op))
            .header(CONTENT_TYPE, "application/json")
            .header("redress-gid", gid.to_string())
            .header("redress-branch", &*self.name)
            .header("redress-op", op.as_str());
        // What is no header is left out: the call matters more than its trace.
        if let Some(parent) = traceparent.filter(|parent| is_header(parent)) {
            request = request.header("traceparent", parent);
        }
        match request.body(body.to_owned()).send().await {
            Ok(response) => whole(response).await,
            Err(cause) => Reply::Unknown(reason(&cause)),
        }
    }

    fn url_of(&self, op: Op) -> Url {
        let mut url = self.url.clone();
        // What has a host has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(op.as_str());
        }
        url
    }

    fn note(&self, op: Op, called: &Called, span: &Span) {
        let outcome = match &called.reply {
            Reply::Done => "done",
            Reply::No(_) => "no",
            Reply::Running(_) => "running",
            Reply::Unknown(_) => "unknown",
            Reply::Away(..) => "away",
        };
        span.record("outcome", outcome);
        counter!(FOREIGN_CALLS_TOTAL, "participant" => Arc::clone(&self.name), "op" => op.as_str(), "outcome" => outcome)
            .increment(1);
        if !called.took.is_zero() {
            histogram!(FOREIGN_CALL_SECONDS, "participant" => Arc::clone(&self.name), "op" => op.as_str())
                .record(called.took);
        }
        if let Reply::Unknown(why) | Reply::Away(why, _) = &called.reply {
            debug!(parent: span, "No word of {op} from {}: {why}", self.name);
        }
    }
}

/// An answer that is whole; what breaks off, or does not end, is none.
async fn whole(mut response: Response) -> Reply {
    let too_long = || {
        Reply::Unknown(format!(
            "an answer of more than {BODY_AT_MOST} bytes is not read"
        ))
    };
    if response
        .content_length()
        .is_some_and(|length| length > BODY_AT_MOST as u64)
    {
        return too_long();
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break,
            Err(cause) => return Reply::Unknown(reason(&cause)),
        }
        if body.len() > BODY_AT_MOST {
            return too_long();
        }
    }
    answer::reply(response.status(), response.headers(), &body, Utc::now())
}

fn not_sent(reply: Reply) -> Called {
    Called {
        at: Utc::now(),
        took: Duration::ZERO,
        reply,
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_AT_MOST).contains(&name.len())
        && name
            .bytes()
            .all(|letter| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_graphic())
}

fn callable(url: &str) -> Option<Url> {
    let url = Url::parse(url.trim()).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// What went wrong, in words that hold nothing of the request.
fn reason(cause: &reqwest::Error) -> String {
    if cause.is_dns() {
        return "the host's name is not known".to_owned();
    }
    let mut inner = cause.source();
    while let Some(error) = inner {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return format!("connection failed: {}", error.kind());
        }
        inner = error.source();
    }
    if cause.is_connect() {
        "connection failed".to_owned()
    } else {
        "the connection broke before a whole answer came".to_owned()
    }
}
