//! Ways to servers on which every request has a name, and chosen ones go wrong: what a process asks for is written down once, and then
//! each of it can fail.
//!
//! ```no_run
//! # use std::net::SocketAddr;
//! # use testkit::tap::{Fault, Steps, Tap};
//! # async fn example(mysql: SocketAddr, redis: SocketAddr) {
//! let steps = Steps::default();
//! let taps = [Tap::mysql(mysql, &steps).await, Tap::redis(redis, &steps, |_| None).await];
//! steps.count(Vec::new());
//! // … a process whose servers are at taps[0].address() and taps[1].address() does its work …
//! let seen = steps.seen(); // "MySQL: start transaction", "MySQL: insert into orders", …
//! // … and once more, on taps of its own:
//! steps.count(vec![(seen[0].clone(), Fault::ReplyLost)]);
//! # }
//! ```
//!
//! It leaves out servers that hang, and replies that arrive in part. Without encryption: it reads what the clients say.

mod requests;

use requests::Reader;
use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// How long a server may take to notice that the one who asked last is gone.
const NOTICES_WITHIN: Duration = Duration::from_secs(10);

/// One request of a process, named for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// Who was asked.
    pub server: String,
    /// What for, in a few words.
    pub what: String,
    /// Which time this was, the first being 1.
    pub time: u32,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, what, time } = self;
        match time {
            1 => write!(f, "{server}: {what}"),
            _ => write!(f, "{server}: {what} ({time})"),
        }
    }
}

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The server does not get it: the connection breaks before.
    NotSent,
    /// The server does what it asks for: the connection breaks before the reply.
    ReplyLost,
    /// The process is cut off from everything as soon as it is sent. The server gets it.
    DeadOnceSent,
    /// The process is cut off from everything as soon as the server has replied.
    DeadOnceDone,
    /// The process is cut off from everything before it is sent. The server does not get it.
    DeadUnsent,
}

impl Fault {
    /// Those of a request that waits for the one before it: dead before it is sent is dead once that one is done.
    pub const ALL: [Self; 4] = [
        Self::NotSent,
        Self::ReplyLost,
        Self::DeadOnceSent,
        Self::DeadOnceDone,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::ReplyLost => "reply lost",
            Self::DeadOnceSent => "dead once sent",
            Self::DeadOnceDone => "dead once done",
            Self::DeadUnsent => "dead before it is sent",
        })
    }
}

/// What one process asks for, over all its taps. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Steps(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    book: Mutex<Book>,
    /// Whether the process is cut off.
    dead: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Book {
    is_open: bool,
    times: HashMap<(String, String), u32>,
    seen: Vec<Step>,
    faults: Vec<(Step, Fault)>,
    met: Vec<Step>,
}

impl Steps {
    /// From now on requests count, and these go wrong.
    pub fn count(&self, faults: Vec<(Step, Fault)>) {
        *self.book() = Book {
            is_open: true,
            faults,
            ..Book::default()
        };
    }

