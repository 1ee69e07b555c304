//! `redressctl replay` and `redressctl discard`: of all that a filter matches, as one operation, and of single orders.
//!
//! What would happen is always told first, counted by the admin. Then --yes lets it happen.

use super::filter::Filter;
use crate::{
    Report,
    admin::{Admin, Where},
    operations::wait,
};
use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use uuid::Uuid;

/// What to replay.
#[derive(Debug, Args)]
pub struct Replay {
    /// Single orders, a replay each; else all that the filter matches
    ids: Vec<Uuid>,
    #[command(flatten)]
    many: Many,
}

/// What to give up for good.
#[derive(Debug, Args)]
pub struct Discard {
    /// Single dead letters; else all that the filter matches
    ids: Vec<Uuid>,
    #[command(flatten)]
    many: Many,
}

/// An operation on many.
#[derive(Debug, Args)]
pub struct Many {
    #[command(flatten)]
    filter: Filter,
    /// Say so where no filter is named: all that are open
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    how: How,
    /// Print JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// How it is carried out. What is not said is as the admin's form has it.
#[derive(Debug, Args)]
struct Terms {
    /// Why: it stands in the audit and on every row. An operation on many needs one
    #[arg(long)]
    reason: Option<String>,
    /// Rows a second
    #[arg(long, value_name = "ROWS")]
    rate: Option<u32>,
    /// Begin with all rather than with 1, 10, 100
    #[arg(long)]
    no_canary: bool,
    /// Stop by itself when more than so many of a hundred fail
    #[arg(long, value_name = "PERCENT")]
    stop_percent: Option<u32>,
    /// How long it can be undone before it begins
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
}

/// Whether it is let happen.
#[derive(Debug, Args)]
struct How {
    /// Tell what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Wait until it is over: ends with 1 when not all of it went well
    #[arg(long)]
    wait: bool,
}

/// Replays them.
///
/// # Errors
/// When it was not asked for as it must be, or the admin refuses.
pub async fn replay(asked: &Replay) -> anyhow::Result<Report> {
    if asked.ids.is_empty() {
        return many("replay", &asked.many).await;
    }
    singles("replay", &asked.ids, &asked.many).await
}

/// Gives them up.
///
/// # Errors
/// As [`replay`].
pub async fn discard(asked: &Discard) -> anyhow::Result<Report> {
    if asked.ids.is_empty() {
        return many("discard", &asked.many).await;
    }
    if asked.many.how.dry_run {
        bail!("what a discard of one would come to is on its page: a dry run is for a filter");
    }
    singles("discard", &asked.ids, &asked.many).await
}

async fn many(kind: &str, asked: &Many) -> anyhow::Result<Report> {
    if asked.filter.is_empty() && !asked.all {
        bail!(
            "which ones? Name a filter (--group, --sale, --step, --text, --state), or say --all for all that are open"
        );
    }
    let admin = asked.place.admin()?;
    let body = json!({"kind": kind, "filter": asked.filter.body()});
    let seen = admin.post("operations/preview", &body).await?;
    if asked.how.dry_run {
        return Ok(Report::well(asked.shown(&seen, || forecast(kind, &seen))));
    }
    let Some(reason) = &asked.terms.reason else {
        bail!("an operation on many needs a reason: say --reason \"…\"");
    };
    if !asked.how.yes {
        bail!("{}Say --yes to let it happen", forecast(kind, &seen));
    }
    // Sent again because its answer was lost it is the same operation.
    let id = Uuid::now_v7();
    let mut operation = Map::new();
    let said = [
        ("kind", Some(json!(kind))),
        ("filter", Some(asked.filter.body())),
        ("id", Some(json!(id))),
        ("reason", Some(json!(reason))),
        ("rate", asked.terms.rate.map(|rate| json!(rate))),
        ("canary", asked.terms.no_canary.then_some(json!(false))),
        ("stop_percent", asked.terms.stop_percent.map(|it| json!(it))),
        ("grace_s", asked.terms.grace.map(|it| json!(it))),
    ];
    operation.extend(
        said.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    admin.post("operations", &Value::Object(operation)).await?;
    if asked.how.wait {
        return wait(&admin, id, asked.json).await;
    }
    Ok(Report::well(asked.shown(&json!({"operation_id": id}), || {
        format!(
            "{}Operation {id}: redressctl operations show {id} tells how far it is; pause, cancel and undo stand there too.\n",
            forecast(kind, &seen)
        )
    })))
}

/// One operation each; what is refused does not keep the others from it.
async fn singles(kind: &str, ids: &[Uuid], asked: &Many) -> anyhow::Result<Report> {
    if !asked.filter.is_empty() || asked.all {
        bail!("name orders or a filter, not both");
    }
    if !asked.terms.are_of_one() {
        bail!(
            "--rate, --no-canary, --stop-percent and --grace are for many: a single one is done at once"
        );
    }
    if !asked.how.dry_run && !asked.how.yes {
        let them = ids.len();
        bail!("{kind} {them} of them? Say --yes to let it happen");
    }
    let admin = asked.place.admin()?;
    let mut came = Vec::new();
    for id in ids {
        came.push(single(&admin, kind, *id, asked).await?);
    }
    let holds = came.iter().all(|it| it["refused"].is_null());
    let text = came.iter().fold(String::new(), |mut text, it| {
        let _ = match (asked.json, it["refused"].as_str()) {
            (true, _) => writeln!(text, "{it}"),
            (false, Some(why)) => writeln!(
                text,
                "{}  refused: {why}",
                it["id"].as_str().unwrap_or_default()
            ),
            (false, None) if asked.how.dry_run => {
                writeln!(
                    text,
                    "{}  would be replayed",
                    it["id"].as_str().unwrap_or_default()
                )
            }
            (false, None) => writeln!(
                text,
                "{}  taken: operation {}",
                it["id"].as_str().unwrap_or_default(),
                it["operation_id"].as_str().unwrap_or_default()
            ),
        };
        text
    });
    Ok(Report { holds, text })
}

async fn single(admin: &Admin, kind: &str, id: Uuid, asked: &Many) -> anyhow::Result<Value> {
    if asked.how.dry_run {
        let whole = admin.get(&format!("archives/{id}"), &[]).await?;
        return Ok(json!({"id": id, "refused": whole["replay_refusal"]}));
    }
    let body = match &asked.terms.reason {
        Some(reason) => json!({"kind": kind, "order_id": id, "reason": reason}),
        None => json!({"kind": kind, "order_id": id}),
    };
    match admin.post("operations", &body).await {
        Ok(taken) if asked.how.wait => {
            let operation = taken["operation_id"]
                .as_str()
                .and_then(|it| it.parse().ok());
            let refused = match wait(admin, operation.unwrap_or_default(), true).await {
                Ok(came) => (!came.holds).then(|| "it failed again: see show".to_owned()),
                Err(cause) => Some(format!(
                    "it was taken, and what became of it is not known: {cause}"
                )),
            };
            Ok(json!({"id": id, "operation_id": taken["operation_id"], "refused": refused}))
        }
        Ok(taken) => Ok(json!({"id": id, "operation_id": taken["operation_id"], "refused": null})),
        Err(refused) => Ok(json!({"id": id, "refused": refused.to_string()})),
    }
}

impl Terms {
    /// Whether they say nothing that only an operation on many has.
    const fn are_of_one(&self) -> bool {
        self.rate.is_none()
            && !self.no_canary
            && self.stop_percent.is_none()
            && self.grace.is_none()
    }
}

impl Many {
    fn shown(&self, value: &Value, words: impl FnOnce() -> String) -> String {
        if self.json {
            format!("{value}\n")
        } else {
            words()
        }
    }
}

/// What would happen, in words.
fn forecast(kind: &str, seen: &Value) -> String {
    let number = |field: &str| seen[field].as_u64().unwrap_or_default();
    let more = if seen["more_than"] == json!(true) {
        "more than "
    } else {
        ""
    };
    let mut text = format!("{more}{} match.\n", number("matches"));
    let would = number("replayed") + number("discarded");
    let verb = if kind == "discard" {
        "discarded"
    } else {
        "replayed"
    };
    let _ = writeln!(text, "{would} would be {verb}.");
    if seen["second_person"] == json!(true) {
        text.push_str("Somebody else has to confirm it.\n");
    }
    for (why, count) in seen["refused"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{count} would be refused: {why}.");
    }
    text
}
