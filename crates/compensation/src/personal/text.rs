//! What is personal within a text nobody laid out: e-mail addresses, phone numbers, and what stands behind a name (`remark=…`, `"phone":
//! "…"`, `user 0197…`). Errors quote messages, so all of it is met in them.
//!
//! Shapes are taken narrowly: a number is a phone number with `+` before it or as China's mobile numbers are, and stands alone; so ids,
//! counts, ports and times stay readable. What has another shape is hidden where its name is known, and not otherwise.

use super::{MASK, Sight, is_personal};
use std::borrow::Cow;
use uuid::Uuid;

/// Before an id these say whose it is, also without a sign between.
const USERS: [&str; 3] = ["user", "buyer", "customer"];
/// What a value behind a name ends with, where no quote does.
const ENDS: [char; 10] = [',', ';', '&', '\n', '\r', '}', ']', ')', '|', '"'];

/// What stands before and behind the `@` of an address, in bytes: 64 and 255 letters (RFC 5321, 4.5.3.1) of four bytes at most. It bounds
/// what is looked at for each letter of a long text.
const LOCAL_AT_MOST: usize = 4 * 64;
const DOMAIN_AT_MOST: usize = 4 * 255;

/// The text as somebody sees it.
#[must_use]
pub fn text(text: &str, sight: Sight) -> Cow<'_, str> {
    if sight == Sight::Whole {
        return text.into();
    }
    let mut out = String::new();
    // Until here the text is in `out`.
    let mut written = 0;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let found = if begins_word(text, at) {
            hidden_at(text, at)
        } else {
            None
        };
        if let Some((from, to)) = found {
            out.push_str(&text[written..from]);
            out.push_str(MASK);
            (written, at) = (to, to);
        } else {
            at += letter.len_utf8();
        }
    }
    if written == 0 {
        return text.into();
    }
    out.push_str(&text[written..]);
    out.into()
}

/// The same of a text about a buyer, whose id is hidden wherever it stands.
#[must_use]
pub fn text_about(said: &str, user: Option<Uuid>, sight: Sight) -> Cow<'_, str> {
    let Some(user) = user.filter(|_| sight == Sight::Masked) else {
        return text(said, sight);
    };
    let masked = super::user(user, sight);
    let mut without = Cow::Borrowed(said);
    for form in [user.to_string(), user.simple().to_string()] {
        if without.to_ascii_lowercase().contains(&form) {
            without = replaced(&without, &form, &masked).into();
        }
    }
    match text(&without, sight) {
        Cow::Owned(masked) => masked.into(),
        Cow::Borrowed(_) => without,
    }
}

/// Large letters count as small ones; `what` is ASCII.
fn replaced(text: &str, what: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let small = text.to_ascii_lowercase();
    let mut at = 0;
    while let Some(found) = small[at..].find(what) {
        out.push_str(&text[at..at + found]);
        out.push_str(with);
        at += found + what.len();
    }
    out.push_str(&text[at..]);
    out
}

/// Whether a word, a number or an address may begin here. Scripts without blanks have no other sign of it: a number stands right behind
/// the word for it.
fn begins_word(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    before
        .is_none_or(|it| !it.is_ascii_alphanumeric() && !matches!(it, '_' | '-' | '.' | '+' | '%'))
}

/// From where to where something is hidden, if a word that begins at `at` is such.
fn hidden_at(text: &str, at: usize) -> Option<(usize, usize)> {
    named(text, at)
        .or_else(|| email(text, at))
        .or_else(|| phone(text, at))
        .filter(|(from, to)| from < to)
}

fn run(text: &str, at: usize, fits: impl Fn(u8) -> bool) -> usize {
    at + text.as_bytes()[at..]
        .iter()
        .take_while(|byte| fits(**byte))
        .count()
}

/// The same, no further than so many bytes.
fn run_within(text: &str, at: usize, most: usize, fits: impl Fn(u8) -> bool) -> usize {
    let end = text.floor_char_boundary(at.saturating_add(most));
    run(&text[..end], at, fits)
}

