//! The code of an error: what programs would compare. It stands beside the pattern, in which numbers are left out.

use super::message::one_line;

/// The longest code, in characters: what its column takes.
const AT_MOST: usize = 120;
/// Words after which a number is a code.
const BEFORE_A_CODE: [&str; 4] = ["code", "errno", "error", "errorcode"];
/// Words after which a number from 400 to 599 is an HTTP status.
const BEFORE_A_STATUS: [&str; 7] = [
    "http", "https", "http/1.1", "http/2", "status", "answered", "returned",
];
/// What status texts begin with.
const STATUS_TEXTS: [&str; 12] = [
    "bad",
    "conflict",
    "forbidden",
    "gateway",
    "gone",
    "internal",
    "method",
    "not",
    "payload",
    "service",
    "too",
    "unprocessable",
];

/// The kind of error and the code the line names, as far as there are any.
pub(super) fn of(class: Option<&str>, line: &str) -> Option<String> {
    let class = class
        .map(|class| one_line(class, AT_MOST))
        .filter(|class| !class.is_empty());
    let named = database(line)
        .or_else(|| state(line))
        .or_else(|| system(line))
        .or_else(|| status(line))
        .or_else(|| after_a_word(line));
    match (class, named) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(class), Some(named)) => Some(one_line(&format!("{class} {named}"), AT_MOST)),
    }
}

/// `1205 (HY000)` anywhere, as drivers write it, or `1062: …` at the beginning.
fn database(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let with_state = words.windows(2).find_map(|pair| {
        let state = pair[1].strip_prefix('(')?;
        let (state, _) = state.split_once(')')?;
        let is_state = state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_state && is_number(pair[0], 4..=5)).then(|| format!("database {}", pair[0]))
    });
    with_state.or_else(|| {
        let (first, _) = line.split_once(": ")?;
        is_number(first, 4..=4).then(|| format!("database {first}"))
    })
}

/// `SQLSTATE[23000]`, `SQLSTATE 23000`.
fn state(line: &str) -> Option<String> {
    let (_, after) = line.split_once("SQLSTATE")?;
    let state: String = after
        .trim_start_matches(['[', ' ', '(', ':', '='])
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    (state.len() == 5).then(|| format!("SQLSTATE {state}"))
}

/// `(os error 111)`.
fn system(line: &str) -> Option<String> {
    let (_, after) = line.split_once("(os error ")?;
    let (number, _) = after.split_once(')')?;
    is_number(number, 1..=5).then(|| format!("os {number}"))
}

/// `HTTP 503`, `status: 503`, `503 Service Unavailable`, and `coupon: 503` at the end.
fn status(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split(' ').collect();
    words.iter().enumerate().find_map(|(at, word)| {
        let number = bare(word);
        if !is_number(number, 3..=3) || !matches!(number.as_bytes()[0], b'4' | b'5') {
            return None;
        }
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let after = words.get(at + 1);
        let named = before.is_some_and(|word| is_one_of(word, &BEFORE_A_STATUS));
        let told = after.is_some_and(|word| is_one_of(word, &STATUS_TEXTS));
        let answer = after.is_none() && before.is_some_and(|word| word.ends_with(':'));
        (named || told || answer).then(|| format!("HTTP {number}"))
    })
}

/// `code 42`, `errno: 5`, `error=7`, `ORA-01017`.
fn after_a_word(line: &str) -> Option<String> {
    let mut words = line
        .split([' ', '=', ':', '(', '[', ',', ']', ')'])
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        if let Some(number) = word.strip_prefix("ORA-")
            && is_number(number, 3..=6)
        {
            return Some(word.to_owned());
        }
        let next = words.peek().copied().unwrap_or_default();
        if is_one_of(word, &BEFORE_A_CODE) && is_number(next, 1..=6) {
            return Some(format!("code {next}"));
        }
    }
    None
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    let word = bare(word);
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

/// Without what stands around it.
fn bare(word: &str) -> &str {
    word.trim_matches([':', ',', '.', ';', '(', ')', '[', ']', '=', '"', '\''])
}

fn is_number(text: &str, digits: std::ops::RangeInclusive<usize>) -> bool {
    digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
