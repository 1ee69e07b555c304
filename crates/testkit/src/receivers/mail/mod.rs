//! A mail server for one mailbox, without encryption: it speaks SMTP (RFC 5321) as far as senders of alerts need it, takes a password
//! where it has one, and reads what it was sent (RFC 5322).
//!
//! Whoever sends too many is told so: 450 once a message is said, 421 before anything is (and the connection ends).
//!
//! STARTTLS is neither offered nor known; at an encrypted url the mood [`Mood::Garbage`] is a handshake that fails.

mod message;

use super::{Limits, Mood, Received, Refusal, book::Book, signature::decoded};
use crate::webhooks::{line, say};
use message::Message;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, BufStream},
    net::TcpStream,
    time::sleep,
};

/// Of a message, in bytes; said at the beginning.
const SIZE_AT_MOST: usize = 1024 * 1024;
/// Its own: servers differ, and few say what they take.
const LIMITS: Limits = Limits {
    windows: &[(60, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};
/// Of a line with its end (RFC 5321, 4.5.3.1.6).
const LINE_AT_MOST: usize = 1000;

/// A mailbox, with a password or open to everyone.
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    credentials: Option<(String, String)>,
    limits: Option<Limits>,
    /// What is said of an address other than that it is known.
    refuses: Vec<(String, &'static str)>,
    /// Mail with this in its subject or text is not taken.
    filters: Vec<String>,
}

impl Mailbox {
    /// Takes mail of everyone.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Takes mail of whoever says this name and password; with an empty one any password will do.
    #[must_use]
    pub fn with_password(user: &str, password: &str) -> Self {
        Self {
            credentials: Some((user.to_owned(), password.to_owned())),
            ..Self::default()
        }
    }

    /// Takes no more than that; 60 a minute where nothing is said.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Has no mailbox of this address.
    #[must_use]
    pub fn without(mut self, address: &str) -> Self {
        let said = "550 5.1.1 no such mailbox";
        self.refuses.push((address.to_owned(), said));
        self
    }

    /// Takes no mail with this in its subject or text.
    #[must_use]
    pub fn filtering(mut self, words: &str) -> Self {
        self.filters.push(words.to_owned());
        self
    }

    /// Asks whoever writes to this address to come again later, each time.
    #[must_use]
    pub fn putting_off(mut self, address: &str) -> Self {
        let said = "450 4.2.0 greylisted, try later";
        self.refuses.push((address.to_owned(), said));
        self
    }

    fn takes(&self) -> Limits {
        self.limits.unwrap_or(LIMITS)
    }

    fn refuses(&self, address: &str) -> Option<&'static str> {
        let mut refuses = self.refuses.iter();
        refuses.find_map(|(known, said)| (known == address).then_some(*said))
    }

    fn knows(&self, user: &str, password: &str) -> bool {
        self.credentials
            .as_ref()
            .is_some_and(|(name, word)| name == user && (word.is_empty() || word == password))
    }
}

/// What was said of the message so far.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
    /// In the mood for it no address of the message is known.
    gone: bool,
}

/// One connection, as many messages as it brings.
pub(super) async fn converse(stream: TcpStream, mailbox: &Mailbox, book: &Book) {
    let mut stream = BufStream::new(stream);
    // A broken connection is the client's matter.
    let _ = speak(&mut stream, mailbox, book).await;
}

