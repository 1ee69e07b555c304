//! JSON with members hidden, and otherwise as it came: numbers longer than any type of ours, digits behind the point, members that are
//! there twice. It is written anew from its own pieces, never from values read out of it.

use super::{MASK, Sight, is_hidden, text_about};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use uuid::Uuid;

/// How it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line a member, to be read.
    Pretty,
    /// Without blanks.
    Compact,
}

/// The text masked; nothing where it is not JSON.
pub(super) fn masked(json: &str, user: Option<Uuid>, sight: Sight, style: Style) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(json).ok()?;
    let mut writer = Writer {
        out: String::with_capacity(json.len()),
        inside: Vec::new(),
        style,
    };
    let mut pieces = Pieces(json).peekable();
    let mut hidden = false;
    while let Some(piece) = pieces.next() {
        let is_name = writer.is_name(pieces.peek());
        match piece {
            "{" | "[" if hidden => {
                skip(&mut pieces);
                writer.put(&quoted(MASK));
                hidden = false;
            }
            "{" | "[" => writer.open(piece, matches!(pieces.peek(), Some(&("}" | "]")))),
            "}" | "]" => writer.close(piece),
            "," => writer.comma(),
            ":" => writer.colon(),
            name if is_name => {
                hidden = unquoted(name).is_none_or(|name| is_hidden(&name, sight));
                writer.put(name);
            }
            value => {
                if hidden && value != "null" {
                    writer.put(&quoted(MASK));
                } else {
                    let value = seen(value, user, sight);
                    writer.put(&value);
                }
                hidden = false;
            }
        }
    }
    Some(writer.out)
}

/// A value that is not hidden by its name: a text may still hold something.
fn seen(value: &str, user: Option<Uuid>, sight: Sight) -> Cow<'_, str> {
    if sight == Sight::Whole || !value.starts_with('"') {
        return value.into();
    }
    match unquoted(value) {
        // It names half a letter, which no text of ours can hold.
        None => quoted(MASK).into(),
        Some(said) => match text_about(&said, user, sight) {
            Cow::Borrowed(_) => value.into(),
            Cow::Owned(masked) => quoted(&masked).into(),
        },
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn unquoted(piece: &str) -> Option<String> {
    serde_json::from_str(piece).ok()
}

/// The rest of what was just opened.
fn skip<'a>(pieces: &mut impl Iterator<Item = &'a str>) {
    let mut depth = 1;
    while depth > 0
        && let Some(piece) = pieces.next()
    {
        match piece {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            _ => {}
        }
    }
}

/// The pieces of what is known to be JSON: brackets, commas, colons, and values as they are written.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let bytes = rest.as_bytes();
        let length = match bytes.first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => text_length(bytes),
            _ => bytes
                .iter()
                .position(|it| {
                    matches!(
                        it,
                        b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r'
                    )
                })
                .unwrap_or(bytes.len()),
        };
        let (piece, rest) = rest.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

/// To the quote that ends it, included.
fn text_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

struct Writer {
    out: String,
    /// Whether each of what is open has members with names.
    inside: Vec<bool>,
    style: Style,
}

impl Writer {
    /// Whether a text followed by `next` is a member's name.
    fn is_name(&self, next: Option<&&str>) -> bool {
        self.inside.last() == Some(&true) && next == Some(&":")
    }

    fn put(&mut self, piece: &str) {
        self.out.push_str(piece);
    }

    fn open(&mut self, bracket: &str, is_empty: bool) {
        self.put(bracket);
        self.inside.push(bracket == "{");
        if !is_empty {
            self.line();
        }
    }

    fn close(&mut self, bracket: &str) {
        self.inside.pop();
        if !self.out.ends_with(['{', '[']) {
            self.line();
        }
        self.put(bracket);
    }

    fn comma(&mut self) {
        self.put(",");
        self.line();
    }

