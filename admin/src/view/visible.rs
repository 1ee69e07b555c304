//! What a text holds and nobody sees, made visible: control characters, which a browser drops, and marks that turn the direction of what
//! follows, with which `gpj.exe` is read as `exe.jpg`. They are shown as their numbers, `⟦U+202E⟧`; a letter of any script stays as it is.
//!
//! A whole page is gone through once it is made, so that no template can forget it. What somebody edits is left as it is: it comes back
//! with the form.

use std::{borrow::Cow, fmt::Write as _};

/// Elements whose content or attributes a form sends back.
const EDITED: [(&str, &str); 3] = [
    ("<textarea", "</textarea"),
    ("<input", ">"),
    ("<option", ">"),
];

/// Whether a letter is not seen, or moves others.
const fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
            | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text with all of it seen.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 64);
    write_visible(&mut out, text);
    out.into()
}

/// A page with all of it seen, but for what a form sends back.
pub(super) fn page(html: String) -> String {
    if !html.chars().any(is_unseen) {
        return html;
    }
    let mut out = String::with_capacity(html.len() + 64);
    let mut rest = html.as_str();
    while !rest.is_empty() {
        let next = EDITED
            .iter()
            .filter_map(|(begin, end)| rest.find(begin).map(|at| (at, begin.len(), *end)))
            .min();
        let Some((at, length, end)) = next else {
            write_visible(&mut out, rest);
            break;
        };
        write_visible(&mut out, &rest[..at]);
        let inside = &rest[at + length..];
        let until = at + length + inside.find(end).unwrap_or(inside.len());
        out.push_str(&rest[at..until]);
        rest = &rest[until..];
    }
    out
}

fn write_visible(out: &mut String, text: &str) {
    for letter in text.chars() {
        if is_unseen(letter) {
            // Into a String, it cannot fail.
            let _ = write!(out, "⟦U+{:04X}⟧", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_shown_by_its_number() {
        assert_eq!(
            visible("a\u{202e}b\0\u{1b}[31m"),
            "a⟦U+202E⟧b⟦U+0000⟧⟦U+001B⟧[31m"
        );
        for seen in ["", "a\tb\r\nc", "שלום عربى", "👩\u{200d}🚀 é 価格"] {
            assert!(matches!(visible(seen), Cow::Borrowed(_)), "{seen}");
        }
    }

    #[test]
    fn what_is_edited_comes_back_as_it_was() {
        let html = "<p>\u{202e}</p><input value=\"\u{202e}\"><p>\u{7}</p><textarea name=\"x\">\u{202e}>\u{1}</textarea>\u{1}";
        assert_eq!(
            page(html.to_owned()),
            "<p>⟦U+202E⟧</p><input value=\"\u{202e}\"><p>⟦U+0007⟧</p><textarea name=\"x\">\u{202e}>\u{1}</textarea>⟦U+0001⟧"
        );
        assert_eq!(page("<input \u{1}".to_owned()), "<input \u{1}");
    }
}
