//! A participant outside the system on a real socket: a coupon service that keeps the barrier's rules, counts what it gave away,
//! writes down every request and misbehaves as it is told to.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use testkit::foreign_participant::{Behaviour, ForeignParticipant, Then};
//! # async fn example(gid: uuid::Uuid) {
//! let coupons = ForeignParticipant::start().await;
//! coupons.next("try", Behaviour::Apply(Then::Reset)); // the first reply is lost
//! coupons.always("confirm", Behaviour::After(Duration::from_millis(300)));
//! // … something that calls coupons.url() …
//! coupons.called("confirm", 1).await;
//! assert_eq!((coupons.used_by(gid), coupons.reserved()), (1, 0));
//! coupons.stop().await; // nobody listens
//! coupons.start_again().await; // on the same port, and nothing is forgotten
//! assert_eq!(coupons.broken_rules(), [""; 0]);
//! # }
//! ```

mod books;

use crate::{
    eventually, ports,
    webhooks::{self, Request},
};
use books::Books;
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use uuid::Uuid;

/// All there are.
const OPS: [&str; 5] = ["try", "confirm", "cancel", "action", "compensate"];
/// How long [`ForeignParticipant::called`] waits.
const CALLED_WITHIN: Duration = Duration::from_mins(1);
/// More than anybody may read of an answer.
const TOO_LONG: usize = 65 * 1024;

/// How one request is met. It is written down before.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// As it should be.
    Honest,
    /// As it should be, after so long.
    After(Duration),
    /// 409 with this code, and nothing is done. A try or an action stays refused.
    Refuse(&'static str),
    /// 425, with a `Retry-After` or without; nothing is done yet.
    Running(Option<String>),
    /// This status with this `Retry-After`, and nothing is done.
    Busy(u16, String),
    /// What was asked is done, but the answer is not what it should be.
    Apply(Then),
    /// Nothing is done, and the answer is not what it should be either.
    Skip(Then),
}

/// An answer that says nothing.
#[derive(Debug, Clone)]
pub enum Then {
    /// An empty answer of this status; 3xx leads to this participant itself.
    Status(u16),
    /// None, and the connection stays open.
    Hang,
    /// None, and the connection is reset.
    Reset,
    /// 200 with half of its body, then the connection is reset.
    BreakOff,
    /// 200 with a body longer than anybody may read.
    TooLong,
    /// Bytes that are not HTTP.
    Garbage,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was asked.
    pub op: String,
    /// Of which transaction.
    pub gid: Uuid,
    /// The participant's name, as the caller knows it.
    pub branch: String,
    /// When it had come.
    pub at: Instant,
    /// All of it.
    pub request: Request,
}

/// Listens until it is stopped or dropped.
pub struct ForeignParticipant {
    address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    open: Mutex<Option<Open>>,
}

/// What is there while it listens.
struct Open {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Inside {
    calls: Vec<Call>,
    books: Books,
    next: HashMap<&'static str, VecDeque<Behaviour>>,
    always: HashMap<&'static str, Behaviour>,
    at_once: usize,
    most_at_once: usize,
}

impl ForeignParticipant {
    /// Starts one on a free port, honest and with endless units.
    pub async fn start() -> Self {
        let address = ([127, 0, 0, 1], ports::free()).into();
        let listener = listen(address).await;
        let this = Self {
            address,
            inside: Arc::default(),
            open: Mutex::default(),
        };
        this.serve(listener);
        this
    }

    /// `http://127.0.0.1:PORT/coupons`: the op is added to it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/coupons", self.address)
    }

    /// The next request for this op that has none yet meets this; called again, the one after it.
    pub fn next(&self, op: &str, behaviour: Behaviour) {
        let op = known(op);
        self.inside()
            .next
            .entry(op)
            .or_default()
            .push_back(behaviour);
    }

    /// Every request for this op meets this from now on, but for those that have one of their own.
    pub fn always(&self, op: &str, behaviour: Behaviour) {
        self.inside().always.insert(known(op), behaviour);
    }

