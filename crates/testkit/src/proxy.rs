//! A TCP proxy in front of a server, to cut a process off from it and let it through again.

use std::{io, net::SocketAddr};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay and nothing passes.
    Hung,
}

/// Listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of `server`, letting everything through.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (mode, seen) = watch::channel(Mode::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move { serve(client, server, &mut seen).await });
            }
        });
        Self {
            address,
            mode,
            task,
        }
    }

    /// Where to connect instead of the server.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks all connections and takes no new ones.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Keeps all connections, takes new ones, and lets nothing through.
    pub fn hang(&self) {
        self.mode.send_replace(Mode::Hung);
    }

    /// Lets new connections through again; those that hung are closed.
    pub fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, mode: &mut watch::Receiver<Mode>) {
    if *mode.borrow_and_update() == Mode::Open {
        tokio::select! {
            _ = forward(&mut client, server) => return,
            _ = mode.wait_for(|mode| *mode != Mode::Open) => {}
        }
    }
    // Ends with the proxy too.
    let _ = mode.wait_for(|mode| *mode != Mode::Hung).await;
}

async fn forward(client: &mut TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(client, &mut server)
        .await
        .map(|_| ())
}
