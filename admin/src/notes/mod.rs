//! Notes beside what was given up: who wrote what, when. They stay when it is replayed, and nobody changes one.

pub(crate) mod api;
pub(crate) mod page;

use crate::{
    App,
    access::{Caller, Permission as _, WriteNote},
    audit::{self, Entry, Outcome},
    doubt,
};
use compensation::archive::notes::{self, NotWritten, TEXT_AT_MOST, Written};
use uuid::Uuid;

/// The text as it is kept.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub(crate) fn text(typed: &str) -> Result<String, String> {
    // A browser sends each line's end as two characters.
    let text = typed.replace("\r\n", "\n").trim().to_owned();
    if text.is_empty() {
        Err("a note says something".to_owned())
    } else if text.chars().count() > TEXT_AT_MOST {
        Err(format!("a note may have {TEXT_AT_MOST} characters"))
    } else if text
        .chars()
        .any(|it| it.is_control() && !matches!(it, '\n' | '\t'))
    {
        Err("a note has no control characters".to_owned())
    } else {
        Ok(text)
    }
}

/// Writes it, and a line in the audit in the same transaction, which tells that there is one, and not what it says.
///
/// # Errors
/// [`NotWritten`]; nothing was written.
async fn write(
    app: &App,
    caller: &Caller,
    archive_id: Uuid,
    id: Uuid,
    text: &str,
) -> Result<(), NotWritten> {
    let mut tx = app.db.begin().await?;
    if notes::write(&mut tx, archive_id, id, &caller.who.name, text).await? == Written::Before {
        return Ok(());
    }
    let entry = Entry {
        act: WriteNote::NAME,
        subject: &archive_id.to_string(),
        outcome: Outcome::Done,
        detail: &format!("note {id}"),
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    Ok(doubt::commit(tx).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_lines_of_text() {
        assert_eq!(text(" one\r\ntwo "), Ok("one\ntwo".to_owned()));
        for bad in [" ", "a\0b", &"x".repeat(2_001)] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }
}
