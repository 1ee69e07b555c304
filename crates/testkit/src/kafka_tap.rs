//! The way to Kafka on which every request has a name, and chosen ones go wrong: the messages a process reads and writes, its offsets
//! and its place in its group.
//!
//! It stands beside [`Tap`](crate::tap::Tap) and shares its [`Steps`]: one list may hold what a process asks of all its servers. Other
//! than there, requests are answered out of step with one another, and the broker tells its address: in what it tells, that address is
//! replaced by the tap's, so that every connection of every client in the process comes through here.
//!
//! A step is a request that leaves something at the broker or that the process must have to go on: making topics, a producer's number,
//! a message, the coordinator, joining and leaving, the offsets a group has and gets, where a partition begins; and the reply that
//! brings messages ("Fetch from orders", one step for each topic in it). No steps are:
//! - `ApiVersions`, `Metadata`, telemetry: questions without consequence, asked again with every connection and every few seconds;
//! - heartbeats, and fetches that bring nothing: they recur for as long as a process lives, one like the other.
//!
//! A request nobody thought of here is a step of its number. It leaves out clusters of several brokers, encryption, a broker that
//! hangs, brokers before Kafka 2.7.

mod wire;

use crate::tap::{Fault, Step, Steps};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::sleep,
};
use wire::{Names, Request};

/// How long a request is kept back before its process dies without having sent it: a few rounds of whatever does not wait for it.
const KEPT_BACK: Duration = Duration::from_millis(300);

/// What can go wrong with a step.
///
/// To the broker it is the same whether a process dies once its request is sent or once it is answered, so the former is not among
/// them. A question leaves nothing there: whether it was not sent or its answer was lost is the same to both. The coordinator may be
/// asked for as often as the client likes: the first time counts.
///
/// A request that its process dies before is kept back for a moment, in which everything else goes on: what should have waited for it
/// and did not is done by then.
#[must_use]
pub fn faults_of(step: &Step) -> &'static [Fault] {
    if step.what.starts_with(wire::FETCH) {
        return &[Fault::ReplyLost, Fault::DeadOnceDone];
    }
    if step.what == wire::COORDINATOR && step.time > 1 {
        return &[];
    }
    if wire::QUESTIONS.contains(&&step.what[..]) {
        return &[Fault::NotSent, Fault::DeadUnsent];
    }
    &[
        Fault::NotSent,
        Fault::ReplyLost,
        Fault::DeadUnsent,
        Fault::DeadOnceDone,
    ]
}

/// Listens until it is dropped.
pub struct KafkaTap {
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Shared {
    server: String,
    names: Mutex<Names>,
    own_port: u16,
    steps: Steps,
}

impl KafkaTap {
    /// On the way to `broker`, which is `host:port`. Of each topic its name and what people call it.
    pub async fn start(broker: &str, topics: &[(&str, &str)], steps: &Steps) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server: broker.to_owned(),
            names: Mutex::new(Names::of(topics)),
            own_port: address.port(),
            steps: steps.clone(),
        });
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        () = shared.steps.dead() => {}
                        _ = serve(client, &shared) => {}
                    }
                });
            }
        });
        Self { address, task }
    }

    /// Where to connect instead of the broker.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for KafkaTap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was asked and is not answered, and how it goes wrong.
type Asked = Mutex<HashMap<i32, (Request, Option<(Step, Fault)>)>>;

/// A connection, until one of its ends or a fault breaks it: then both ends are closed.
async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let server = TcpStream::connect(&shared.server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = Asked::default();
    tokio::select! {
        broken = there(from_client, to_server, shared, &asked) => broken,
        broken = back(from_server, to_client, shared, &asked) => broken,
    }
}

async fn there(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    asked: &Asked,
) -> io::Result<()> {
    loop {
        let frame = wire::frame(&mut client).await?;
        let request = Request::of(&frame)?;
        let what = locked(&shared.names).request(request, &frame);
        let wrong = what.and_then(|what| shared.next(what));
        if let Some((step, fault @ (Fault::NotSent | Fault::DeadUnsent))) = wrong {
            if fault == Fault::DeadUnsent {
                sleep(KEPT_BACK).await;
            }
            shared.went_wrong(step, fault);
            return Ok(());
        }
        locked(asked).insert(request.correlation, (request, wrong));
        wire::write(&mut server, &frame).await?;
    }
}

async fn back(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    asked: &Asked,
) -> io::Result<()> {
    loop {
        let mut frame = wire::frame(&mut server).await?;
        let (request, mut wrong) = locked(asked)
            .remove(&wire::correlation(&frame)?)
            .ok_or(io::ErrorKind::InvalidData)?;
        if request.is_fetch() {
            let what = locked(&shared.names).messages_in(request, &frame);
            // All of them are steps; one fault is enough for the reply.
            let wrongs: Vec<_> = what
                .into_iter()
                .filter_map(|what| shared.next(what))
                .collect();
            wrong = wrongs.into_iter().next();
        }
        if let Some((step, fault)) = wrong {
            shared.went_wrong(step, fault);
            return Ok(());
        }
        if request.tells_addresses() {
            locked(&shared.names).learn(request, &frame);
            wire::redirect(request, &mut frame, &shared.server, shared.own_port);
        }
        wire::write(&mut client, &frame).await?;
    }
}

impl Shared {
    fn next(&self, what: String) -> Option<(Step, Fault)> {
        self.steps.next("Kafka", what)
    }

    fn went_wrong(&self, step: Step, fault: Fault) {
        self.steps.went_wrong(step);
        if matches!(
            fault,
            Fault::DeadUnsent | Fault::DeadOnceSent | Fault::DeadOnceDone
        ) {
            self.steps.die();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
