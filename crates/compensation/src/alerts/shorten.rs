//! Cutting texts, and bodies that grow when they are encoded.

/// What stands where something was cut.
pub(super) const CUT: char = '…';

/// At most `characters` of the text; the last one says that more was there.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept = text.chars().take(characters.saturating_sub(1));
    kept.chain([CUT]).collect()
}

/// Of all that `render` makes the longest that `fits`: it is told how many bytes it may spend on what can be cut, `most` and fewer.
/// What it makes of 0 bytes is the caller's to bound.
pub(super) fn fitted<B>(most: usize, render: impl Fn(usize) -> B, fits: impl Fn(&B) -> bool) -> B {
    let whole = render(most);
    if fits(&whole) {
        return whole;
    }
    // Encoding makes some letters six times as long: which cut fits is found by trying.
    let (mut fitting, mut too_much) = (0, most);
    let mut body = render(0);
    while too_much - fitting > 1 {
        let middle = usize::midpoint(fitting, too_much);
        let tried = render(middle);
        if fits(&tried) {
            (fitting, body) = (middle, tried);
        } else {
            too_much = middle;
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
            let body = fitted(
                text.len(),
                |room| serde_json::to_vec(&text[..text.floor_char_boundary(room)]).unwrap(),
                |body| body.len() <= 20_000,
            );
            assert!((19_980..=20_000).contains(&body.len()), "{}", body.len());
        }
        assert_eq!(fitted(5, |room| room, |_| true), 5);
    }

    #[test]
    fn a_render_that_is_too_long_by_itself_ends_too() {
        assert_eq!(fitted(3, |room| room, |_| false), 0);
        assert_eq!(fitted(0, |room| room, |_| false), 0);
    }
}
