//! What the first buyers write on their orders: that is how orders are picked out of a crowd, for instance by the fault switch.

use std::str::FromStr;

/// So many of the first buyers write this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The text, whole.
    pub text: String,
    /// How many write it.
    pub buyers: usize,
}

/// Not a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a remark is TEXT:BUYERS, such as fragile:3")]
pub struct BadRemark;

impl FromStr for Remark {
    type Err = BadRemark;

    fn from_str(text: &str) -> Result<Self, BadRemark> {
        let (text, buyers) = text.rsplit_once(':').ok_or(BadRemark)?;
        match buyers.parse() {
            Ok(buyers) if !text.is_empty() => Ok(Self {
                text: text.to_owned(),
                buyers,
            }),
            _ => Err(BadRemark),
        }
    }
}

/// What the buyer at place `at` writes, the first being 0.
pub(super) fn of_buyer(remarks: &[Remark], at: usize) -> Option<&str> {
    let mut before = 0;
    remarks.iter().find_map(|remark| {
        before += remark.buyers;
        (at < before).then_some(remark.text.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_buyers_write_in_the_order_given_and_the_others_nothing() {
        let remarks: Vec<Remark> = ["a:b:2", "none:0", "c:1"]
            .map(|text| text.parse().unwrap())
            .into();
        let written: Vec<_> = (0..5).map(|at| of_buyer(&remarks, at)).collect();
        assert_eq!(written, [Some("a:b"), Some("a:b"), Some("c"), None, None]);
        for bad in ["", "a", ":1", "a:", "a:-1"] {
            assert_eq!(bad.parse::<Remark>(), Err(BadRemark), "{bad}");
        }
    }
}
