//! HTTP/1.1 with as little work as can be, for it shares its cores with what it measures: one kept-alive connection each, on hyper.

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{HOST, RETRY_AFTER, SET_COOKIE},
};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// The header that carries a token.
pub const BEARER: &str = "authorization";

/// Longest wait for one answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to one server, opened when it is needed and again after it broke.
#[derive(Debug)]
pub struct Connection {
    authority: Arc<str>,
    open: Option<SendRequest<Full<Bytes>>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, when it was given in seconds.
    pub retry_after: Option<Duration>,
    /// The first cookie it sets: its name and value.
    pub cookie: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// No answer came; what the request did is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody took the connection: nothing was sent.
    #[error("not_connected")]
    NotConnected,
    /// The connection ended before the answer.
    #[error("connection_lost")]
    Lost,
    /// Nothing for [`PATIENCE`].
    #[error("timeout")]
    Timeout,
}

impl Connection {
    /// To `base`, an `http://host:port`. Connects when first used.
    ///
    /// # Errors
    /// Not such an address.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let authority = base
            .trim_end_matches('/')
            .strip_prefix("http://")
            .with_context(|| format!("not an http address: {base}"))?;
        Ok(Self {
            authority: authority.into(),
            open: None,
        })
    }

    /// Another connection to the same server.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            authority: Arc::clone(&self.authority),
            open: None,
        }
    }

    /// Sends JSON by POST, with the `Authorization` header and others as given. Never sends twice by itself.
    ///
    /// # Errors
    /// [`NoAnswer`]; the connection is opened anew next time.
    pub async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, NoAnswer> {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.ask(Method::POST, path, &headers, body).await
    }

    /// Asks for a page, with headers as given. Never sends twice by itself.
    ///
    /// # Errors
    /// [`NoAnswer`]; the connection is opened anew next time.
    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Reply, NoAnswer> {
        self.ask(Method::GET, path, headers, Bytes::new()).await
    }

    /// Sends a form as a browser does. Never sends twice by itself.
    ///
    /// # Errors
    /// [`NoAnswer`]; the connection is opened anew next time.
    pub async fn post_form(&mut self, path: &str, form: Bytes) -> Result<Reply, NoAnswer> {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.ask(Method::POST, path, &headers, form).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, NoAnswer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &*self.authority);
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        // Header values are made here, of tokens and ids; one that is not a header never reaches the server.
        let request = request
            .body(Full::new(body))
            .map_err(|_| NoAnswer::NotConnected)?;
        let answer = timeout(PATIENCE, self.exchange(request))
            .await
            .unwrap_or(Err(NoAnswer::Timeout));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, NoAnswer> {
        let sender = self.sender().await?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| NoAnswer::Lost)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let cookie = response
            .headers()
            .get(SET_COOKIE)
            .and_then(|set| set.to_str().ok()?.split(';').next())
            .map(str::to_owned);
        let body = collect(response.into_body()).await?;
        Ok(Reply {
            status,
            retry_after,
            cookie,
            body,
        })
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, NoAnswer> {
        let reusable = match self.open.take() {
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let sender = match reusable {
            Some(open) => open,
            None => connect(&self.authority)
                .await
                .ok_or(NoAnswer::NotConnected)?,
        };
        Ok(self.open.insert(sender))
    }
}

async fn connect(authority: &str) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // Its errors reach the sender's side as well.
    tokio::spawn(connection);
    Some(sender)
}

async fn collect(body: Incoming) -> Result<Bytes, NoAnswer> {
    Ok(body.collect().await.map_err(|_| NoAnswer::Lost)?.to_bytes())
}
