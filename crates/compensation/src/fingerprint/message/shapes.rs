//! What differs from one order to the next, by its shape.

use super::{ADDRESS, EMAIL, HEX, ID, NUMBER, TIME};

/// Something that was known by its shape.
pub(super) struct Found {
    /// Its length, in characters.
    pub length: usize,
    /// What takes its place.
    pub stands_for: &'static str,
}

/// Hexadecimal digits from so many on are a value, if there is a decimal one among them.
const HEX_FROM: usize = 8;
/// Letters and digits mixed are an id from so many on.
const ID_FROM: usize = 16;
/// Or where they change so often from letters to digits and back.
const CHANGES_FROM: usize = 3;
/// The longest name that is kept in quotes.
const NAME_AT_MOST: usize = 64;
/// Units that may follow a number at once.
const UNITS: [&str; 19] = [
    "ns", "us", "µs", "μs", "ms", "s", "sec", "secs", "m", "min", "h", "d", "b", "kb", "mb", "gb",
    "kib", "mib", "gib",
];

/// The length of what begins here, if it is of this shape.
type Shape = fn(&[char]) -> Option<usize>;

/// The longest thing that begins here; `before` is the letter before it, which is no letter of a word.
pub(super) fn longest(letters: &[char], before: Option<char>) -> Option<Found> {
    let shapes: [(&'static str, Shape); 8] = [
        (EMAIL, email),
        (ID, uuid),
        (TIME, time),
        (ADDRESS, address),
        (HEX, marked_hex),
        // Some of them have decimal digits only.
        (NUMBER, bare_hex),
        (ID, mixed),
        (NUMBER, number),
    ];
    let mut found: Option<Found> = None;
    for (stands_for, shape) in shapes {
        if let Some(length) = shape(letters)
            && found.as_ref().is_none_or(|known| known.length < length)
        {
            found = Some(Found { length, stands_for });
        }
    }
    found.or_else(|| signed(letters, before))
}

/// `?` begins a query where an address stands before it.
pub(super) fn is_query(letters: &[char], before: Option<char>) -> bool {
    before.is_some_and(|it| it.is_alphanumeric() || matches!(it, '/' | '>'))
        && letters[..until_space(letters)].contains(&'=')
}

/// How far it is to the next space or quotation.
pub(super) fn until_space(letters: &[char]) -> usize {
    run(letters, |letter| {
        !letter.is_whitespace() && !matches!(letter, '"' | '\'' | ')' | '>')
    })
}

/// Whether it may be the name of a table, a key, a field: it has no number in it that counts something.
pub(super) fn is_name(letters: &[char]) -> bool {
    let fits = (1..=NAME_AT_MOST).contains(&letters.len());
    let digits = letters.split(|letter| !letter.is_numeric());
    fits && letters
        .iter()
        .all(|it| it.is_alphanumeric() || matches!(it, '_' | '.' | '-' | '$'))
        && digits.map(<[char]>::len).max().unwrap_or_default() <= 1
}

/// How many letters from the beginning on are so.
fn run(letters: &[char], are: impl Fn(char) -> bool) -> usize {
    letters.iter().take_while(|letter| are(**letter)).count()
}

/// Whether a word could end here.
fn ends(letters: &[char], at: usize) -> bool {
    !letters
        .get(at)
        .is_some_and(|letter| letter.is_alphanumeric())
}

fn email(letters: &[char]) -> Option<usize> {
    let local = run(letters, |it| {
        it.is_alphanumeric() || matches!(it, '.' | '_' | '%' | '+' | '-')
    });
    if local == 0 || letters.get(local) != Some(&'@') {
        return None;
    }
    let domain = &letters[local + 1..];
    let mut length = run(domain, |it| it.is_alphanumeric() || matches!(it, '.' | '-'));
    while length > 0 && !domain[length - 1].is_alphanumeric() {
        length -= 1;
    }
    domain[..length]
        .contains(&'.')
        .then_some(local + 1 + length)
}

fn uuid(letters: &[char]) -> Option<usize> {
    let mut at = 0;
    for (part, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if part > 0 {
            if letters.get(at) != Some(&'-') {
                return None;
            }
            at += 1;
        }
        let digits = letters.get(at..at + length)?;
        if !digits.iter().all(char::is_ascii_hexdigit) {
            return None;
        }
        at += length;
    }
    ends(letters, at).then_some(at)
}

/// `2026-07-03T10:00:00.123Z`, `2026-07-03`, `10:00:00`, also with a space in the middle.
fn time(letters: &[char]) -> Option<usize> {
    let Some(day) = digits_between(letters, &[4, 2, 2], &['-', '/', '.']) else {
        return of_day(letters);
    };
    let hours = letters
        .get(day)
        .filter(|it| matches!(it, 'T' | 't' | ' ' | '_'))
        .and_then(|_| of_day(&letters[day + 1..]));
    match hours {
        Some(length) => Some(day + 1 + length),
        None => ends(letters, day).then_some(day),
    }
}

fn of_day(letters: &[char]) -> Option<usize> {
    let mut at = digits_between(letters, &[2, 2, 2], &[':'])?;
    if matches!(letters.get(at), Some('.' | ',')) {
        let fraction = run(&letters[at + 1..], char::is_numeric);
        at += if fraction > 0 { 1 + fraction } else { 0 };
    }
    if letters.get(at) == Some(&'Z') {
        at += 1;
    } else if matches!(letters.get(at), Some('+' | '-')) {
        let zone = digits_between(&letters[at + 1..], &[2, 2], &[':'])
            .or_else(|| (run(&letters[at + 1..], char::is_numeric) == 4).then_some(4));
        at += zone.map_or(0, |length| 1 + length);
    }
    ends(letters, at).then_some(at)
}

/// Runs of so many digits with one of these between them.
fn digits_between(letters: &[char], runs: &[usize], between: &[char]) -> Option<usize> {
    let mut at = 0;
    for (part, length) in runs.iter().enumerate() {
        if part > 0 {
            letters.get(at).filter(|it| between.contains(it))?;
            at += 1;
        }
        if run(&letters[at.min(letters.len())..], |it| it.is_ascii_digit()) != *length {
            return None;
        }
        at += length;
    }
    Some(at)
}

/// `10.0.0.1`, `10.0.0.1:3306`, `fe80::1`, `[::1]:80` from its first digit on.
fn address(letters: &[char]) -> Option<usize> {
    let v4 = run(letters, |it| it.is_ascii_digit() || it == '.');
    let text: String = letters[..v4].iter().collect();
    let text = text.trim_end_matches('.');
    if text.parse::<std::net::Ipv4Addr>().is_ok() && ends(letters, text.len()) {
        return Some(text.len() + port(&letters[text.len()..]));
    }
    let v6 = run(letters, |it| it.is_ascii_hexdigit() || it == ':');
    let text: String = letters[..v6].iter().collect();
    let whole = text.len() > 2 && ends(letters, v6);
    (whole && text.parse::<std::net::Ipv6Addr>().is_ok()).then_some(v6)
}

fn port(letters: &[char]) -> usize {
    let digits = match letters.first() {
        Some(':') => run(&letters[1..], |it| it.is_ascii_digit()),
        _ => 0,
    };
    if digits > 0 { 1 + digits } else { 0 }
}

fn marked_hex(letters: &[char]) -> Option<usize> {
    if letters.first() != Some(&'0') || !matches!(letters.get(1), Some('x' | 'X')) {
        return None;
    }
    let digits = run(&letters[2..], |it| it.is_ascii_hexdigit());
    (digits > 0 && ends(letters, 2 + digits)).then_some(2 + digits)
}

fn bare_hex(letters: &[char]) -> Option<usize> {
    let length = run(letters, |it| it.is_ascii_hexdigit());
    let decimal = letters[..length].iter().any(char::is_ascii_digit);
    (length >= HEX_FROM && decimal && ends(letters, length)).then_some(length)
}

/// Letters and digits as no word has them.
fn mixed(letters: &[char]) -> Option<usize> {
    let length = run(letters, char::is_alphanumeric);
    let word = &letters[..length];
    let digits = word.iter().filter(|it| it.is_numeric()).count();
    if digits == 0 || digits == length {
        return None;
    }
    let changes = word
        .windows(2)
        .filter(|pair| pair[0].is_numeric() != pair[1].is_numeric())
        .count();
    (length >= ID_FROM && digits > 1 || changes >= CHANGES_FROM).then_some(length)
}

/// `7`, `1,234.5`, `12_000`, `5.2ms`, `30%`.
fn number(letters: &[char]) -> Option<usize> {
    let mut at = run(letters, char::is_numeric);
    if at == 0 {
        return None;
    }
    while matches!(letters.get(at), Some('.' | ',' | '_')) {
        let more = run(&letters[at + 1..], char::is_numeric);
        if more == 0 {
            break;
        }
        at += 1 + more;
    }
    if letters.get(at) == Some(&'%') {
        return Some(at + 1);
    }
    let unit = run(&letters[at..], char::is_alphabetic);
    let name: String = letters[at..at + unit].iter().collect();
    let known = UNITS.contains(&name.to_lowercase().as_str()) && ends(letters, at + unit);
    Some(if known { at + unit } else { at })
}

/// A number with a sign, where the sign joins nothing.
fn signed(letters: &[char], before: Option<char>) -> Option<Found> {
    let alone = before.is_none_or(|it| it.is_whitespace() || matches!(it, '(' | '=' | ',' | '['));
    if !alone || !matches!(letters.first(), Some('-' | '+' | '−')) {
        return None;
    }
    number(&letters[1..]).map(|length| Found {
        length: 1 + length,
        stands_for: NUMBER,
    })
}