async fn speak(
    stream: &mut BufStream<TcpStream>,
    mailbox: &Mailbox,
    book: &Book,
) -> io::Result<()> {
    if !welcomes(mailbox, book) {
        return answer(stream, "421 4.7.0 too many messages from you, try later").await;
    }
    answer(stream, "220 fake ESMTP").await?;
    let mut authenticated = mailbox.credentials.is_none();
    let mut envelope = Envelope::default();
    loop {
        let command = line(stream).await?;
        let (verb, rest) = command.split_once(' ').unwrap_or((&command, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let auth = mailbox
                    .credentials
                    .as_ref()
                    .map(|_| "250-AUTH PLAIN LOGIN\r\n");
                let said = format!(
                    "250-fake\r\n250-8BITMIME\r\n{}250 SIZE {SIZE_AT_MOST}",
                    auth.unwrap_or_default()
                );
                answer(stream, &said).await?;
            }
            "HELO" | "NOOP" => answer(stream, "250 fake").await?,
            "RSET" => {
                envelope = Envelope::default();
                answer(stream, "250 2.0.0 forgotten").await?;
            }
            "QUIT" => return answer(stream, "221 2.0.0 bye").await,
            "AUTH" => {
                authenticated =
                    authenticate(stream, mailbox, rest).await? && book.mood_now() != Mood::Foreign;
                if authenticated {
                    answer(stream, "235 2.7.0 welcome").await?;
                } else {
                    if book.mood_now() == Mood::Foreign {
                        book.mood();
                    } else {
                        book.refuse(&Refusal::Foreign("name or password".to_owned()));
                    }
                    book.called();
                    answer(stream, "535 5.7.8 name or password is wrong").await?;
                }
            }
            _ if !authenticated => answer(stream, "530 5.7.0 who are you?").await?,
            "MAIL" => {
                envelope = Envelope {
                    from: address(rest, "FROM:"),
                    ..Envelope::default()
                };
                let said = if envelope.from.is_some() {
                    "250 2.1.0 ok"
                } else {
                    "501 5.1.7 from whom?"
                };
                answer(stream, said).await?;
            }
            "RCPT" => match address(rest, "TO:") {
                Some(_) if envelope.gone || book.mood_now() == Mood::Gone => {
                    if !envelope.gone {
                        book.called();
                        book.mood();
                    }
                    envelope.gone = true;
                    answer(stream, "550 5.1.1 no such mailbox").await?;
                }
                Some(to) if mailbox.refuses(&to).is_some() => {
                    answer(stream, mailbox.refuses(&to).unwrap_or_default()).await?;
                }
                Some(to) if envelope.from.is_some() => {
                    envelope.to.push(to);
                    answer(stream, "250 2.1.5 ok").await?;
                }
                _ => answer(stream, "503 5.5.1 to whom?").await?,
            },
            "DATA" if envelope.to.is_empty() => answer(stream, "503 5.5.1 to whom?").await?,
            "DATA" => {
                answer(stream, "354 go on, end with a dot").await?;
                let bytes = data(stream).await?;
                book.called();
                let envelope = std::mem::take(&mut envelope);
                match meet(mailbox, book, &envelope, bytes) {
                    Met::Said(said) => answer(stream, said).await?,
                    Met::Dripped => {
                        for byte in b"250 2.0.0 taken\r\n" {
                            say(stream, &[*byte]).await?;
                            sleep(Duration::from_secs(1)).await;
                        }
                    }
                    // Ends with the client.
                    Met::Nothing => drop(stream.read_u8().await),
                    Met::Reset => {
                        let _ = stream.get_ref().set_zero_linger();
                        return Ok(());
                    }
                }
            }
            _ => answer(stream, "500 5.5.2 what?").await?,
        }
    }
}

/// Whether there is room for one more; who comes too early is written down.
fn welcomes(mailbox: &Mailbox, book: &Book) -> bool {
    if !matches!(book.mood_now(), Mood::Well | Mood::Drips) {
        return true;
    }
    let room = book.room(&mailbox.takes());
    if let Err(wait) = room {
        book.called();
        book.refuse(&Refusal::TooFast(wait));
    }
    room.is_ok()
}

async fn answer(stream: &mut BufStream<TcpStream>, said: &str) -> io::Result<()> {
    say(stream, format!("{said}\r\n").as_bytes()).await
}

/// Whether name and password are right, said in one of two ways (RFC 4616; LOGIN is a draft that all know).
async fn authenticate(
    stream: &mut BufStream<TcpStream>,
    mailbox: &Mailbox,
    rest: &str,
) -> io::Result<bool> {
    let (way, first) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut first = first.to_owned();
    match way.to_ascii_uppercase().as_str() {
        "PLAIN" => {
            if first.is_empty() {
                answer(stream, "334 ").await?;
                first = line(stream).await?;
            }
            let text = plain(&first);
            let parts: Vec<_> = text.split('\0').collect();
            let [_, user, password] = parts[..] else {
                return Ok(false);
            };
            Ok(mailbox.knows(user, password))
        }
        "LOGIN" => {
            if first.is_empty() {
                answer(stream, "334 VXNlcm5hbWU6").await?;
                first = line(stream).await?;
            }
            answer(stream, "334 UGFzc3dvcmQ6").await?;
            let second = line(stream).await?;
            Ok(mailbox.knows(&plain(&first), &plain(&second)))
        }
        _ => Ok(false),
    }
}

fn plain(encoded: &str) -> String {
    String::from_utf8(decoded(encoded).unwrap_or_default()).unwrap_or_default()
}

/// The address of `FROM:<a@b> SIZE=1`.
fn address(rest: &str, before: &str) -> Option<String> {
    let (keyword, rest) = rest.split_at_checked(before.len())?;
    let path = rest.trim_start().strip_prefix('<')?;
    let (address, _) = path.split_once('>')?;
    (keyword.eq_ignore_ascii_case(before) && address.contains('@')).then(|| address.to_owned())
}

