//! Who is told of failures in the demo: a receiver of Standard Webhooks that checks every signature itself, from the published
//! rules and not with the product's code. What is not signed right is refused and does not count as arrived.

use std::{
    io::{self, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use crate::{http::Message, secrets};

/// A sender that says nothing for so long is left.
const PATIENCE: Duration = Duration::from_secs(5);
/// By how much its clock may differ, in seconds.
const CLOCKS_DIFFER_BY: u64 = 300;

/// A running receiver; it ends with this process.
#[derive(Debug)]
pub struct Receiver {
    pub url: String,
    pub secret: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

/// An alert, taken in once however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    id: String,
    /// `redress.archived` and others.
    pub kind: String,
    pub severity: String,
    /// What it is about, for instance an order.
    pub subject: String,
    pub title: String,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    severity: String,
    subject: String,
    title: String,
}

/// What signs alerts.
struct Key(Vec<u8>);

impl Receiver {
    /// Listens on a free port of the loopback address, with a secret of its own.
    ///
    /// # Errors
    /// When the system gives no port or no random bytes.
    pub fn start() -> anyhow::Result<Self> {
        let key = secrets::random(16)?.into_bytes();
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for alerts")?;
        let receiver = Self {
            url: format!("http://{}/alerts", listener.local_addr()?),
            secret: format!("whsec_{}", BASE64_STANDARD.encode(&key)),
            arrived: Arc::default(),
        };
        let (key, arrived) = (Arc::new(Key(key)), Arc::clone(&receiver.arrived));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (key, arrived) = (Arc::clone(&key), Arc::clone(&arrived));
                thread::spawn(move || serve(stream, &key, &arrived));
            }
        });
        Ok(receiver)
    }

    /// Everything that arrived so far, in this order.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn serve(mut stream: TcpStream, key: &Key, arrived: &Mutex<Vec<Arrived>>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = Message::read(&stream)?;
    let status = match key.open(&request, now_s()) {
        Some(alert) => {
            let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
            // Sent again because our answer was lost.
            if arrived.iter().all(|known| known.id != alert.id) {
                arrived.push(alert);
            }
            "204 No Content"
        }
        None => "401 Unauthorized",
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
}

impl Key {
    /// The alert, if one of its signatures is ours and it was signed lately.
    fn open(&self, request: &Message, now_s: u64) -> Option<Arrived> {
        let id = request.header("webhook-id")?;
        let timestamp = request.header("webhook-timestamp")?;
        if timestamp.parse::<u64>().ok()?.abs_diff(now_s) > CLOCKS_DIFFER_BY {
            return None;
        }
        let signatures = request.header("webhook-signature")?;
        let signed = signatures
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|encoded| BASE64_STANDARD.decode(encoded).ok())
            .any(|signature| self.has_signed(id, timestamp, &request.body, &signature));
        if !signed {
            return None;
        }
        let event: Event = serde_json::from_slice(&request.body).ok()?;
        Some(Arrived {
            id: id.to_owned(),
            kind: event.r#type,
            severity: event.data.severity,
            subject: event.data.subject,
            title: event.data.title,
        })
    }

    fn has_signed(&self, id: &str, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
        Hmac::<Sha256>::new_from_slice(&self.0).is_ok_and(|mut hmac| {
            hmac.update(format!("{id}.{timestamp}.").as_bytes());
            hmac.update(body);
            // In constant time.
            hmac.verify_slice(signature).is_ok()
        })
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNED: &str = "POST / HTTP/1.1\r\nwebhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n\
        webhook-signature: v1,bm9uZQ== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\ncontent-length: 20\r\n\r\n{\"test\": 2432232314}";

    fn verified(request: &str) -> bool {
        let request = Message::read(request.as_bytes()).unwrap();
        let key = Key(BASE64_STANDARD.decode(KEY).unwrap());
        let signature = request.header("webhook-signature").unwrap();
        let last = signature.rsplit("v1,").next().unwrap();
        key.has_signed(
            request.header("webhook-id").unwrap(),
            request.header("webhook-timestamp").unwrap(),
            &request.body,
            &BASE64_STANDARD.decode(last).unwrap(),
        )
    }

    #[test]
    fn the_published_vector_is_right_and_any_change_of_it_wrong() {
        assert!(verified(SIGNED));
        for (from, to) in [
            ("2432232314", "2432232315"),
            ("5330", "5331"),
            ("XN8A", "XN9A"),
        ] {
            assert!(!verified(&SIGNED.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn an_alert_arrives_once_and_an_old_or_unsigned_one_never() {
        let key = Key(b"a key of the tests, 32 bytes long".to_vec());
        let body = r#"{"type":"redress.archived","data":{"severity":"urgent","subject":"7","title":"given up"}}"#;
        let sent = |timestamp: u64| {
            let mut hmac = Hmac::<Sha256>::new_from_slice(&key.0).unwrap();
            hmac.update(format!("a.{timestamp}.{body}").as_bytes());
            let signature = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
            let request = format!(
                "POST / HTTP/1.1\r\nWebhook-Id: a\r\nWebhook-Timestamp: {timestamp}\r\nWebhook-Signature: v1,{signature}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            Message::read(request.as_bytes()).unwrap()
        };
        let opened = key.open(&sent(1_000), 1_010).unwrap();
        assert_eq!(
            (opened.kind.as_str(), opened.subject.as_str()),
            ("redress.archived", "7")
        );
        assert_eq!(key.open(&sent(1_000), 1_301), None);
        let unsigned = Message::read(format!("POST / HTTP/1.1\r\n\r\n{body}").as_bytes()).unwrap();
        assert_eq!(key.open(&unsigned, 0), None);
    }
}