    fn colon(&mut self) {
        self.put(if self.style == Style::Pretty {
            ": "
        } else {
            ":"
        });
    }

    fn line(&mut self) {
        if self.style == Style::Pretty {
            self.put("\n");
            for _ in 0..self.inside.len().min(DEEPEST) {
                self.put("  ");
            }
        }
    }
}

/// No line is moved further in: a megabyte of brackets would become a terabyte of blanks.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(json: &str, sight: Sight) -> String {
        masked(json, None, sight, Style::Compact).expect("it is JSON")
    }

    /// Breaks when values are read into numbers and written again.
    #[test]
    fn numbers_stay_as_they_came_byte_for_byte() {
        let json = r#"{"a":9223372036854775807,"b":18446744073709551616123,"c":0.10,"d":1E400,"e":-0,"f":[9007199254740993]}"#;
        for sight in [Sight::Whole, Sight::Masked] {
            assert_eq!(compact(json, sight), json);
        }
    }

    #[test]
    fn members_are_hidden_by_name_whole_and_nothing_else_is() {
        let json = r#" {"remark" : {"a":[1,{"b":2}]}, "user_id":"u", "us\u0065rId":7, "order":{"remark":null,"phone":["1"],"quantity":1,"x":[]},
            "idempotency":{"key":"k"}, "note":"write to a@b.example", "quantity":2 } "#;
        assert_eq!(
            compact(json, Sight::Masked),
            r#"{"remark":"***","user_id":"***","us\u0065rId":"***","order":{"remark":null,"phone":"***","quantity":1,"x":[]},"idempotency":"***","note":"write to ***","quantity":2}"#
        );
        assert_eq!(
            compact(
                r#"{"remark":"ring twice","idempotency":{"key":"k"}}"#,
                Sight::Whole
            ),
            r#"{"remark":"ring twice","idempotency":"***"}"#
        );
    }

    /// Breaks when only what is called so is hidden.
    #[test]
    fn the_buyer_it_is_about_is_hidden_in_every_text() {
        let user = Uuid::from_u128(0xabcd);
        let json = format!(r#"{{"said":"limit of {user}","id":"{}"}}"#, user.simple());
        let seen = masked(&json, Some(user), Sight::Masked, Style::Compact);
        assert_eq!(
            seen.as_deref(),
            Some(r#"{"said":"limit of ***abcd","id":"***abcd"}"#)
        );
        assert_eq!(
            masked(&json, Some(user), Sight::Whole, Style::Compact),
            Some(json)
        );
    }

    #[test]
    fn what_is_there_twice_stays_twice_and_hostile_texts_stay_texts() {
        let json = r#"{"a":1,"a":2,"t":"\"}],:{ \\","u":"<script>\u202e","remark":"\"}"}"#;
        assert_eq!(
            compact(json, Sight::Masked),
            r#"{"a":1,"a":2,"t":"\"}],:{ \\","u":"<script>\u202e","remark":"***"}"#
        );
        assert_eq!(compact("\"a:b\"", Sight::Masked), "\"a:b\"");
        assert_eq!(
            compact("[\"remark\",\"x\"]", Sight::Masked),
            "[\"remark\",\"x\"]"
        );
    }

    #[test]
    fn pretty_is_as_anybody_lays_it_out() {
        let json = r#"{"a":[1,[],{}],"b":{"c":null}}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            masked(json, None, Sight::Whole, Style::Pretty).unwrap(),
            serde_json::to_string_pretty(&value).unwrap()
        );
    }

    #[test]
    fn half_letters_and_depth_break_nothing() {
        assert_eq!(masked("{", None, Sight::Whole, Style::Compact), None);
        assert_eq!(masked("", None, Sight::Whole, Style::Compact), None);
        assert_eq!(compact(r#"["\ud800"]"#, Sight::Masked), r#"["***"]"#);
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(compact(&deep, Sight::Masked), deep);
    }
}
