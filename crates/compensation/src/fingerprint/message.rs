//! An error's message without what differs from one order to the next: ids, numbers, quoted texts, times and addresses give way to
//! placeholders.
//!
//! It reads a line from left to right, once, and looks at each beginning of a word for the longest thing it knows there. What it
//! does not know stays, for a word too many makes two groups of one cause, and a word too few makes one group of two.
//!
//! Texts come from anywhere: they are cut before they are read, and what could be shown otherwise than it is stored (controls,
//! marks of direction) is left out.

mod shapes;

/// What stands for an id.
pub(super) const ID: &str = "<id>";
/// What stands for a number, with its unit, and for hexadecimal digits: some of those have decimal ones only.
pub(super) const NUMBER: &str = "<number>";
/// What stands for a quoted text.
pub(super) const TEXT: &str = "<text>";
/// What stands for a time or a date.
pub(super) const TIME: &str = "<time>";
/// What stands for a number that says that it is hexadecimal.
pub(super) const HEX: &str = "<hex>";
/// What stands for an address in a network.
pub(super) const ADDRESS: &str = "<address>";
/// What stands for a mail address.
pub(super) const EMAIL: &str = "<email>";
/// What stands for the query of a web address.
pub(super) const QUERY: &str = "<query>";
/// The end of a pattern that was cut.
pub(super) const CUT: char = '…';

/// The longest pattern, in characters: what its column takes.
pub(super) const AT_MOST: usize = 300;
/// So much of a line is read, in characters: more than a stored error has.
const READ_AT_MOST: usize = 2_000;
/// A text that begins with so many empty lines has no first line.
const LOOKED_AT_AT_MOST: usize = 16_384;
/// The pattern of an error that says nothing.
const NOTHING: &str = "(no text)";
/// Words after which a quoted name belongs to the cause: `Duplicate entry 'x' for key 'PRIMARY'`.
const NAMES_FOLLOW: [&str; 12] = [
    "key",
    "column",
    "table",
    "constraint",
    "index",
    "field",
    "parameter",
    "header",
    "database",
    "function",
    "participant",
    "step",
];

/// The first line that says something, cleaned and cut.
pub(super) fn first_line(text: &str) -> String {
    let looked_at = text.chars().take(LOOKED_AT_AT_MOST);
    let mut line = String::new();
    for letter in looked_at {
        if matches!(letter, '\n' | '\r') {
            if !line.trim().is_empty() {
                break;
            }
            line.clear();
        } else if line.len() < READ_AT_MOST * 4 {
            line.push(letter);
        }
    }
    one_line(&line, READ_AT_MOST)
}

/// The text on one line, without controls and marks nobody sees, at most so long.
pub(super) fn one_line(text: &str, at_most: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut gap = false;
    // Whatever is left out has an end too.
    for letter in text.chars().take(LOOKED_AT_AT_MOST) {
        if letter.is_whitespace() || letter.is_control() {
            gap = length > 0;
            continue;
        }
        if is_unseen(letter) {
            continue;
        }
        let more = 1 + usize::from(gap);
        if length + more > at_most {
            break;
        }
        if gap {
            line.push(' ');
            gap = false;
        }
        line.push(letter);
        length += more;
    }
    line
}

/// Marks of direction, of width nothing, and such: they make two texts look alike, or one look like another.
const fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The pattern of a line.
pub(super) fn pattern(line: &str) -> String {
    let letters: Vec<char> = line.chars().collect();
    let mut pattern = Pattern::default();
    let mut at = 0;
    while at < letters.len() && pattern.length <= AT_MOST {
        at = pattern.take(&letters, at);
    }
    pattern.finished()
}

#[derive(Default)]
struct Pattern {
    text: String,
    /// In characters.
    length: usize,
}

impl Pattern {
    /// Takes what begins at `at`, and gives where the next thing begins.
    fn take(&mut self, letters: &[char], at: usize) -> usize {
        let letter = letters[at];
        let before = at.checked_sub(1).map(|before| letters[before]);
        let begins = !before.is_some_and(char::is_alphanumeric);
        if begins && let Some(close) = closing(letter) {
            return self.quoted(letters, at, close);
        }
        if begins && let Some(found) = shapes::longest(&letters[at..], before) {
            self.placeholder(found.stands_for);
            return at + found.length;
        }
        if letter == '?' && shapes::is_query(&letters[at..], before) {
            self.push('?');
            self.placeholder(QUERY);
            return at + shapes::until_space(&letters[at..]);
        }
        if letter.is_numeric() {
            self.placeholder(NUMBER);
            let digits = letters[at..].iter().take_while(|it| it.is_numeric());
            return at + digits.count();
        }
        self.push(letter);
        at + 1
    }

    fn quoted(&mut self, letters: &[char], at: usize, close: char) -> usize {
        let open = letters[at];
        let inside = &letters[at + 1..];
        let Some(length) = inside.iter().position(|letter| *letter == close) else {
            // It was cut, or is no quotation: either way nobody knows what is in it.
            self.placeholder(TEXT);
            return letters.len();
        };
        let name = &inside[..length];
        if shapes::is_name(name) && (open == '`' || self.ends_with_a_word_for_a_name()) {
            self.push(open);
            for letter in name {
                self.push(*letter);
            }
            self.push(close);
        } else {
            self.placeholder(TEXT);
        }
        at + 1 + length + 1
    }

    fn ends_with_a_word_for_a_name(&self) -> bool {
        let words = self.text.trim_end_matches([' ', ':', '=', '(']);
        let last = words
            .rsplit(|letter: char| !letter.is_alphanumeric())
            .next()
            .unwrap_or_default();
        NAMES_FOLLOW
            .iter()
            .any(|word| word.eq_ignore_ascii_case(last))
    }

    /// Several of the same kind after one another are one: lists have many lengths.
    fn placeholder(&mut self, stands_for: &'static str) {
        let before = self.text.trim_end_matches([' ', ',']);
        if before.ends_with(stands_for) {
            self.text.truncate(before.len());
            self.length = self.text.chars().count();
            return;
        }
        self.text.push_str(stands_for);
        self.length += stands_for.len();
    }

    fn push(&mut self, letter: char) {
        self.text.push(letter);
        self.length += 1;
    }

    fn finished(self) -> String {
        let text = self.text.trim();
        if text.is_empty() {
            return NOTHING.to_owned();
        }
        if text.chars().count() <= AT_MOST {
            return text.to_owned();
        }
        let kept: String = text.chars().take(AT_MOST - 1).collect();
        format!("{}{CUT}", kept.trim_end())
    }
}

/// What ends a quotation that begins with this letter.
const fn closing(open: char) -> Option<char> {
    match open {
        '\'' | '"' | '`' => Some(open),
        '“' | '„' => Some('”'),
        '‘' => Some('’'),
        '«' => Some('»'),
        '「' => Some('」'),
        _ => None,
    }
}
