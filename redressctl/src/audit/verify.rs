//! `redressctl audit verify`: the words it takes, where it has the lines from, and what it says of them.

use super::reading::{Came, Found, Reading};
use crate::{Report, admin::Where};
use ::audit::Head;
use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use std::{fs::File, io::Read as _, path::Path, path::PathBuf};

/// Bytes of a file read at a time.
const PIECE: usize = 64 << 10;

/// What to check.
#[derive(Args)]
pub struct Verify {
    /// `audit.export` and `personal.see` must be in the token's scope.
    #[command(flatten)]
    place: Where,
    /// An export that was taken before, whole: no login is needed
    #[arg(long, conflicts_with = "admin")]
    file: Option<PathBuf>,
    /// A head that this command printed earlier, as LINE:HASH. The chain must still have it: otherwise all of it was made anew
    #[arg(long, value_name = "LINE:HASH")]
    noted: Option<Head>,
    /// Print JSON instead of words
    #[arg(long)]
    json: bool,
}

/// Goes along the whole chain, to the first link that does not hold.
///
/// # Errors
/// When there is nothing to check: the words say what to change.
pub async fn verify(asked: &Verify) -> anyhow::Result<Report> {
    let mut reading = Reading::new(asked.noted);
    match &asked.file {
        Some(path) => read(path, &mut reading)?,
        None => fetch(&asked.place, &mut reading).await?,
    }
    let came = reading.end()?;
    Ok(Report {
        holds: came.is_ok(),
        text: if asked.json {
            format!("{:#}\n", json_of(&came))
        } else {
            words_of(&came)
        },
    })
}

fn read(path: &Path, reading: &mut Reading) -> anyhow::Result<()> {
    let named = || format!("{} cannot be read", path.display());
    let mut file = File::open(path).with_context(named)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).with_context(named)? {
            0 => return Ok(()),
            length => reading.piece(&piece[..length])?,
        }
    }
}

async fn fetch(place: &Where, reading: &mut Reading) -> anyhow::Result<()> {
    let admin = place
        .admin()
        .context("nothing can be checked (an export that was taken before is checked with --file, without a login)")?;
    let mut answer = admin.export("audit.jsonl").await?;
    while let Some(piece) = answer.chunk().await.context("the export broke off")? {
        reading.piece(&piece)?;
    }
    Ok(())
}

fn words_of(came: &Came) -> String {
    match came {
        Ok(whole) => format!(
            "The audit holds: {} lines, each bound to the one before it.\n\
             Its head is {}\n\
             Note it where nobody else writes: with --noted it shows that nothing up to it was made anew.\n",
            whole.lines, whole.head
        ),
        Err((found, hold)) => format!(
            "The audit is BROKEN. {}.\nThe {hold} lines before it hold; of what comes after it nothing is known.\n",
            first_upper(&found.to_string())
        ),
    }
}

fn json_of(came: &Came) -> Value {
    match came {
        Ok(whole) => {
            json!({"holds": true, "lines": whole.lines, "head": whole.head, "broken": null})
        }
        Err((found, hold)) => {
            let broken = match found {
                Found::Broken(broken) => json!(broken),
                Found::Unreadable(line) => json!({"kind": "unreadable", "line_of_export": line}),
            };
            json!({"holds": false, "lines": hold, "head": null, "broken": broken, "why": found.to_string()})
        }
    }
}

fn first_upper(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}
