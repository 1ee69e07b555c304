//! `redressctl audit verify`: the words it takes, where it has the lines from, and what it says of them.

use super::reading::{Came, Found, Reading};
use crate::Report;
use ::audit::Head;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use std::{env, fs::File, io::Read as _, path::Path, path::PathBuf, time::Duration};

/// Where the admin listens, and what lets one in.
const ADMIN: &str = "REDRESSCTL_ADMIN";
const TOKEN: &str = "REDRESSCTL_TOKEN";
/// As the settings have it by themselves.
const USUAL_ADMIN: &str = "http://127.0.0.1:8081";
/// How long the admin may be silent.
const SILENT_AT_MOST: Duration = Duration::from_mins(1);
/// Bytes of a file read at a time.
const PIECE: usize = 64 << 10;

/// What to check.
#[derive(Args)]
pub struct Verify {
    /// Where the admin listens; or the variable `REDRESSCTL_ADMIN`. By itself `http://127.0.0.1:8081`. The variable `REDRESSCTL_TOKEN` is the
    /// personal token with `audit.export` in its scope, or the token of a log-in (POST /api/v1/sessions)
    #[arg(long, conflicts_with = "file")]
    admin: Option<String>,
    /// An export that was taken before, whole: no login is needed
    #[arg(long)]
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
        None => fetch(asked.admin.as_deref(), &mut reading).await?,
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

async fn fetch(admin: Option<&str>, reading: &mut Reading) -> anyhow::Result<()> {
    let admin = admin.map(str::to_owned).or_else(|| said(ADMIN));
    let admin = admin.unwrap_or_else(|| USUAL_ADMIN.to_owned());
    let token = said(TOKEN).with_context(|| {
        format!("who asks? Set {TOKEN} to the access_token of POST /api/v1/sessions, or say --file with an export")
    })?;
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENT_AT_MOST)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("nothing can be asked from here")?;
    let url = format!("{}/api/v1/audit.jsonl", admin.trim().trim_end_matches('/'));
    let mut answer = client
        .get(&url)
        .bearer_auth(token)
        .send()
        .await
        .with_context(|| format!("the admin does not answer at {admin}"))?;
    match answer.status().as_u16() {
        200 => {}
        401 => bail!("the admin knows no such log-in: {TOKEN} is wrong, or it has ended"),
        status => {
            let problem: Value = answer.json().await.unwrap_or_default();
            let why = problem["detail"].as_str().unwrap_or("no reason was given");
            bail!("the admin answers {status}: {why}")
        }
    }
    while let Some(piece) = answer.chunk().await.context("the export broke off")? {
        reading.piece(&piece)?;
    }
    Ok(())
}

fn said(variable: &str) -> Option<String> {
    let word = env::var(variable).ok()?;
    Some(word.trim().to_owned()).filter(|word| !word.is_empty())
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
