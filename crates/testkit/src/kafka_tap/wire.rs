//! Kafka's requests and replies, as far as they have to be understood: what is asked, of which topic, whether a reply brings messages,
//! and where it tells an address.

use std::{collections::HashMap, io};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How the name of a reply that brings messages begins.
pub(super) const FETCH: &str = "Fetch";
/// The question for a group's coordinator.
pub(super) const COORDINATOR: &str = "FindCoordinator";
/// Requests that leave nothing at the broker.
pub(super) const QUESTIONS: [&str; 3] = ["ListOffsets", "OffsetFetch", COORDINATOR];
/// The longest request or reply: what the clients of the product may ask for, and some.
const LONGEST: usize = 128 * 1024 * 1024;

// The numbers of requests.
const PRODUCE: i16 = 0;
const FETCHES: i16 = 1;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const HEARTBEAT: i16 = 12;
const API_VERSIONS: i16 = 18;
const GET_TELEMETRY_SUBSCRIPTIONS: i16 = 71;
const PUSH_TELEMETRY: i16 = 72;

/// The first version of Metadata that tells the ids of topics.
const IDS_IN_METADATA: i16 = 10;
/// The first version of Fetch in the newer encoding.
const FLEXIBLE_FETCH: i16 = 12;
/// The first version of Fetch that names topics by id.
const IDS_IN_FETCH: i16 = 13;

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    number: i16,
    version: i16,
    pub correlation: i32,
}

impl Request {
    pub(super) fn of(frame: &[u8]) -> io::Result<Self> {
        let mut head = Reader(frame);
        let request = (|| {
            Some(Self {
                number: i16::from_be_bytes(head.array()?),
                version: i16::from_be_bytes(head.array()?),
                correlation: i32::from_be_bytes(head.array()?),
            })
        })();
        request.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(super) const fn is_fetch(self) -> bool {
        self.number == FETCHES
    }

    pub(super) const fn tells_addresses(self) -> bool {
        matches!(self.number, METADATA | FIND_COORDINATOR)
    }
}

/// Which request a reply answers.
pub(super) fn correlation(frame: &[u8]) -> io::Result<i32> {
    let number = Reader(frame).array().map(i32::from_be_bytes);
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The next request or reply, without its length.
pub(super) async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?);
    let length = length.ok().filter(|length| *length <= LONGEST);
    let mut frame = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    to.write_all(&bytes).await
}

/// Replaces the port of the server by this one wherever the reply tells its address: a host, then four bytes of port.
pub(super) fn redirect(request: Request, frame: &mut [u8], server: &str, port: u16) {
    let (host, old) = server.rsplit_once(':').expect("host:port");
    let old: u32 = old.parse().expect("a port");
    let mut told = 0;
    for host in [host, "localhost"] {
        let address = [host.as_bytes(), &old.to_be_bytes()].concat();
        while let Some(at) = position(frame, &address) {
            let end = at + address.len();
            frame[end - 4..end].copy_from_slice(&u32::from(port).to_be_bytes());
            told += 1;
        }
    }
    assert!(
        told > 0 || request.number != METADATA,
        "the broker tells another address than {server}: its clients would go past the tap"
    );
}

/// What people call topics, by their names and, once those were told, by their ids.
pub(super) struct Names(HashMap<Vec<u8>, String>);

impl Names {
    pub(super) fn of(topics: &[(&str, &str)]) -> Self {
        let topics = topics.iter();
        Self(
            topics
                .map(|(topic, name)| (topic.as_bytes().to_vec(), (*name).to_owned()))
                .collect(),
        )
    }

    /// Nothing where the request is no step, or only its reply can tell.
    pub(super) fn request(&self, request: Request, frame: &[u8]) -> Option<String> {
        let name = match request.number {
            FETCHES
            | METADATA
            | HEARTBEAT
            | API_VERSIONS
            | GET_TELEMETRY_SUBSCRIPTIONS
            | PUSH_TELEMETRY => return None,
            PRODUCE => return Some(format!("Produce to {}", self.first_in(frame))),
            2 => QUESTIONS[0],
            8 => "OffsetCommit",
            9 => QUESTIONS[1],
            FIND_COORDINATOR => COORDINATOR,
            11 => "JoinGroup",
            13 => "LeaveGroup",
            14 => "SyncGroup",
            19 => "CreateTopics",
            22 => "InitProducerId",
            other => return Some(format!("request {other}")),
        };
        Some(name.to_owned())
    }

    /// The topic that is named first: messages may name others.
    fn first_in(&self, frame: &[u8]) -> &str {
        let places = self.0.iter();
        let places = places.filter_map(|(topic, name)| Some((position(frame, topic)?, name)));
        places.min().map_or("a topic", |(_, name)| name)
    }