    /// What was asked for, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Step> {
        self.book().seen.clone()
    }

    /// The requests that went wrong, each once it had.
    #[must_use]
    pub fn met(&self) -> Vec<Step> {
        self.book().met.clone()
    }

    /// Ends once the process is cut off, for whoever is to end it.
    pub async fn dead(&self) {
        // The sender lives as long as this.
        let _ = self.0.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// Cuts the process off: all its connections break, and it gets no new ones.
    pub fn die(&self) {
        self.0.dead.send_replace(true);
    }

    /// Writes a request down: how it goes wrong, if it does.
    pub(crate) fn next(&self, server: &str, what: String) -> Option<(Step, Fault)> {
        let mut book = self.book();
        if !book.is_open {
            return None;
        }
        let times = book.times.entry((server.to_owned(), what.clone()));
        let time = times.and_modify(|time| *time += 1).or_insert(1);
        let step = Step {
            server: server.to_owned(),
            what,
            time: *time,
        };
        book.seen.push(step.clone());
        let at = book.faults.iter().position(|(chosen, _)| *chosen == step)?;
        Some(book.faults.swap_remove(at))
    }

    pub(crate) fn went_wrong(&self, step: Step) {
        self.book().met.push(step);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose language is spoken.
#[derive(Clone)]
enum Language {
    MySql,
    Redis(NameOf),
    Http,
}

/// The name of a script, by its digest.
type NameOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Listens until it is dropped.
pub struct Tap {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Tap {
    /// On the way to a MySQL-family server. A step is a login or a statement that is carried out; preparing one is none, nor is a
    /// ping, nor what sets up a session.
    pub async fn mysql(server: SocketAddr, steps: &Steps) -> Self {
        Self::start(server, "MySQL", Language::MySql, steps).await
    }

    /// On the way to a Redis server. A step is a command; of one that runs a script by its digest, `script` may know the name.
    pub async fn redis(
        server: SocketAddr,
        steps: &Steps,
        script: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::start(server, "Redis", Language::Redis(Arc::new(script)), steps).await
    }

    /// On the way to an HTTP server of this name. A step is a request.
    pub async fn http(server: SocketAddr, name: &str, steps: &Steps) -> Self {
        Self::start(server, name, Language::Http, steps).await
    }

    async fn start(server: SocketAddr, name: &str, language: Language, steps: &Steps) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (name, steps) = (name.to_owned(), steps.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (name, language, steps) = (name.clone(), language.clone(), steps.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        () = steps.dead() => {}
                        _ = serve(client, server, &name, language, &steps) => {}
                    }
                });
            }
        });
        Self { address, task }
    }

    /// Where to connect instead of the server.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection, until one of its ends or a fault breaks it: then both ends are closed.
async fn serve(
    client: TcpStream,
    server: SocketAddr,
    name: &str,
    language: Language,
    steps: &Steps,
) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let line = Line {
        client: BufReader::new(from_client),
        to_client,
        server: BufReader::new(from_server),
        to_server,
    };
    line.converse(name, language, steps).await
}

struct Line {
    client: BufReader<OwnedReadHalf>,
    to_client: OwnedWriteHalf,
    server: BufReader<OwnedReadHalf>,
    to_server: OwnedWriteHalf,
}

impl Line {
    async fn converse(mut self, name: &str, language: Language, steps: &Steps) -> io::Result<()> {
        // Redis' clients do not wait for a reply before they ask again: so its replies are told apart here.
        let asks_ahead = matches!(language, Language::Redis(_));
        let mut reader = Reader::of(language);
        loop {
            self.until_the_client_speaks().await?;
            let request = reader.read(&mut self.client).await?;
            let wrong = request.what.and_then(|what| steps.next(name, what));
            let Some((step, fault)) = wrong else {
                self.to_server.write_all(&request.bytes).await?;
                if asks_ahead {
                    let reply = requests::resp(&mut self.server).await?.bytes;
                    self.to_client.write_all(&reply).await?;
                }
                continue;
            };
            if matches!(fault, Fault::NotSent | Fault::DeadUnsent) {
                steps.went_wrong(step);
                if fault == Fault::DeadUnsent {
                    steps.die();
                }
                return Ok(());
            }
            self.to_server.write_all(&request.bytes).await?;
            if fault == Fault::DeadOnceSent {
                steps.went_wrong(step);
                tokio::spawn(seen_off(self.server, self.to_server));
                steps.die();
                return Ok(());
            }
            until_it_speaks(&mut self.server).await?;
            steps.went_wrong(step);
            if fault == Fault::DeadOnceDone {
                steps.die();
            }
            return Ok(());
        }
    }

    /// Copies what the server says until the client has something to say.
    async fn until_the_client_speaks(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                spoke = until_it_speaks(&mut self.client) => return spoke,
                read = self.server.read(&mut bytes) => match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => self.to_client.write_all(&bytes[..read]).await?,
                },
            }
        }
    }
}

/// Takes nothing; an end is an error.
async fn until_it_speaks(one: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    if one.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Closing at once could take back what was sent: the server gets it, replies to nobody, and closes.
async fn seen_off(mut server: BufReader<OwnedReadHalf>, mut to_server: OwnedWriteHalf) {
    let _ = to_server.shutdown().await;
    let mut rest = Vec::new();
    let _ = timeout(NOTICES_WITHIN, server.read_to_end(&mut rest)).await;
}