    /// So many units are there in all, reserved and used ones among them. A branch takes what `units` or `quantity` of its body
    /// says, else one.
    pub fn offer(&self, units: u64) {
        self.inside().books.capacity = units;
    }

    /// All requests so far, in the order they came.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inside().calls.clone()
    }

    /// Those of one transaction, as ops.
    #[must_use]
    pub fn ops_of(&self, gid: Uuid) -> Vec<String> {
        let inside = self.inside();
        let of_it = inside.calls.iter().filter(|call| call.gid == gid);
        of_it.map(|call| call.op.clone()).collect()
    }

    /// Waits until so many requests for this op have come, and gives them.
    pub async fn called(&self, op: &str, times: usize) -> Vec<Call> {
        eventually(
            &format!("{times} requests to {op}"),
            CALLED_WITHIN,
            async || {
                let mut calls = self.calls();
                calls.retain(|call| call.op == op);
                (calls.len() >= times).then_some(calls)
            },
        )
        .await
    }

    /// Units that are reserved.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.inside().books.reserved()
    }

    /// Units that are used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.inside().books.used()
    }

    /// Those of one transaction.
    #[must_use]
    pub fn used_by(&self, gid: Uuid) -> u64 {
        self.inside().books.used_by(gid)
    }

    /// What came and must never come: confirm without a promise or after cancel, cancel after confirm, another body in the same branch,
    /// headers that are missing.
    #[must_use]
    pub fn broken_rules(&self) -> Vec<String> {
        self.inside().books.broken.clone()
    }

    /// How many requests were under way at once, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.inside().most_at_once
    }

    /// Nobody listens any more, and all connections are reset. What it knows it keeps.
    pub async fn stop(&self) {
        let open = self.open().take();
        if let Some(open) = open {
            drop(open.stop);
            open.task.await.expect("the server's task");
        }
    }

    /// Listens again, on the same port.
    pub async fn start_again(&self) {
        self.stop().await;
        self.serve(listen(self.address).await);
    }

    fn serve(&self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let inside = Arc::clone(&self.inside);
        let task = tokio::spawn(accept(listener, inside, stopped));
        *self.open() = Some(Open { stop, task });
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        lock(&self.open)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known(op: &str) -> &'static str {
    let known = OPS.into_iter().find(|known| *known == op);
    known.unwrap_or_else(|| panic!("{op} is none of {OPS:?}"))
}

async fn listen(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).await.expect("its port")
}

/// Ends with the one who holds the other end of `stopped`.
async fn accept(
    listener: TcpListener,
    inside: Arc<Mutex<Inside>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                // Closing at once discards what is unsent: the client sees a reset.
                let _ = (stream.set_nodelay(true), stream.set_zero_linger());
                let inside = Arc::clone(&inside);
                connections.spawn(async move { converse(stream, &inside).await });
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// One connection, as many requests as it brings.
async fn converse(stream: TcpStream, inside: &Mutex<Inside>) {
    let mut stream = BufStream::new(stream);
    while let Ok(request) = webhooks::read(&mut stream).await {
        let under_way = UnderWay::begin(inside);
        let answer = meet(request, inside).await;
        // Before it is told: whoever has the answer may send the next.
        drop(under_way);
        match answer {
            Met::Answer(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err()
                {
                    return;
                }
            }
            Met::BreakOff(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.flush().await;
                return;
            }
            // Ends with the client.
            Met::Silence => drop(stream.read_u8().await),
            Met::Reset => return,
        }
    }
}

/// Counts a request as long as it is under way.
struct UnderWay<'a>(&'a Mutex<Inside>);

impl<'a> UnderWay<'a> {
    fn begin(inside: &'a Mutex<Inside>) -> Self {
        let mut counted = lock(inside);
        counted.at_once += 1;
        counted.most_at_once = counted.most_at_once.max(counted.at_once);
        Self(inside)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.0).at_once -= 1;
    }
}

enum Met {
    Answer(String),
    BreakOff(String),
    Silence,
    Reset,
}

