//! Cutting texts, and bodies that grow when they are encoded.

/// What stands where something was cut.
const CUT: char = '…';

/// At most `characters` of the text; the last one says that more was there.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept = text.chars().take(characters.saturating_sub(1));
    kept.chain([CUT]).collect()
}

/// The body that `render` makes of `text`, of which as much is cut from the end as keeps it within `bytes`. What `render` adds by
/// itself is the caller's to bound.
pub(super) fn fitted(text: &str, bytes: usize, render: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let whole = render(text);
    if whole.len() <= bytes {
        return whole;
    }
    // Encoding makes some letters six times as long: which cut fits is found by trying.
    let (mut fits, mut too_long) = (0, text.len());
    let mut body = render("");
    while too_long - fits > 1 {
        let middle = usize::midpoint(fits, too_long);
        let start = &text[..text.floor_char_boundary(middle)];
        let tried = render(&format!("{start}{CUT}"));
        if tried.len() <= bytes {
            (fits, body) = (middle, tried);
        } else {
            too_long = middle;
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fits_whatever_its_text_becomes() {
        for text in ["x", "\"", "ü", "\u{1}", "😀"].map(|piece| piece.repeat(30_000)) {
            let body = fitted(&text, 20_000, |text| serde_json::to_vec(text).unwrap());
            assert!((19_980..=20_000).contains(&body.len()), "{}", body.len());
            assert!(
                serde_json::from_slice::<String>(&body)
                    .unwrap()
                    .ends_with(CUT)
            );
        }
        assert_eq!(fitted("short", 20_000, |text| text.into()), b"short");
    }

    #[test]
    fn a_render_that_is_too_long_by_itself_ends_too() {
        assert_eq!(fitted("abc", 2, |_| vec![0; 5]).len(), 5);
        assert_eq!(fitted("", 2, |_| vec![0; 5]).len(), 5);
    }
}
