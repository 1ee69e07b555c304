//! `redressctl policy`: how failed work is tried again, and changing it.

use crate::{
    Report,
    admin::{Admin, Where},
    table::flat,
};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What to do with the policy. Nothing said: show it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Policy {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, Args)]
struct Show {
    /// Print JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Change some of its values
    Set(Set),
}

#[derive(Debug, Args)]
struct Set {
    /// What is to be, as `redressctl policy` names it: `compensation.max_retries=7`
    #[arg(required = true, value_name = "NAME=VALUE")]
    values: Vec<String>,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Tell what would come of it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    show: Show,
}

/// Does what was asked for.
///
/// # Errors
/// When the admin does not answer, or refuses.
pub async fn policy(asked: &Policy) -> anyhow::Result<Report> {
    match &asked.verb {
        None => {
            let admin = asked.show.place.admin()?;
            let whole = current(&admin).await?;
            Ok(Report::well(asked.show.shown(&whole, words)))
        }
        Some(Verb::Set(set)) => change(set).await,
    }
}

async fn current(admin: &Admin) -> anyhow::Result<Value> {
    admin.get("settings/retry-policy", &[]).await
}

async fn change(asked: &Set) -> anyhow::Result<Report> {
    let admin = asked.show.place.admin()?;
    let whole = current(&admin).await?;
    let mut policy = whole["policy"].clone();
    for pair in &asked.values {
        set(&mut policy, pair)?;
    }
    let seen = admin
        .post("settings/retry-policy/preview", &json!({"policy": policy}))
        .await?;
    if asked.dry_run {
        return Ok(Report::well(asked.show.shown(&seen, schedule)));
    }
    let Some(reason) = &asked.reason else {
        bail!("a policy is changed for a reason: say --reason \"…\"");
    };
    if !asked.yes {
        bail!("{}Say --yes to let it rule", schedule(&seen));
    }
    // Refused when somebody else changed it meanwhile.
    let body = json!({"version": whole["version"], "policy": policy, "reason": reason});
    let whole = admin.put("settings/retry-policy", &body).await?;
    Ok(Report::well(asked.show.shown(&whole, words)))
}

/// Sets a value that is there already.
fn set(policy: &mut Value, pair: &str) -> anyhow::Result<()> {
    let (name, value) = pair
        .split_once('=')
        .with_context(|| format!("{pair} is not NAME=VALUE"))?;
    let pointer = format!("/{}", name.trim().replace('.', "/"));
    let place = policy
        .pointer_mut(&pointer)
        .filter(|place| !place.is_object())
        .with_context(|| {
            format!("the policy has no {name}: `redressctl policy` names what it has")
        })?;
    let value = value.trim();
    *place = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok(())
}

impl Show {
    fn shown(&self, value: &Value, words: fn(&Value) -> String) -> String {
        if self.json {
            format!("{value}\n")
        } else {
            words(value)
        }
    }
}

fn words(whole: &Value) -> String {
    let mut text = format!(
        "Version {}, by {}: {}\n\n",
        whole["version"],
        whole["changed_by"].as_str().unwrap_or_default(),
        crate::table::visible(whole["reason"].as_str().unwrap_or_default()),
    );
    text.push_str(&lines(&whole["policy"]));
    text.push('\n');
    text.push_str(&schedule(whole));
    text
}

fn schedule(seen: &Value) -> String {
    format!("What comes of it:\n{}", lines(&seen["schedule"]))
}

fn lines(value: &Value) -> String {
    flat(value)
        .into_iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "  {name} = {value}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_policy_has_is_set() {
        let mut policy = json!({"max_retries": 5, "dlq": {"archive_storage": "mysql"}});
        set(&mut policy, "max_retries=7").unwrap();
        set(&mut policy, " dlq.archive_storage = file").unwrap();
        let expected = json!({"max_retries": 7, "dlq": {"archive_storage": "file"}});
        assert_eq!(policy, expected);
        for bad in ["max_retries", "other=1", "dlq=1", "=1"] {
            assert!(set(&mut policy, bad).is_err(), "{bad}");
        }
        assert_eq!(policy, expected);
    }
}