async fn meet(request: Request, inside: &Mutex<Inside>) -> Met {
    let (op, key, behaviour) = match lock(inside).taken_in(request) {
        Ok(known) => known,
        Err(answer) => return Met::Answer(answer),
    };
    if let Behaviour::After(wait) = behaviour {
        sleep(wait).await;
    }
    let books = &mut lock(inside).books;
    match behaviour {
        Behaviour::Honest | Behaviour::After(_) => Met::Answer(books.apply(op, &key).map_or_else(
            |code| refusal(&code),
            |()| text(200, &["content-type: application/json"], "{}"),
        )),
        Behaviour::Refuse(code) => {
            books.refuse(op, &key, code);
            Met::Answer(refusal(code))
        }
        Behaviour::Running(wait) => {
            let wait = wait.map(|wait| format!("retry-after: {wait}"));
            Met::Answer(text(
                425,
                &wait.iter().map(String::as_str).collect::<Vec<_>>(),
                "",
            ))
        }
        Behaviour::Busy(status, wait) => {
            Met::Answer(text(status, &[&format!("retry-after: {wait}")], ""))
        }
        Behaviour::Apply(then) => {
            // Whatever comes of it.
            let _ = books.apply(op, &key);
            then.met(op)
        }
        Behaviour::Skip(then) => then.met(op),
    }
}

impl Inside {
    /// Writes the request down and says how to meet it, or the answer to one that is none.
    fn taken_in(
        &mut self,
        request: Request,
    ) -> Result<(&'static str, (Uuid, String), Behaviour), String> {
        let last = request.target.rsplit('/').next().unwrap_or_default();
        let path_op = last.split('?').next().unwrap_or_default();
        let gid = Uuid::parse_str(request.header("redress-gid"));
        let branch = request.header("redress-branch").to_owned();
        let op = OPS.into_iter().find(|op| *op == path_op);
        let (Some(op), Ok(gid)) = (op, gid) else {
            self.books
                .broken
                .push(format!("{} is no call", request.target));
            return Err(text(404, &[], ""));
        };
        if request.header("redress-op") != op || branch.is_empty() {
            self.books
                .broken
                .push(format!("{op} of {gid} with other headers"));
        }
        let key = (gid, branch);
        self.books.called(op, &key, &request.text());
        self.calls.push(Call {
            op: op.to_owned(),
            gid,
            branch: key.1.clone(),
            at: Instant::now(),
            request,
        });
        let next = self.next.get_mut(op).and_then(VecDeque::pop_front);
        let behaviour = next.or_else(|| self.always.get(op).cloned());
        Ok((op, key, behaviour.unwrap_or(Behaviour::Honest)))
    }
}

impl Then {
    fn met(&self, op: &str) -> Met {
        match self {
            Self::Status(status @ 300..=399) => {
                Met::Answer(text(*status, &[&format!("location: /coupons/{op}")], ""))
            }
            Self::Status(status) => Met::Answer(text(*status, &[], "")),
            Self::Hang => Met::Silence,
            Self::Reset => Met::Reset,
            Self::BreakOff => {
                Met::BreakOff("HTTP/1.1 200 Said\r\ncontent-length: 100\r\n\r\nhalf".to_owned())
            }
            Self::TooLong => Met::Answer(text(200, &[], &" ".repeat(TOO_LONG))),
            Self::Garbage => Met::BreakOff("\u{1}coupons?\r\n\r\n".to_owned()),
        }
    }
}

fn refusal(code: &str) -> String {
    let problem = serde_json::json!({ "title": "Conflict", "status": 409, "code": code });
    text(
        409,
        &["content-type: application/problem+json"],
        &problem.to_string(),
    )
}

fn text(status: u16, headers: &[&str], body: &str) -> String {
    let length = format!("content-length: {}", body.len());
    let mut lines = vec![format!("HTTP/1.1 {status} Said")];
    lines.extend(headers.iter().map(|&header| header.to_owned()));
    lines.push(length);
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