/// `name=value`, `"name": "value"`, `user 0197…`.
fn named(text: &str, at: usize) -> Option<(usize, usize)> {
    let end = run(text, at, |it| {
        it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-')
    });
    let name = &text[at..end];
    let rest = &text[end..];
    if USERS.contains(&&*name.to_ascii_lowercase()) {
        let gap = run(text, end, |it| {
            matches!(it, b' ' | b'=' | b':' | b'#' | b'"' | b'\'' | b'(' | b'`')
        });
        let to = run(text, gap, |it| it.is_ascii_hexdigit() || it == b'-');
        if gap > end && text[gap..to].parse::<Uuid>().is_ok() {
            return Some((gap, to));
        }
    }
    // What somebody searched for is whatever it is; so it stands in addresses and in stored filters.
    let is_search = name == "q" && text[..at].ends_with(['?', '&', '"']);
    if !is_search && !is_personal(name) {
        return None;
    }
    // The name's own quote, which may be escaped, blanks, a sign, blanks, the value's quote.
    let sign = end + rest.len() - rest.trim_start_matches(['\\', '"', '\'', ' ']).len();
    let behind = text[sign..].strip_prefix([':', '='])?.trim_start();
    // As a program prints what may be missing.
    let behind = behind.strip_prefix("Some(").unwrap_or(behind);
    let value = behind.trim_start_matches([' ', '\\']);
    if value.trim_start_matches(['"', '\'']).starts_with(MASK) {
        return None;
    }
    let from = text.len() - value.len();
    let quote = value.chars().next().filter(|it| matches!(it, '"' | '\''));
    let (from, to) = match quote {
        Some(quote) => {
            let inner = from + 1;
            (
                inner,
                inner + quoted(&text[inner..], quote, behind.len() - value.len()),
            )
        }
        None => (from, from + value.find(ENDS).unwrap_or(value.len())),
    };
    let shown = text[from..to].trim();
    // Of a machine, not of a person.
    let harmless = shown.is_empty() || shown == "null" || is_endpoint(shown);
    (!harmless).then_some((from, to))
}

/// How long a quoted text is that was opened with so many backslashes before its quote: quotes that belong to it have others.
fn quoted(text: &str, quote: char, opened: usize) -> usize {
    let mut backslashes = 0;
    for (at, letter) in text.char_indices() {
        let closes = match opened {
            0 => backslashes % 2 == 0,
            _ => backslashes <= opened,
        };
        if letter == quote && closes {
            return at - backslashes.min(opened);
        }
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
    }
    text.len()
}

/// An address of a machine: `127.0.0.1:3306`.
fn is_endpoint(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}

/// `someone@shop.example`.
fn email(text: &str, at: usize) -> Option<(usize, usize)> {
    let part = |it: u8| {
        it.is_ascii_alphanumeric()
            || matches!(it, b'.' | b'_' | b'%' | b'+' | b'-')
            || !it.is_ascii()
    };
    let local = run_within(text, at, LOCAL_AT_MOST, part);
    if local == at || text.as_bytes().get(local) != Some(&b'@') {
        return None;
    }
    let end = run_within(text, local + 1, DOMAIN_AT_MOST, part);
    let domain = text[local + 1..end].trim_end_matches(['.', '-', '_', '%', '+']);
    let (_, last) = domain.rsplit_once('.')?;
    let is_name = last.chars().count() >= 2 && last.chars().all(char::is_alphabetic);
    is_name.then_some((at, local + 1 + domain.len()))
}

