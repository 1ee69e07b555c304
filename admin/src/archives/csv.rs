//! Rows as a spreadsheet reads them.
//!
//! A spreadsheet takes a text that begins with `=` for a formula and runs it, so such texts get an apostrophe before them. The byte order
//! mark tells it that the file is UTF-8.

use crate::view::visible;
use std::borrow::Cow;

/// Tells a spreadsheet that the file is UTF-8.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

/// Rows as a spreadsheet reads them, and runs none.
///
/// # Errors
/// Never, by what it writes into.
pub(crate) fn lines<'a, Row>(rows: impl IntoIterator<Item = Row>) -> anyhow::Result<Vec<u8>>
where
    Row: IntoIterator<Item = Cow<'a, str>>,
{
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(
            row.into_iter()
                .map(|field| guarded(&visible(&field)).as_bytes().to_vec()),
        )?;
    }
    Ok(writer.into_inner()?)
}

/// The text as a spreadsheet shows it and does not run it.
fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_texts() {
        for formula in ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        assert_eq!(guarded("lock wait = 5"), "lock wait = 5");
        assert_eq!(guarded(""), "");
    }
}
