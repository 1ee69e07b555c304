//! What failures have in common, so that those of one cause can be put off together: the step, and the error without what differs from
//! order to order.

/// As much of an error is looked at, in characters.
const TEXT_AT_MOST: usize = 300;

/// What several failures share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cause(String);

impl Cause {
    /// Of a failure at this step: words that hold a digit (numbers, ids, addresses) count as the same word.
    #[must_use]
    pub fn of(step: &str, error: &str) -> Self {
        let error: String = error.chars().take(TEXT_AT_MOST).collect();
        let mut cause = format!("{step}: ");
        for word in
            error.split_inclusive(|letter: char| !(letter.is_alphanumeric() || letter == '-'))
        {
            let end =
                word.trim_end_matches(|letter: char| !(letter.is_alphanumeric() || letter == '-'));
            if end.contains(|letter: char| letter.is_ascii_digit()) {
                cause.push('#');
                cause.push_str(&word[end.len()..]);
            } else {
                cause.push_str(word);
            }
        }
        Self(cause)
    }

    /// For people.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_numbers_make_no_difference_and_words_do() {
        let first = "order 0197a000-0000-7000-8000-000000000001: row 17 is locked";
        let second = "order 0197b111-1111-7111-8111-111111111112: row 4 is locked";
        assert_eq!(Cause::of("decide", first), Cause::of("decide", second));
        assert_eq!(
            Cause::of("decide", first).as_str(),
            "decide: order #: row # is locked"
        );
        assert_ne!(Cause::of("decide", first), Cause::of("archive", first));
        assert_ne!(
            Cause::of("decide", "coupon has not promised: reset"),
            Cause::of("decide", "loyalty has not promised: reset")
        );
    }
}
