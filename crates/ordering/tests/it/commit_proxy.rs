//! A way to MySQL on which chosen COMMITs go wrong: never sent, or sent and never answered.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What happens to a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the server sees it.
    BeforeCommit,
    /// The server commits; the connection breaks before the reply.
    ReplyLost,
}

/// Listens on a free port until the test ends.
pub struct CommitProxy {
    pub address: SocketAddr,
    /// COMMITs that will still go wrong.
    left: Arc<AtomicU32>,
}

impl CommitProxy {
    pub async fn start(server: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicU32::new(0));
        let faults = Arc::clone(&left);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = server.into_split();
                let back =
                    tokio::spawn(
                        async move { tokio::io::copy(&mut from_server, &mut to_client).await },
                    );
                let faults = Arc::clone(&faults);
                tokio::spawn(async move {
                    let _ = forward(from_client, to_server, fault, &faults, &back).await;
                    back.abort();
                });
            }
        });
        Self { address, left }
    }

    /// Lets the next `times` COMMITs go wrong.
    pub fn fail_next(&self, times: u32) {
        self.left.store(times, Ordering::SeqCst);
    }

    /// Whether every fault asked for has happened.
    pub fn spent(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// Copies packet by packet (3 bytes of length, 1 of sequence, then the body) and looks for the text query `commit`.
async fn forward<T>(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    fault: Fault,
    left: &AtomicU32,
    back: &tokio::task::JoinHandle<T>,
) -> io::Result<()> {
    loop {
        let mut head = [0; 4];
        client.read_exact(&mut head).await?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        let mut body = vec![0; length];
        client.read_exact(&mut body).await?;
        let is_commit = body.first() == Some(&3) && body[1..].eq_ignore_ascii_case(b"commit");
        let fails = is_commit
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
        if fails {
            back.abort();
            if fault == Fault::BeforeCommit {
                return Ok(());
            }
        }
        server.write_all(&head).await?;
        server.write_all(&body).await?;
        if fails {
            return Ok(());
        }
    }
}
