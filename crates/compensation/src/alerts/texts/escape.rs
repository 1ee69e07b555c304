//! Texts of strangers in the markup of each receiver. A text may hold what anyone wrote into a message; in what people read it makes no
//! link, mention, heading, picture or code.
//!
//! Robots' renderers are not documented and know no common way to escape, so there a letter that means something is replaced by its
//! wide form, which means nothing and reads the same. What is left out: a bare host name that an application makes a link of by itself;
//! such a link shows where it leads.

use crate::alerts::shorten::shortened;
use reqwest::Url;
use std::borrow::Cow;

/// Longer links are left out: half of one leads nowhere. In bytes.
const LINK_AT_MOST: usize = 1000;

/// A receiver's markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::alerts) enum Style {
    /// None.
    Plain,
    /// What `DingTalk`, `WeCom` and Feishu have in common.
    Markdown,
    /// Slack's.
    Mrkdwn,
    /// Mail.
    Html,
}

impl Style {
    /// A text of one line.
    pub(in crate::alerts) fn line(self, text: &str) -> String {
        let line = without_links(one_line(text).trim());
        match self {
            Self::Plain => line,
            Self::Markdown => without_heading(&line).chars().map(wide).collect(),
            // The only three that it takes for letters.
            Self::Mrkdwn => entities(&line.replace('`', "'").replace('@', "＠")),
            Self::Html => entities(&line).replace('"', "&quot;"),
        }
    }

    /// A text of several lines, each escaped.
    pub(in crate::alerts) fn lines(self, text: &str, between: &str) -> String {
        let lines: Vec<_> = text.lines().map(|line| self.line(line)).collect();
        lines.join(between)
    }

    /// A link of our own, as it stands where the markup wants an address. `None` where it is none, or too long.
    pub(in crate::alerts) fn link(self, link: &str) -> Option<String> {
        let url = Url::parse(link).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let url = String::from(url)
            .replace('(', "%28")
            .replace(')', "%29")
            .replace('|', "%7C")
            .replace('\'', "%27")
            .replace('`', "%60");
        let fits = url.len() <= LINK_AT_MOST;
        fits.then(|| match self {
            Self::Plain | Self::Markdown => url,
            Self::Mrkdwn | Self::Html => entities(&url),
        })
    }
}

/// Control characters and those that turn the direction of writing become blanks.
pub(in crate::alerts) fn one_line(text: &str) -> String {
    let unseen = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.replace(unseen, " ")
}

/// At most so many characters of a text of one line, escaped.
pub(in crate::alerts) fn short(style: Style, text: &str, characters: usize) -> String {
    style.line(&shortened(text, characters))
}

/// Applications make a link of what looks like one.
fn without_links(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let plain = word.to_ascii_lowercase();
        if plain.contains("://") || plain.contains("www.") {
            Cow::Owned(word.replace("://", "：//").replace('.', "．"))
        } else {
            Cow::Borrowed(word)
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A `#` at the beginning makes a heading of its line, and a line of `===` one of the line before it.
fn without_heading(line: &str) -> String {
    if !line.is_empty() && line.chars().all(|letter| "=-*_ ".contains(letter)) {
        return "—".to_owned();
    }
    let rest = line.trim_start_matches('#');
    "＃".repeat(line.len() - rest.len()) + rest
}

const fn wide(letter: char) -> char {
    match letter {
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '@' => '＠',
        '&' => '＆',
        '\\' => '＼',
        '`' => '\'',
        other => other,
    }
}

fn entities(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "# [pay](http://evil.example/x) ![p](https://evil.example) <@all> <!channel> @all <at id=all></at> \
                           ```code``` \" <http://evil.example|here> www.evil.example <img src=x> \u{202e}\u{7}&lt;b\\";

    /// Breaks when one of the letters is left as it came.
    #[test]
    fn a_hostile_line_keeps_no_letter_that_means_something() {
        let line = Style::Markdown.line(HOSTILE);
        assert!(
            !line.contains(['[', ']', '<', '>', '@', '`', '&', '\\', '\u{202e}', '\u{7}'])
                && !line.contains("://")
                && !line.contains("www.")
                && !line.starts_with('#'),
            "{line}"
        );
        let line = Style::Mrkdwn.line(HOSTILE);
        assert!(
            !line.contains(['<', '>', '@', '`']) && !line.contains("://") && !line.contains("www."),
            "{line}"
        );
        let line = Style::Html.line(HOSTILE);
        assert!(
            !line.contains(['<', '>', '"']) && !line.contains("://"),
            "{line}"
        );
        assert!(line.contains("&amp;lt;b"), "{line}");
        assert!(!Style::Plain.line(HOSTILE).contains("://"));
    }

    #[test]
    fn a_line_of_rulers_makes_no_heading_of_the_one_before_it() {
        assert_eq!(
            Style::Markdown.lines("a\n===\n\u{7}---\nb", "\n"),
            "a\n—\n—\nb"
        );
        assert_eq!(Style::Markdown.lines("## b\n#", "\n"), "＃＃ b\n＃");
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        let line =
            "Order 7: Table 'redress.orders' is locked (errno 1205), 50% * 2 = _x_ – 失败 😀";
        for style in [Style::Plain, Style::Markdown, Style::Mrkdwn, Style::Html] {
            assert_eq!(style.line(line), line, "{style:?}");
        }
    }

    #[test]
    fn a_link_stays_whole_or_is_left_out() {
        let link = "https://admin.example/a(b)|c?x=1&y='2' \"<>#z";
        let escaped = Style::Mrkdwn.link(link).unwrap();
        assert!(
            !escaped.contains(['(', ')', '|', '\'', ' ', '"', '<', '>']),
            "{escaped}"
        );
        assert!(escaped.contains("x=1&amp;y="), "{escaped}");
        assert!(Style::Markdown.link(link).unwrap().contains("x=1&y="));
        assert_eq!(Style::Markdown.link("javascript:alert(1)"), None);
        assert_eq!(Style::Html.link("/archives/7"), None);
        assert_eq!(
            Style::Html.link(&format!("http://a/{}", "x".repeat(1000))),
            None
        );
    }
}