/// A message as it came, dots undone. Longer ones are read to their end, and told by their length.
async fn data(stream: &mut BufStream<TcpStream>) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncBufReadExt as _;
    let mut whole = Vec::new();
    loop {
        let start = whole.len();
        if stream.read_until(b'\n', &mut whole).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if whole[start..] == *b".\r\n" {
            whole.truncate(start);
            return Ok(whole);
        }
        if whole[start] == b'.' {
            whole.remove(start);
        }
        if whole.len() > 4 * SIZE_AT_MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

enum Met {
    Said(&'static str),
    Dripped,
    Nothing,
    Reset,
}

/// What a message is met with, once all of it is here.
fn meet(mailbox: &Mailbox, book: &Book, envelope: &Envelope, bytes: Vec<u8>) -> Met {
    let filtered = |received: &Received| {
        let mut filters = mailbox.filters.iter();
        filters.any(|words| received.title.contains(words) || received.text.contains(words))
    };
    let received = match read(envelope, bytes) {
        Ok(received) if filtered(&received) => {
            book.refuse(&Refusal::Malformed("it is filtered".to_owned()));
            return Met::Said("554 5.7.1 filtered");
        }
        Ok(received) => received,
        Err(refusal) => {
            book.refuse(&refusal);
            return Met::Said(match refusal {
                Refusal::TooLong(_) => "552 5.3.4 too long",
                _ => "554 5.6.0 that is no message",
            });
        }
    };
    let mood = book.mood();
    if matches!(mood, Mood::Well | Mood::Drips)
        && let Err(wait) = book.admit(&mailbox.takes())
    {
        book.refuse(&Refusal::TooFast(wait));
        return Met::Said("450 4.7.1 too many messages, try later");
    }
    book.receive(received);
    Met::Said(match mood {
        Mood::Well => "250 2.0.0 taken",
        Mood::TooFast => "450 4.7.1 too many messages, try later",
        Mood::Foreign => "535 5.7.8 not from you",
        Mood::Gone => "550 5.1.1 no such mailbox",
        Mood::Wordless => "well",
        // There is no such thing as a redirect in SMTP.
        Mood::Busy | Mood::Redirects => "451 4.3.0 try later",
        Mood::Hangs => return Met::Nothing,
        Mood::Resets | Mood::Garbage => return Met::Reset,
        Mood::Drips => return Met::Dripped,
    })
}

fn read(envelope: &Envelope, bytes: Vec<u8>) -> Result<Received, Refusal> {
    super::vendor::within(bytes.len(), SIZE_AT_MOST, "a message")?;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    for line in lines {
        if !line.ends_with(b"\r\n") || line[..line.len() - 2].contains(&b'\r') {
            return Err(Refusal::Malformed(
                "a line ends with half an end".to_owned(),
            ));
        }
        super::vendor::within(line.len(), LINE_AT_MOST, "a line")?;
    }
    let message = Message::parse(&bytes)?;
    let addressed = message.header("to").unwrap_or_default();
    if !envelope.to.iter().all(|to| addressed.contains(to.as_str())) {
        return Err(Refusal::Malformed("To: has not whom it goes to".to_owned()));
    }
    Ok(Received {
        id: message.header("message-id").map(str::to_owned),
        status: None,
        several: Vec::new(),
        title: message.subject(),
        text: message.texts(),
        calls_everybody: false,
        bytes: bytes.len(),
        body: bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Fake, *};

    const ONE: Limits = Limits {
        windows: &[(1, Duration::from_mins(1))],
        silent_for: Duration::ZERO,
    };

    async fn says(client: &mut BufStream<TcpStream>, said: &str) -> String {
        say(client, said.as_bytes()).await.unwrap();
        line(client).await.unwrap()
    }

    async fn mail(client: &mut BufStream<TcpStream>) -> String {
        says(client, "MAIL FROM:<a@example.com>\r\n").await;
        says(client, "RCPT TO:<b@example.com>\r\n").await;
        says(client, "DATA\r\n").await;
        let message = "From: a@example.com\r\nTo: b@example.com\r\nSubject: s\r\nDate: now\r\nMessage-ID: <1@example.com>\r\n\
            MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"B\"\r\n\r\n\
            --B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx\r\n\
            --B\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>x</b>\r\n--B--\r\n.\r\n";
        says(client, message).await
    }

    async fn connected(to: &Fake) -> (BufStream<TcpStream>, String) {
        let stream = TcpStream::connect(to.address()).await.unwrap();
        let mut client = BufStream::new(stream);
        let greeting = line(&mut client).await.unwrap();
        (client, greeting)
    }

    /// Breaks when a connection is greeted whatever came before it, and when a second mail of one connection is not counted.
    #[tokio::test]
    async fn one_mail_too_many_is_told_450_and_who_comes_with_one_more_421() {
        let fake = Fake::mail(Mailbox::open().limits(ONE)).await;
        fake.stand_still();
        let (mut client, greeting) = connected(&fake).await;
        assert!(greeting.starts_with("220"), "{greeting}");
        let first = mail(&mut client).await;
        assert!(first.starts_with("250"), "{first}, {:?}", fake.refused());
        let second = mail(&mut client).await;
        assert!(second.starts_with("450"), "{second}");
        let (_, greeting) = connected(&fake).await;
        assert!(greeting.starts_with("421"), "{greeting}");
        fake.later(Duration::from_mins(1));
        let (_, greeting) = connected(&fake).await;
        assert!(greeting.starts_with("220"), "{greeting}");
        assert_eq!((fake.received().len(), fake.refused().len()), (1, 2));
    }
}