    /// Remembers the ids that a reply tells: each follows its topic's name.
    pub(super) fn learn(&mut self, request: Request, frame: &[u8]) {
        if request.number != METADATA || request.version < IDS_IN_METADATA {
            return;
        }
        let told: Vec<_> = self
            .0
            .iter()
            .filter_map(|(topic, name)| {
                let after = position(frame, topic)? + topic.len();
                let id = frame.get(after..after + 16)?;
                Some((id.to_vec(), name.clone()))
            })
            .collect();
        self.0.extend(told);
    }

    /// One for each topic the reply brings messages of.
    pub(super) fn messages_in(&self, request: Request, frame: &[u8]) -> Vec<String> {
        let topics = topics_with_messages(request.version, frame).expect("a reply of Fetch");
        let names = topics.into_iter().map(|topic| {
            let name = self.0.get(topic).map_or("a topic", String::as_str);
            format!("{FETCH} from {name}")
        });
        names.collect()
    }
}

/// Names or ids of the topics a reply of Fetch has messages of; nothing where it cannot be read.
fn topics_with_messages(version: i16, frame: &[u8]) -> Option<Vec<&[u8]>> {
    assert!(
        version >= FLEXIBLE_FETCH,
        "the broker is too old: it speaks version {version} of Fetch"
    );
    let mut reply = Reader(frame);
    let mut found = Vec::new();
    reply.take(4)?; // correlation
    reply.tags()?;
    reply.take(4 + 2 + 4)?; // throttle, error, session
    for _ in 0..reply.count()? {
        let topic = if version >= IDS_IN_FETCH {
            reply.take(16)?
        } else {
            let length = reply.count()?;
            reply.take(length)?
        };
        let mut has_messages = false;
        for _ in 0..reply.count()? {
            reply.take(4 + 2 + 8 + 8 + 8)?; // partition, error, high water mark, last stable offset, first offset
            for _ in 0..reply.count()? {
                reply.take(8 + 8)?; // an aborted transaction
                reply.tags()?;
            }
            reply.take(4)?; // preferred replica
            let length = reply.count()?;
            reply.take(length)?;
            has_messages |= length > 0;
            reply.tags()?;
        }
        reply.tags()?;
        if has_messages {
            found.push(topic);
        }
    }
    Some(found)
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A length or a count is written one greater; 0 is nothing at all.
    fn count(&mut self) -> Option<usize> {
        Some(self.varint()?.saturating_sub(1))
    }

    fn tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: i16, version: i16) -> Request {
        Request {
            number,
            version,
            correlation: 7,
        }
    }

    #[test]
    fn a_request_is_named_by_its_number_and_the_topic_it_names_first() {
        let names = Names::of(&[("orders-1", "orders"), ("dead-1", "dead letters")]);
        let named_by = |number, frame: &[u8]| names.request(request(number, 9), frame);
        let letter = b"\0\x07dead-1\0 from orders-1";
        assert_eq!(
            named_by(0, letter).as_deref(),
            Some("Produce to dead letters")
        );
        assert_eq!(named_by(8, b"").as_deref(), Some("OffsetCommit"));
        assert_eq!(named_by(99, b"").as_deref(), Some("request 99"));
        assert_eq!(named_by(HEARTBEAT, b""), None);
    }

    #[test]
    fn a_reply_tells_its_head_and_its_request() {
        let frame = [0, 1, 0, 16, 0, 0, 0, 7, 0];
        assert_eq!(Request::of(&frame).unwrap(), request(1, 16));
        assert_eq!(correlation(&frame[4..]).unwrap(), 7);
        assert!(Request::of(&frame[..5]).is_err());
    }

    #[test]
    fn the_address_a_reply_tells_is_replaced() {
        let mut frame = b"\x0a127.0.0.1\0\0\x4a\x94\0".to_vec();
        redirect(request(METADATA, 12), &mut frame, "127.0.0.1:19092", 258);
        assert_eq!(frame, b"\x0a127.0.0.1\0\0\x01\x02\0");
    }

    #[test]
    fn fetched_messages_are_named_by_the_ids_that_were_told() {
        let mut names = Names::of(&[("orders-1", "orders")]);
        let id = [9; 16];
        names.learn(request(METADATA, 12), &[b"\x09orders-1", &id[..]].concat());
        let reply = |messages: &[u8]| {
            let partition = [&[0; 30][..], &[1, 0, 0, 0, 0], messages, &[0]].concat();
            [
                &[0, 0, 0, 7, 0][..],
                &[0; 10],
                &[2],
                &id,
                &[2],
                &partition,
                &[0, 0],
            ]
            .concat()
        };
        let told_by = |reply: &[u8]| names.messages_in(request(FETCHES, 16), reply);
        assert_eq!(told_by(&reply(b"\x03ab")), ["Fetch from orders"]);
        assert!(told_by(&reply(b"\x01")).is_empty());
        assert!(told_by(&reply(b"\0")).is_empty());
    }
}
