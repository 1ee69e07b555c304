//! HTTP/1.1 in the little the launcher needs of it, on both sides: one request a connection, JSON in the bodies.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer messages are cut off.
const AT_MOST: u64 = 1024 * 1024;

/// A request as it came, or an answer.
#[derive(Debug, Default)]
pub struct Message {
    /// The first line.
    pub start: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    /// Reads one. Without a length an answer ends with the connection, and a request has no body.
    ///
    /// # Errors
    /// When the connection breaks off or brings something else.
    pub fn read(from: impl Read) -> io::Result<Self> {
        let mut from = BufReader::new(from.take(AT_MOST));
        let mut line = || {
            let mut line = String::new();
            from.read_line(&mut line)?;
            io::Result::Ok(line.trim_end().to_owned())
        };
        let mut message = Self {
            start: line()?,
            ..Self::default()
        };
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            message
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if let Some(length) = message.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            message.body = vec![0; length.min(usize::try_from(AT_MOST).unwrap_or(usize::MAX))];
            from.read_exact(&mut message.body)?;
        } else if message.start.starts_with("HTTP/") {
            from.read_to_end(&mut message.body)?;
        }
        Ok(message)
    }

    /// A header's value; names are in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1)?.parse().ok()
    }
}

/// A server of ours, and who asks it.
#[derive(Debug, Clone)]
pub struct Server {
    authority: String,
    bearer: Option<String>,
}

impl Server {
    /// At `base`, an `http://host:port`.
    pub fn at(base: &str) -> Self {
        Self {
            authority: base
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
            bearer: None,
        }
    }

    /// The same, asked with a token from its `POST /api/v1/sessions`.
    ///
    /// # Errors
    /// When it gives none.
    pub fn logged_in(mut self, username: &str, password: &str) -> anyhow::Result<Self> {
        let account = serde_json::json!({ "username": username, "password": password });
        let session = self.post("/api/v1/sessions", &account)?;
        let token = session["access_token"].as_str();
        self.bearer = Some(token.context("a log-in without a token")?.to_owned());
        Ok(self)
    }

    /// # Errors
    /// When it does not answer, or not with JSON and a 2xx.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path, None)
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask("POST", path, Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let asked = || format!("{method} http://{}{path}", self.authority);
        let answer = self.exchange(method, path, body).with_context(asked)?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(
            answer.status().is_some_and(|status| status / 100 == 2),
            "{} was answered {}: {text}",
            asked(),
            answer.start
        );
        serde_json::from_str(&text).with_context(|| format!("{} was answered {text:?}", asked()))
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Message> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let bearer = self
            .bearer
            .as_ref()
            .map(|token| format!("Authorization: Bearer {token}\r\n"));
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{body}",
            self.authority,
            body.len(),
            bearer.unwrap_or_default()
        )?;
        Message::read(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    /// Answers one request, and gives it back.
    fn answering(answer: &'static str) -> (Server, thread::JoinHandle<Message>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::at(&format!("http://{}", listener.local_addr().unwrap()));
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let message = Message::read(&stream).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            message
        });
        (server, asked)
    }

    #[test]
    fn a_body_is_sent_and_read_whole() {
        let (server, asked) =
            answering("HTTP/1.1 201 Created\r\ncontent-length: 7\r\n\r\n{\"a\":1}and more");
        let answer = server.post("/x", &serde_json::json!({"b": 2})).unwrap();
        assert_eq!(answer["a"], 1);
        let asked = asked.join().unwrap();
        assert_eq!(
            (asked.start.as_str(), asked.body.as_slice()),
            ("POST /x HTTP/1.1", br#"{"b":2}"#.as_slice())
        );
    }

    #[test]
    fn a_refusal_is_told_with_its_words() {
        let (server, _) = answering("HTTP/1.1 409 Conflict\r\n\r\n{\"code\":\"replaying\"}");
        let refused = server.get("/x").unwrap_err().to_string();
        assert!(
            refused.contains("409 Conflict") && refused.contains("replaying"),
            "{refused}"
        );
    }
}
