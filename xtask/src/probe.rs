//! "Does it answer?", asked over plain sockets in each server's own words, so that the launcher needs no client libraries.
//! An answer means ready for work: MariaDB greets only after its init file ran, Kafka only after its broker has joined.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(1);

/// The question a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The greeting a MySQL server sends first.
    Mysql,
    /// `PING`.
    Redis,
    /// An `ApiVersions` request.
    Kafka,
    /// `GET /health/ready`.
    Http,
}

impl Probe {
    /// Whether what listens at `address` is ready for work.
    pub fn answers(self, address: SocketAddr) -> bool {
        let answer = match self {
            Self::Mysql => mysql_greets(address),
            Self::Redis => redis_pongs(address),
            Self::Kafka => kafka_tells_versions(address),
            Self::Http => http_is_ready(address),
        };
        answer.unwrap_or(false)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn mysql_greets(address: SocketAddr) -> io::Result<bool> {
    // Packet: 3 bytes of length, 1 of sequence, then the protocol version; 0xff would be an error.
    let mut greeting = [0; 5];
    connect(address)?.read_exact(&mut greeting)?;
    Ok(greeting[4] == 10)
}

fn redis_pongs(address: SocketAddr) -> io::Result<bool> {
    let mut stream = connect(address)?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    // A server behind a password answers too; one that still loads its data says -LOADING.
    Ok(&answer == b"+PONG" || &answer == b"-NOAU")
}

fn kafka_tells_versions(address: SocketAddr) -> io::Result<bool> {
    let mut stream = connect(address)?;
    // Length 10; api key 18, version 0, correlation id 7, client id null.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
    // Length, the same correlation id, error code.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    Ok(answer[4..] == [0, 0, 0, 7, 0, 0])
}

fn http_is_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = connect(address)?;
    write!(
        stream,
        "GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
            // Until the other side hangs up: an early close could cut the answer off.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        address
    }

    #[test]
    fn a_loading_redis_is_not_ready_and_a_ponging_one_is() {
        assert!(!Probe::Redis.answers(answering(b"-LOADING Redis is loading\r\n")));
        assert!(Probe::Redis.answers(answering(b"+PONG\r\n")));
    }

    #[test]
    fn a_process_is_ready_at_200_only() {
        assert!(Probe::Http.answers(answering(b"HTTP/1.1 200 OK\r\n\r\n")));
        assert!(!Probe::Http.answers(answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")));
    }

    #[test]
    fn a_mysql_server_that_greets_with_an_error_is_not_ready() {
        assert!(Probe::Mysql.answers(answering(b"\x4a\x00\x00\x00\x0a11.4.2")));
        assert!(!Probe::Mysql.answers(answering(b"\x17\x00\x00\x00\xffToo many")));
    }

    #[test]
    fn nothing_listening_is_not_ready() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        for probe in [Probe::Mysql, Probe::Redis, Probe::Kafka, Probe::Http] {
            assert!(!probe.answers(address), "{probe:?}");
        }
    }
}
