//! What one vendor is: what it looks at, how many it takes, and its words. The rest is common and here.

use super::{Limits, Mood, book::Book, query};
use crate::webhooks::{self, Reply, Request};
use serde::de::DeserializeOwned;
use std::time::Duration;
use uuid::Uuid;

/// A message that was as it must be.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// By which the receiver recognises a repeat: a header, a `dedup_key`, a `Message-ID`; in chats the first UUID of the text.
    pub id: Option<String>,
    /// How the incident stands, where the protocol has a word for it.
    pub status: Option<String>,
    /// Where it tells of several: id and status of each, in its order.
    pub several: Vec<(String, String)>,
    /// What people see first.
    pub title: String,
    /// Everything that people may see, as it came.
    pub text: String,
    /// Whether it calls everybody of a group by name.
    pub calls_everybody: bool,
    /// Of the body, in bytes.
    pub bytes: usize,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// Without the body, which is in the text for who must read it.
impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("title", &self.title)
            .field("text", &self.text)
            .field("calls_everybody", &self.calls_everybody)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Received {
    /// Id and status of all it tells of, where the protocol has words for both.
    #[must_use]
    pub fn each(&self) -> Vec<(String, String)> {
        if self.several.is_empty() {
            return self
                .id
                .clone()
                .zip(self.status.clone())
                .into_iter()
                .collect();
        }
        self.several.clone()
    }

    /// A message of a chat, which has neither id nor status of its own.
    pub(super) fn chat(request: &Request, title: &str, text: String) -> Self {
        Self {
            id: first_id(&text),
            status: None,
            several: Vec::new(),
            title: title.to_owned(),
            text,
            calls_everybody: false,
            bytes: request.body.len(),
            body: request.body.clone(),
        }
    }
}

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The credential, the signature or its time is not what it must be.
    Foreign(String),
    /// A field is missing or unknown, or has a value that the vendor does not know.
    Malformed(String),
    /// It is longer than the vendor takes.
    TooLong(String),
    /// There were too many; for so long none is taken.
    TooFast(Duration),
    /// The vendor has trouble of its own.
    Busy,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Foreign(why) => write!(f, "foreign: {why}"),
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::TooLong(why) => write!(f, "too long: {why}"),
            Self::TooFast(wait) => write!(f, "too fast: nothing for {} s", wait.as_secs()),
            Self::Busy => f.write_str("busy"),
        }
    }
}

/// An answer: status, headers, body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Of HTTP.
    pub status: u16,
    /// Beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// What is said.
    pub body: String,
}

impl Said {
    /// Without headers of its own.
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// With this header.
    pub(super) fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn into_reply(self) -> Reply {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        webhooks::answer(self.status, &headers, &self.body)
    }
}

/// One vendor's receiver.
pub trait Vendor: Send + Sync + 'static {
    /// Path and query of its address.
    fn target(&self) -> String;

    /// Looks at a request as the real one does, at that time. Method, path and content type are looked at already.
    ///
    /// # Errors
    /// Why the real one would not take it.
    fn read(
        &self,
        request: &Request,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Received, Refusal>;

    /// How many it takes.
    fn limits(&self) -> Limits {
        Limits::NONE
    }

    /// Its word for "I have it".
    fn taken(&self, received: &Received) -> Said;

    /// 200 without that word.
    fn wordless(&self) -> Said;

    /// Its words for "I will not have it".
    fn refusal(&self, why: &Refusal) -> Said;
}

/// What one request is met with.
pub(super) fn meet(vendor: &dyn Vendor, book: &Book, request: &Request) -> Reply {
    book.called();
    let looked_at = common(vendor, request).and_then(|()| vendor.read(request, book.now()));
    let received = match looked_at {
        Ok(received) => received,
        Err(refusal) => {
            book.refuse(&refusal);
            return vendor.refusal(&refusal).into_reply();
        }
    };
    let mood = book.mood();
    if matches!(mood, Mood::Well | Mood::Drips)
        && let Err(wait) = book.admit(&vendor.limits())
    {
        let refusal = Refusal::TooFast(wait);
        book.refuse(&refusal);
        return vendor.refusal(&refusal).into_reply();
    }
    book.receive(received.clone());
    let said = match mood {
        Mood::Well => vendor.taken(&received),
        Mood::TooFast => vendor.refusal(&Refusal::TooFast(Mood::RETRY_AFTER)),
        Mood::Foreign => vendor.refusal(&Refusal::Foreign("in a mood".to_owned())),
        Mood::Gone => Said::new(410, ""),
        Mood::Wordless => vendor.wordless(),
        Mood::Busy => vendor.refusal(&Refusal::Busy),
        Mood::Redirects => Said::new(302, "").with("location", &request.target),
        Mood::Hangs => return Reply::Hang,
        // A connection that was there before the mood.
        Mood::Resets | Mood::Garbage => return Reply::Reset,
        Mood::Drips => {
            return match vendor.taken(&received).into_reply() {
                Reply::Answer(text) => Reply::Drip(text),
                other => other,
            };
        }
    };
    said.into_reply()
}

/// What all of them look at first.
fn common(vendor: &dyn Vendor, request: &Request) -> Result<(), Refusal> {
    if request.method != "POST" {
        return Err(Refusal::Malformed(format!("method {}", request.method)));
    }
    let ours = vendor.target();
    let (ours, theirs) = (query::parts(&ours).0, query::parts(&request.target).0);
    if ours != theirs {
        return Err(Refusal::Foreign(format!("nothing is at {theirs}")));
    }
    let kind = request.header("content-type");
    let (kind, charset) = kind.split_once(';').unwrap_or((kind, "charset=utf-8"));
    if kind.trim() != "application/json" || !charset.trim().eq_ignore_ascii_case("charset=utf-8") {
        return Err(Refusal::Malformed(format!("content-type {kind};{charset}")));
    }
    Ok(())
}

/// A body as its vendor's type, which refuses unknown fields.
pub(super) fn shape<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|why| Refusal::Malformed(why.to_string()))
}

/// Refuses what is longer than `most` bytes.
pub(super) fn within(bytes: usize, most: usize, what: &str) -> Result<(), Refusal> {
    if bytes > most {
        return Err(Refusal::TooLong(format!(
            "{what} of {bytes} bytes where {most} are taken"
        )));
    }
    Ok(())
}

/// Refuses a text of which nobody would see anything.
pub(super) fn said(text: &str, what: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::Malformed(format!("{what} is empty")));
    }
    Ok(())
}

/// The first UUID of a text.
pub(super) fn first_id(text: &str) -> Option<String> {
    let mut words = text.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
    let id = words.find(|word| word.len() == 36 && Uuid::try_parse(word).is_ok());
    id.map(str::to_owned)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request as a good sender makes it.
    pub(crate) fn post(target: &str, body: &str) -> Request {
        Request {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_texts_id_is_its_first_uuid() {
        let id = "01890000-0000-7000-8000-000000000001";
        let text = format!("[look](http://admin/incidents/{id}) deadbeef-");
        assert_eq!(first_id(&text).as_deref(), Some(id));
        assert_eq!(first_id("nothing of the kind"), None);
    }
}
