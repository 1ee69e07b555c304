//! A message with a text and its HTML, as far as a test must read it: headers, the words of a subject, two kinds of encoding.

use super::super::{Refusal, signature::decoded, vendor::said};

/// Without these it is no message, or one that filters take for spam.
const NEEDED: [&str; 6] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
];

/// Headers and what follows them.
pub(super) struct Message {
    headers: Vec<(String, String)>,
    /// Content types and decoded texts.
    parts: Vec<(String, String)>,
}

impl Message {
    /// Refuses what has too few or doubled headers, or no text both plain and as HTML.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |why: String| Refusal::Malformed(why);
        let text = std::str::from_utf8(bytes).map_err(|why| malformed(why.to_string()))?;
        let (headers, body) = split(text);
        for name in NEEDED {
            match headers.iter().filter(|(known, _)| known == name).count() {
                1 => {}
                count => return Err(malformed(format!("{count} headers {name}"))),
            }
        }
        let mut parts = Vec::new();
        read(&headers, body, &mut parts);
        let message = Self { headers, parts };
        said(&message.subject(), "the subject")?;
        for kind in ["text/plain", "text/html"] {
            let of_kind = message.parts.iter().find(|(known, _)| known == kind);
            let (_, text) = of_kind.ok_or_else(|| malformed(format!("no {kind}")))?;
            said(text, kind)?;
        }
        Ok(message)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Decoded, in one line.
    pub(super) fn subject(&self) -> String {
        words(self.header("subject").unwrap_or_default())
    }

    /// All of them, the plain one and the HTML.
    pub(super) fn texts(&self) -> String {
        let texts: Vec<_> = self.parts.iter().map(|(_, text)| text.as_str()).collect();
        texts.join("\n")
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(known, _)| known == name);
    found.next().map(|(_, value)| value.as_str())
}

/// Headers, unfolded, with names in lower case, and what follows them.
fn split(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let headers = unfolded.lines().filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    (headers.collect(), body)
}

/// Collects the texts of a part and of the parts in it.
fn read(headers: &[(String, String)], body: &str, into: &mut Vec<(String, String)>) {
    let kind = header(headers, "content-type").unwrap_or("text/plain");
    let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let kind = kind.trim().to_ascii_lowercase();
    if kind.starts_with("multipart/") {
        let boundary = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            (name.trim().eq_ignore_ascii_case("boundary")).then(|| value.trim().trim_matches('"'))
        });
        let between = format!("--{}", boundary.unwrap_or_default());
        for part in body
            .split(&between)
            .skip(1)
            .filter(|it| !it.starts_with("--"))
        {
            let (headers, body) = split(part.trim_start_matches("\r\n"));
            read(&headers, body, into);
        }
        return;
    }
    let encoding = header(headers, "content-transfer-encoding").unwrap_or_default();
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let joined: String = body.split_whitespace().collect();
            decoded(&joined).unwrap_or_default()
        }
        "quoted-printable" => unquoted(&body.replace("=\r\n", "")),
        _ => body.as_bytes().to_vec(),
    };
    into.push((kind, String::from_utf8_lossy(&bytes).into_owned()));
}

/// `=C3=BC` undone.
fn unquoted(text: &str) -> Vec<u8> {
    let mut pieces = text.split('=');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or(("", piece));
        bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// A header's encoded words undone (RFC 2047): `=?utf-8?b?…?=`, with nothing between two of them.
fn words(value: &str) -> String {
    let mut text: Vec<u8> = Vec::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some((before, found)) = rest.split_once("=?") {
        let mut pieces = found.splitn(4, '?');
        let word = (pieces.next(), pieces.next(), pieces.next(), pieces.next());
        let (Some(_), Some(way), Some(encoded), Some(after)) = word else {
            break;
        };
        if !after_word || !before.trim().is_empty() {
            text.extend_from_slice(before.as_bytes());
        }
        text.extend(match way {
            "b" | "B" => decoded(encoded).unwrap_or_default(),
            _ => unquoted(&encoded.replace('_', " ")),
        });
        rest = after.strip_prefix('=').unwrap_or(after);
        after_word = true;
    }
    text.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: Redress <a@b>\r\nTo: c@d\r\nSubject: =?utf-8?b?w7xiZXI=?=\r\n =?utf-8?q?_die=C3=9F?= x\r\nDate: now\r\nMessage-ID: <1@b>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"B\"\r\n\r\n--B\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC and a long=\r\n line\r\n--B\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+w7w8L2I+\r\n--B--\r\n";

    #[test]
    fn a_message_is_read_with_its_subject_and_both_texts() {
        let message = Message::parse(MAIL.as_bytes()).ok().unwrap();
        assert_eq!(message.subject(), "über dieß x");
        assert_eq!(message.header("message-id"), Some("<1@b>"));
        assert_eq!(message.texts(), "ü and a long line\r\n\n<b>ü</b>");
    }

    #[test]
    fn what_misses_or_doubles_a_header_is_refused() {
        for (from, to) in [
            ("Date: now\r\n", ""),
            ("Date: now\r\n", "Date: now\r\nSubject: two\r\n"),
            ("text/html", "text/plain"),
            ("PGI+w7w8L2I+", ""),
        ] {
            let spoilt = MAIL.replace(from, to);
            let refused = Message::parse(spoilt.as_bytes());
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{from}");
        }
    }
}
