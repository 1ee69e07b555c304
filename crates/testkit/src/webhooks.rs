//! A receiver of webhooks on a real socket: it writes down what came and answers what the test tells it to, or not at all. It checks
//! nothing of what it is sent: [`crate::receivers`] do.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// Larger requests are not taken.
const BODY_AT_MOST: usize = 1024 * 1024;
/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_secs(1);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, as it came.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Byte for byte.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, or an empty text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map_or("", |(_, value)| value)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a request is met with. It is written down before.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer(String),
    /// The same, a byte a second.
    Drip(String),
    /// The connection stays open and silent.
    Hang,
    /// The connection is reset.
    Reset,
}

#[derive(Debug)]
struct Seen {
    requests: Vec<Request>,
    next: VecDeque<Reply>,
    default: Reply,
}

/// Listens until it is dropped. Answers 200 `{"errcode":0,"errmsg":"ok"}` at first, which every channel takes for "sent".
pub struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen {
            requests: Vec::new(),
            next: VecDeque::new(),
            default: answer(200, &[], r#"{"errcode":0,"errmsg":"ok"}"#),
        }));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let meet = |request| {
                        let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.requests.push(request);
                        let next = seen.next.pop_front();
                        next.unwrap_or_else(|| seen.default.clone())
                    };
                    serve(stream, meet).await;
                });
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    /// `http://127.0.0.1:PORT/hook`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next request that has no answer yet gets this one; called again, the one after it.
    pub fn answer_next_with(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        self.seen().next.push_back(answer(status, headers, body));
    }

    /// Every request from now on gets this one.
    pub fn answer_with(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        self.set(answer(status, headers, body));
    }

    /// Every request from now on is read and never answered.
    pub fn hang(&self) {
        self.set(Reply::Hang);
    }

    /// The connection of every request from now on is reset once it was read.
    pub fn reset(&self) {
        self.set(Reply::Reset);
    }

    /// All requests so far, in the order they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.seen().requests.clone()
    }

    fn set(&self, default: Reply) {
        let mut seen = self.seen();
        seen.next.clear();
        seen.default = default;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer with its length.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut lines = vec![format!("HTTP/1.1 {status} Said")];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    lines.push(format!("content-length: {}", body.len()));
    Reply::Answer(format!("{}\r\n\r\n{body}", lines.join("\r\n")))
}

/// One connection, as many requests as it brings; each is met with what `meet` says.
pub(crate) async fn serve(stream: TcpStream, meet: impl Fn(Request) -> Reply + Send) {
    let mut stream = BufStream::new(stream);
    while let Ok(request) = read(&mut stream).await {
        match meet(request) {
            Reply::Answer(answer) => {
                if say(&mut stream, answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Drip(answer) => {
                for byte in answer.as_bytes() {
                    if say(&mut stream, &[*byte]).await.is_err() {
                        return;
                    }
                    sleep(DRIP).await;
                }
            }
            // Ends with the client.
            Reply::Hang => drop(stream.read_u8().await),
            Reply::Reset => {
                // Closing at once discards what is unsent: the client sees a reset.
                let _ = stream.get_ref().set_zero_linger();
                return;
            }
        }
    }
}

/// Sends it at once.
pub(crate) async fn say(stream: &mut BufStream<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The next request of a connection.
pub(crate) async fn read(stream: &mut BufStream<TcpStream>) -> io::Result<Request> {
    let first = line(stream).await?;
    let mut words = first.split(' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let mut headers = Vec::new();
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or_default();
    if length > BODY_AT_MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Request {
        method,
        target,
        headers,
        body,
    })
}

/// The next line, without its end.
pub(crate) async fn line(stream: &mut BufStream<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
