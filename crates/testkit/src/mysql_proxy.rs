//! A way to MySQL on which one chosen statement stops: before the server sees it, or once the server has carried it out and its
//! reply is under way. The test does what it wants to do at that moment, then lets it go on or breaks the connection.
//!
//! Everything else passes, on this connection and on all others. Without encryption: it reads what the clients say.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// How long a statement that is waited for may take to come.
const COMES_WITHIN: Duration = Duration::from_mins(1);
/// The first byte of a packet that holds a statement's text, prepares one, carries out a prepared one.
const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;

/// Where a statement stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The server has not seen it.
    Request,
    /// The server has carried it out; nobody was told.
    Reply,
}

/// A statement that is to be held, or is. Dropped, it breaks the connection.
#[derive(Debug)]
pub struct Held {
    came: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
}

impl Held {
    /// Waits until it is held.
    pub async fn there(&mut self) {
        timeout(COMES_WITHIN, &mut self.came)
            .await
            .expect("the statement comes in time")
            .expect("its connection stays");
    }

    /// Lets it go on as if nothing had been.
    pub fn let_go(self) {
        // A connection that is gone has nothing to go on with.
        let _ = self.go_on.send(());
    }
}

type Matches = Box<dyn Fn(&str) -> bool + Send>;

struct Trap {
    matches: Matches,
    hold: Hold,
    came: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

impl Trap {
    /// Tells the test, and waits for what it says.
    async fn spring(self) -> io::Result<()> {
        let _ = self.came.send(());
        let broken = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
        self.go_on.await.map_err(broken)
    }
}

type Slot = Arc<Mutex<Option<Trap>>>;

/// Listens until it is dropped.
pub struct MysqlProxy {
    address: SocketAddr,
    armed: Slot,
    task: JoinHandle<()>,
}

impl MysqlProxy {
    /// Starts one in front of `server`, letting everything through.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let armed = Slot::default();
        let shared = Arc::clone(&armed);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let armed = Arc::clone(&shared);
                tokio::spawn(async move { serve(client, server, &armed).await });
            }
        });
        Self {
            address,
            armed,
            task,
        }
    }

    /// Where to connect instead of the server.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds the next COMMIT.
    #[must_use]
    pub fn hold_commit(&self, hold: Hold) -> Held {
        self.hold(hold, |statement| statement.eq_ignore_ascii_case("commit"))
    }

    /// Holds the next statement whose text matches, prepared ones too. There is one trap at a time.
    #[must_use]
    pub fn hold(&self, hold: Hold, matches: impl Fn(&str) -> bool + Send + 'static) -> Held {
        let (came, coming) = oneshot::channel();
        let (go_on, going_on) = oneshot::channel();
        let trap = Trap {
            matches: Box::new(matches),
            hold,
            came,
            go_on: going_on,
        };
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(trap);
        Held {
            came: coming,
            go_on,
        }
    }
}

impl Drop for MysqlProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Both ways, until one of them breaks: then both are closed.
async fn serve(client: TcpStream, server: SocketAddr, armed: &Slot) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let caught = Slot::default();
    tokio::select! {
        broken = there(from_client, to_server, armed, &caught) => broken,
        broken = back(from_server, to_client, &caught) => broken,
    }
}

/// Copies packet by packet: 3 bytes of length, 1 of sequence, then the body.
async fn there(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    armed: &Slot,
    caught: &Slot,
) -> io::Result<()> {
    let mut statements = Statements::default();
    loop {
        let mut head = [0; 4];
        client.read_exact(&mut head).await?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        let mut body = vec![0; length];
        client.read_exact(&mut body).await?;
        if let Some(statement) = statements.carried_out_by(&body)
            && let Some(trap) = take_if_it_matches(armed, statement)
        {
            match trap.hold {
                Hold::Request => trap.spring().await?,
                Hold::Reply => *caught.lock().unwrap_or_else(PoisonError::into_inner) = Some(trap),
            }
        }
        server.write_all(&head).await?;
        server.write_all(&body).await?;
    }
}

async fn back(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    caught: &Slot,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = server.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        let trap = caught.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(trap) = trap {
            trap.spring().await?;
        }
        client.write_all(&bytes[..read]).await?;
    }
}

fn take_if_it_matches(armed: &Slot, statement: &str) -> Option<Trap> {
    let mut armed = armed.lock().unwrap_or_else(PoisonError::into_inner);
    armed.take_if(|trap| (trap.matches)(statement))
}

/// The prepared statements of one connection, by the number the server gave them.
#[derive(Default)]
pub(crate) struct Statements {
    /// Prepared just now: the client carries it out next, and names its number then.
    latest: Option<String>,
    known: HashMap<[u8; 4], String>,
}

impl Statements {
    /// The text of the statement that this packet has carried out.
    pub(crate) fn carried_out_by<'a>(&'a mut self, body: &'a [u8]) -> Option<&'a str> {
        let (&kind, rest) = body.split_first()?;
        match kind {
            QUERY => std::str::from_utf8(rest).ok(),
            PREPARE => {
                self.latest = Some(String::from_utf8_lossy(rest).into_owned());
                None
            }
            EXECUTE => {
                let number = *rest.first_chunk::<4>()?;
                if let Some(text) = self.latest.take() {
                    self.known.entry(number).or_insert(text);
                }
                self.known.get(&number).map(String::as_str)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_statement_is_known_by_its_number() {
        let mut statements = Statements::default();
        let execute = [EXECUTE, 7, 0, 0, 0, 1];
        assert_eq!(statements.carried_out_by(&execute), None);
        assert_eq!(statements.carried_out_by(b"\x16select ?"), None);
        assert_eq!(statements.carried_out_by(&execute), Some("select ?"));
        assert_eq!(statements.carried_out_by(b"\x03commit"), Some("commit"));
        assert_eq!(statements.carried_out_by(&execute), Some("select ?"));
    }
}