/// `+49 30 1234567`, `13812345678`, `138-1234-5678`.
fn phone(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let abroad = bytes.get(at) == Some(&b'+');
    let mut end = at + usize::from(abroad);
    let mut digits = 0;
    let mut to = end;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                to = end + 1;
            }
            // One between digits.
            b' ' | b'-' | b'.' | b'(' | b')' if digits > 0 && to == end => {}
            _ => break,
        }
        if digits > 15 {
            return None;
        }
        end += 1;
    }
    let alone = text[to..]
        .chars()
        .next()
        .is_none_or(|it| !it.is_ascii_alphanumeric() && it != '_');
    if !alone {
        return None;
    }
    if abroad {
        return (8..=15).contains(&digits).then_some((at, to));
    }
    let groups: Vec<usize> = text[at..to].split([' ', '-']).map(str::len).collect();
    let is_mobile = bytes[at..].first() == Some(&b'1')
        && bytes[at..]
            .get(1)
            .is_some_and(|it| (b'3'..=b'9').contains(it));
    (is_mobile && matches!(groups[..], [11] | [3, 4, 4]) && digits == 11).then_some((at, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "0197a000-0000-7000-8000-00000000abcd";

    fn masked(said: &str) -> String {
        text(said, Sight::Masked).into_owned()
    }

    #[test]
    fn what_is_personal_is_hidden_by_its_shape_or_its_name() {
        for (said, seen) in [
            (
                "mail to ann.lee+shop@mail.example.com failed",
                "mail to *** failed",
            ),
            ("<ann@b.example>.", "<***>."),
            ("call +49 30 1234567 now", "call *** now"),
            ("call +8613812345678", "call ***"),
            ("13812345678, 138-1234-5678", "***, ***"),
            ("remark=ring twice; quantity=2", "remark=***; quantity=2"),
            (
                r#"bad {"remark":"ring, twice","user_id": 77}"#,
                r#"bad {"remark":"***","user_id": ***}"#,
            ),
            (
                r#"{\"remark\":\"x\",\"a\":1}"#,
                r#"{\"remark\":\"***\",\"a\":1}"#,
            ),
            ("address: 5 Main Street\nnext", "address: ***\nnext"),
            ("电话13812345678", "电话***"),
            ("13812345678张三", "***张三"),
            (
                r#"{"remark":"ring\nFlat 5, Ann \"A\"","a":1}"#,
                r#"{"remark":"***","a":1}"#,
            ),
            (r#"{"remark":"\u5f20","a":1}"#, r#"{"remark":"***","a":1}"#),
            (
                r#"{\"remark\":\"a \\\"b\\\" c\",\"a\":1}"#,
                r#"{\"remark\":\"***\",\"a\":1}"#,
            ),
            (
                r#"Order { remark: Some("ring (twice)"), price: 1 }"#,
                r#"Order { remark: Some("***"), price: 1 }"#,
            ),
            ("phone='030 99'", "phone='***'"),
            (
                "/archives?state=all&q=ann%40b&step=x",
                "/archives?state=all&q=***&step=x",
            ),
            (
                r#"{"q":"ann lee","step":null}: why"#,
                r#"{"q":"***","step":null}: why"#,
            ),
        ] {
            assert_eq!(masked(said), seen);
            assert_eq!(masked(seen), seen, "hidden already");
            assert_eq!(text(said, Sight::Whole), said);
        }
        assert_eq!(masked(&format!("user {USER} has")), "user *** has");
        assert_eq!(masked(&format!("buyer={USER}")), "buyer=***");
        assert_eq!(masked(&format!("userId:{USER},")), "userId:***,");
    }

    #[test]
    fn what_is_not_stays_as_it_is() {
        for said in [
            "Lock wait timeout exceeded; try 3",
            "order 17: 1213 (40001): Deadlock found",
            "order 9223372036854775807 of 1780000000123 ms",
            "connect to address: 127.0.0.1:3306",
            "user redress@localhost",
            "Access denied for user 'redress'@'127.0.0.1'",
            "0197a000-0000-7000-8000-13812345678a",
            "at 2026-07-03T10:00:00+0000 offset +12",
            "the address in use",
            "a remark: ",
            "量 価格 🦀 é",
        ] {
            assert!(
                matches!(text(said, Sight::Masked), Cow::Borrowed(_)),
                "{said} became {}",
                masked(said)
            );
        }
    }

    #[test]
    fn the_buyer_it_is_about_is_hidden_wherever_it_stands() {
        let user: Uuid = USER.parse().unwrap();
        let said = format!(
            "limit of {} and {} at ann@b.example",
            USER.to_uppercase(),
            user.simple()
        );
        assert_eq!(
            text_about(&said, Some(user), Sight::Masked),
            "limit of ***abcd and ***abcd at ***"
        );
        assert_eq!(text_about(&said, Some(user), Sight::Whole), said);
        assert_eq!(text_about("plain", Some(user), Sight::Masked), "plain");
    }

    /// A megabyte of what looks like the beginning of something takes no time.
    #[test]
    fn hostile_texts_take_no_time() {
        for piece in [
            "a@",
            "+1 ",
            "user ",
            "remark",
            "1-",
            "1 ",
            "remark=***",
            "remark ",
            "é@é.",
            "remark=\\\"",
            "🦀",
            "话",
            "é.",
            "remark=\"\\",
            "Some(",
        ] {
            let said = piece.repeat(1 << 17);
            let begun = std::time::Instant::now();
            let _ = masked(&said);
            assert!(begun.elapsed().as_secs() < 5, "{piece}");
        }
    }
}
