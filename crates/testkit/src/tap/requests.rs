//! Requests as they come over the wire, whole, and what people call them.

use super::{Language, NameOf};
use crate::mysql_proxy::Statements;
use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// What a client sends to log in: the second packet of a conversation that the server began.
const LOGIN: u8 = 1;

/// One request, byte for byte.
pub(super) struct Request {
    pub bytes: Vec<u8>,
    /// Nothing where it is no step.
    pub what: Option<String>,
}

/// Reads the requests of one connection.
pub(super) enum Reader {
    MySql(Statements),
    Redis(NameOf),
    Http,
}

impl Reader {
    pub(super) fn of(language: Language) -> Self {
        match language {
            Language::MySql => Self::MySql(Statements::default()),
            Language::Redis(name_of) => Self::Redis(name_of),
            Language::Http => Self::Http,
        }
    }

    /// The next request; the client has begun to send it.
    pub(super) async fn read(
        &mut self,
        client: &mut (impl AsyncBufRead + Unpin),
    ) -> io::Result<Request> {
        match self {
            Self::MySql(statements) => mysql(client, statements).await,
            Self::Redis(name_of) => {
                let Message { bytes, words } = resp(client).await?;
                let what = Some(command(&words, name_of));
                Ok(Request { bytes, what })
            }
            Self::Http => http(client).await,
        }
    }
}

/// 3 bytes of length, 1 of sequence, then the body. What begins a conversation has sequence 0.
async fn mysql(
    client: &mut (impl AsyncBufRead + Unpin),
    statements: &mut Statements,
) -> io::Result<Request> {
    let mut bytes = vec![0; 4];
    client.read_exact(&mut bytes).await?;
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize;
    let sequence = bytes[3];
    bytes.resize(4 + length, 0);
    client.read_exact(&mut bytes[4..]).await?;
    let what = match sequence {
        0 => statements
            .carried_out_by(&bytes[4..])
            .map(statement)
            // What concerns the session alone belongs to the login.
            .filter(|statement| !statement.starts_with("set ")),
        LOGIN => Some("log in".to_owned()),
        _ => None,
    };
    Ok(Request { bytes, what })
}

/// Verb and table, and what else tells statements apart.
fn statement(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let first = |count: usize| words[..count.min(words.len())].join(" ");
    match words.first().copied().unwrap_or_default() {
        "select" => {
            let lock = if text.contains(" for update") {
                " for update"
            } else {
                ""
            };
            format!("select from {}{lock}", table_read(&words))
        }
        "insert" | "delete" => first(3),
        "update" => first(4),
        _ => first(2),
    }
}

/// The first one outside parentheses: those of subqueries are not meant.
fn table_read<'a>(words: &[&'a str]) -> &'a str {
    let mut depth = 0_usize;
    let mut is_next = false;
    for word in words {
        if is_next {
            return word;
        }
        is_next = depth == 0 && *word == "from";
        depth = (depth + word.matches('(').count()).saturating_sub(word.matches(')').count());
    }
    "nowhere"
}

/// A request or a reply of Redis.
pub(super) struct Message {
    pub bytes: Vec<u8>,
    /// The texts in it.
    words: Vec<String>,
}

/// Reads one, in the older or the newer protocol.
pub(super) async fn resp(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Message> {
    let (mut bytes, mut words, mut left) = (Vec::new(), Vec::new(), 1);
    while left > 0 {
        left -= 1;
        let start = bytes.len();
        if from.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&bytes[start..]);
        let count = line.get(1..).and_then(|rest| rest.trim_end().parse().ok());
        // Nothing at all has a length of -1.
        let count: usize = count.unwrap_or_default();
        match bytes[start] {
            b'*' | b'~' | b'>' => left += count,
            b'%' => left += 2 * count,
            b'$' | b'=' if !line.starts_with("$-1") => {
                let start = bytes.len();
                bytes.resize(start + count + 2, 0);
                from.read_exact(&mut bytes[start..]).await?;
                let word = &bytes[start..start + count];
                words.push(String::from_utf8_lossy(word).into_owned());
            }
            _ => {}
        }
    }
    Ok(Message { bytes, words })
}

fn command(words: &[String], name_of: &NameOf) -> String {
    match words {
        [name, digest, ..] if name.eq_ignore_ascii_case("evalsha") => {
            name_of(digest).unwrap_or_else(|| format!("EVALSHA {digest:.8}"))
        }
        [name, ..] => name.to_ascii_uppercase(),
        [] => "nothing".to_owned(),
    }
}

async fn http(client: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut what = String::new();
    let mut length = 0;
    loop {
        let start = bytes.len();
        if client.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&bytes[start..]);
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line
            .split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap_or_default();
        } else if what.is_empty() {
            // POST /coupons/try HTTP/1.1
            let path = line.split(' ').nth(1).unwrap_or_default();
            path.rsplit('/')
                .next()
                .unwrap_or_default()
                .clone_into(&mut what);
        }
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    client.read_exact(&mut bytes[start..]).await?;
    let what = Some(what);
    Ok(Request { bytes, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_statement_is_named_by_what_it_does_to_which_table() {
        for (text, name) in [
            ("start transaction", "start transaction"),
            ("COMMIT", "commit"),
            (
                "insert into orders (id, gid) values (?, ?)",
                "insert into orders",
            ),
            (
                "update transactions set state = ? where gid in (?)",
                "update transactions set state",
            ),
            (
                "select available, (select a from sales where b = (c)) as l from sale_inventory where x for update",
                "select from sale_inventory for update",
            ),
        ] {
            assert_eq!(statement(text), name);
        }
    }

    #[tokio::test]
    async fn messages_of_redis_are_told_apart() {
        let stream = b"*3\r\n$7\r\nEVALSHA\r\n$2\r\nab\r\n$1\r\n1\r\n*2\r\n$4\r\ndone\r\n*2\r\n:1\r\n$-1\r\n+OK\r\n";
        let mut stream = &stream[..];
        let name_of: NameOf = Arc::new(|digest| (digest == "ab").then(|| "confirm".to_owned()));
        let request = resp(&mut stream).await.unwrap();
        assert_eq!(command(&request.words, &name_of), "confirm");
        let reply = resp(&mut stream).await.unwrap();
        assert_eq!(reply.bytes, b"*2\r\n$4\r\ndone\r\n*2\r\n:1\r\n$-1\r\n");
        assert_eq!(resp(&mut stream).await.unwrap().bytes, b"+OK\r\n");
    }

    #[tokio::test]
    async fn a_request_over_http_is_named_by_its_path() {
        let stream = b"POST /coupons/try HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}POST";
        let request = http(&mut &stream[..]).await.unwrap();
        assert_eq!(request.what.as_deref(), Some("try"));
        assert!(request.bytes.ends_with(b"{}"));
    }
}
